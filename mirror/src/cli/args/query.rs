//! The arguments of `query`.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, ValueEnum};

use super::OptionalDocumentArgs;
use super::times::duration;
use crate::cli::when::When;
use crate::plan::aggregation::{METHODS, Method};

/// `query`
#[derive(Args, Clone, Debug)]
pub struct QueryArgs {
    /// The configuration.
    #[command(flatten)]
    pub document: OptionalDocumentArgs,
    /// Ask the running mirror at this base URL, such as http://production.observability.svc:9900,
    /// instead of the targets themselves
    #[arg(long, value_name = "URL")]
    pub mirror: Option<reqwest::Url>,
    /// What is asked.
    #[command(flatten)]
    pub question: QuestionArgs,
    /// Print the PromQL and the upstream calls instead of points
    #[arg(long)]
    pub explain: bool,
    /// Say why there are no points, instead of points
    #[arg(long, conflicts_with = "explain")]
    pub why: bool,
}

/// What is asked, whoever answers it.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("what").required(true).args(["gauge", "counter", "histogram", "summary", "promql"])))]
pub struct QuestionArgs {
    /// The target to ask [default: the manifest's default target]
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
    /// A gauge's name
    #[arg(long, value_name = "NAME")]
    pub gauge: Option<String>,
    /// A counter's name; its points are rates per second
    #[arg(long, value_name = "NAME")]
    pub counter: Option<String>,
    /// A histogram's name, without _bucket, _sum and _count
    #[arg(long, value_name = "NAME")]
    pub histogram: Option<String>,
    /// A summary's name, without _sum and _count
    #[arg(long, value_name = "NAME")]
    pub summary: Option<String>,
    /// A PromQL expression
    #[arg(long, value_name = "EXPR")]
    pub promql: Option<String>,
    /// Only series with this label; the same label again means any of its values
    #[arg(short, long = "label", value_name = "K=V", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Start: a time ago (90m, 2d), RFC 3339, epoch seconds or milliseconds
    #[arg(long, value_name = "WHEN", default_value = "1h")]
    pub from: When,
    /// End, written like --from
    #[arg(long, value_name = "WHEN", default_value = "now")]
    pub to: When,
    /// At most so many points, the oldest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    pub limit: Option<u32>,
    /// Aggregate into buckets of this length
    #[arg(long, value_name = "TIME", value_parser = bucket, requires = "method")]
    pub bucket: Option<Duration>,
    /// How each bucket becomes a point
    #[arg(long, value_parser = method_name(), ignore_case = true, requires = "bucket")]
    pub method: Option<&'static str>,
    /// What to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// Ask again every so often, and print over what was there
    #[arg(long, value_name = "TIME", value_parser = pause, num_args = 0..=1, default_missing_value = "5s")]
    pub watch: Option<Duration>,
}

/// What `query` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// One point a line
    #[default]
    Table,
    /// The response's body, byte for byte
    Json,
    /// A chart
    Plot,
}

/// StackState's aggregation methods, by their names on the wire.
fn method_name() -> impl TypedValueParser<Value = &'static str> {
    let names = METHODS.map(|(name, _)| name);
    PossibleValuesParser::new(names).try_map(|given| {
        let known = Method::named(&given.to_ascii_uppercase());
        known.map(|(name, _)| name).ok_or("no such method")
    })
}

/// No shorter than a second: a terminal is not worth more to a store.
fn pause(text: &str) -> Result<Duration, String> {
    let pause = duration(text)?;
    if pause < Duration::from_secs(1) {
        return Err("watch at most once a second".into());
    }
    Ok(pause)
}

fn bucket(text: &str) -> Result<Duration, String> {
    let length = duration(text)?;
    if length.as_millis() == 0 || length.subsec_nanos() % 1_000_000 != 0 {
        return Err("a bucket is a whole number of milliseconds, at least 1".into());
    }
    Ok(length)
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a label is written NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::args::Cli;

    #[test]
    fn a_query_needs_a_file_or_a_running_mirror() {
        let parses = |extra: &[&str]| {
            Cli::try_parse_from(
                ["prometheus-mirror", "query", "--gauge", "up"]
                    .iter()
                    .chain(extra),
            )
            .is_ok()
        };
        assert!(parses(&["-f", "x"]));
        assert!(parses(&["--mirror", "http://a:9900"]));
        assert!(!parses(&[]));
    }

    #[test]
    fn a_query_wants_one_kind_and_a_bucket_with_its_method() {
        let parses = |extra: &[&str]| {
            Cli::try_parse_from(
                ["prometheus-mirror", "query", "-f", "x"]
                    .iter()
                    .chain(extra),
            )
            .is_ok()
        };
        assert!(parses(&["--gauge", "up", "--mirror", "http://a:9900"]));
        assert!(!parses(&["--gauge", "up", "--mirror", "a"]));
        assert!(parses(&[
            "--gauge",
            "up",
            "-l",
            "job=a",
            "--bucket",
            "1m",
            "--method",
            "percentile_95"
        ]));
        assert!(!parses(&[]));
        assert!(!parses(&["--gauge", "up", "--counter", "x"]));
        assert!(!parses(&["--gauge", "up", "--bucket", "1m"]));
        assert!(!parses(&[
            "--gauge", "up", "--bucket", "0s", "--method", "MEAN"
        ]));
        assert!(!parses(&["--gauge", "up", "-l", "job"]));
        assert!(parses(&["--gauge", "up", "--watch"]));
        assert!(parses(&["--gauge", "up", "--watch", "10s", "--why"]));
        assert!(!parses(&["--gauge", "up", "--watch", "10ms"]));
        assert!(!parses(&["--gauge", "up", "--explain", "--why"]));
    }
}
