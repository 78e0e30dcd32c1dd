//! How the mirror is observed: logs, traces ([`traces`]) and metrics.
//!
//! Logs go to stderr (stdout is for results), as text or JSON ([`logs`]). Every line written on
//! behalf of a request carries its id, which the response's `X-Request-Id` repeats
//! ([`span_fields`]). [`metrics`] has
//! the instruments, [`exposition`] the page that shows them, [`process`] what is known of any
//! process.

pub mod exposition;
pub mod logs;
mod memory;
pub mod metrics;
pub mod process;
mod span_fields;
pub mod traces;

use crds::contract::LogFormat;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use self::traces::Exporter;

/// Why logging and tracing could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error(
        "log level {0:?}: {1}; give error, warn, info, debug, trace, or directives like info,mirror=debug"
    )]
    Level(String, ParseError),
    /// The OTLP settings in the environment make no exporter.
    #[error("OpenTelemetry: {0}; see the OTEL_EXPORTER_OTLP_* environment variables")]
    Exporter(String),
    /// Someone set a logger before.
    #[error("logging is set up already")]
    Again(#[from] TryInitError),
}

/// Keeps the exporter of traces; [`TraceGuard::flush`] before the process ends.
#[must_use]
pub struct TraceGuard(Option<Exporter>);

impl TraceGuard {
    /// Sends what is still queued, for at most five seconds.
    pub async fn flush(self) {
        if let Some(exporter) = self.0 {
            exporter.flush().await;
        }
    }
}

/// Sets up logs at `level` (an `EnvFilter` directive) and, when the environment asks for it,
/// traces. Call inside the runtime.
///
/// # Errors
/// [`TelemetryError`] if `level` or the environment's OTLP settings make no sense.
pub fn init(format: LogFormat, level: &str) -> Result<TraceGuard, TelemetryError> {
    let lines = logs::layer(format, level)?;
    let exporter = Exporter::from_environment()?;
    tracing_subscriber::registry()
        .with(lines)
        .with(exporter.as_ref().map(Exporter::layer))
        .try_init()?;
    Ok(TraceGuard(exporter))
}
