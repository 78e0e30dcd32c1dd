//! Logs: lines on stderr.

use crds::contract::LogFormat;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::Layer;

use super::TelemetryError;
use super::span_fields::SpanFields;

/// What writes the lines of `level` (an `EnvFilter` directive).
pub(super) fn layer(
    format: LogFormat,
    level: &str,
) -> Result<impl Layer<Registry>, TelemetryError> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| TelemetryError::Level(level.to_owned(), error))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .fmt_fields(SpanFields)
            .boxed(),
    };
    Ok(lines.with_filter(filter))
}
