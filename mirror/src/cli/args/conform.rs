//! The arguments of `conform`.

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use crds::contract::environment;

use super::times::positive_duration;
use crate::conform::MirrorUrl;

/// `conform`
#[derive(Args, Clone, Debug)]
pub struct ConformArgs {
    /// The mirror's base URL, as a StackState data source has it, such as
    /// http://production.observability.svc:9900
    #[arg(value_name = "URL")]
    pub url: MirrorUrl,
    /// The mirror's API key; every answer is compared with it. Better given as a variable:
    /// arguments are seen by others
    #[arg(
        long,
        env = environment::API_KEY,
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub api_key: Option<KeyText>,
    /// The data source's connection details [default: {}]
    #[arg(long, value_name = "JSON")]
    pub connection_details: Option<ConnectionDetailsText>,
    /// The gauge to read [default: one that has points]
    #[arg(long, value_name = "NAME")]
    pub gauge: Option<String>,
    /// The counter to read, likewise; with any of these three no others are read
    #[arg(long, value_name = "NAME")]
    pub counter: Option<String>,
    /// The histogram to read, without _bucket, _sum and _count
    #[arg(long, value_name = "NAME")]
    pub histogram: Option<String>,
    /// The label whose values are listed [default: instance, job, or another that exists]
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// For https: a file with certificates of authorities to trust, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<AuthoritiesFile>,
    /// How long a request may take; StackState gives up after 15 s
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = positive_duration)]
    pub timeout: Duration,
    /// How many streams to poll
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub streams: u16,
    /// The time from one poll to the next
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = positive_duration)]
    pub interval: Duration,
    /// How often to poll; 0 leaves polls out
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub rounds: u16,
    /// What to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ReportOutput,
}

/// What `conform` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportOutput {
    /// One check a line
    #[default]
    Table,
    /// The whole report
    Json,
}

/// A key as it was given. Its `Debug` prints nothing of it.
#[derive(Clone)]
pub struct KeyText(String);

impl KeyText {
    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for KeyText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyText")
    }
}

impl FromStr for KeyText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// A JSON object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectionDetailsText(pub serde_json::Map<String, serde_json::Value>);

impl FromStr for ConnectionDetailsText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map(Self).map_err(|_| {
            "it must be a JSON object, such as {\"host\": \"prometheus\", \"port\": 9090}"
                .to_owned()
        })
    }
}

/// The certificates of a file.
#[derive(Clone, Debug)]
pub struct AuthoritiesFile(pub Vec<reqwest::Certificate>);

/// No bundle of authorities is larger, in bytes.
const MOST_AUTHORITIES_BYTES: u64 = 4 << 20;

impl FromStr for AuthoritiesFile {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        use std::io::Read as _;
        let mut pem = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MOST_AUTHORITIES_BYTES).read_to_end(&mut pem))
            .map_err(|error| format!("it cannot be read: {error}"))?;
        match reqwest::Certificate::from_pem_bundle(&pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(Self(certificates)),
            _ => Err("it holds no certificate in PEM form (BEGIN CERTIFICATE)".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::args::Cli;

    #[test]
    fn conform_wants_a_url_and_says_nothing_of_the_key() {
        let parse = |extra: &[&str]| {
            Cli::try_parse_from(["prometheus-mirror", "conform"].iter().chain(extra))
        };
        let url = "http://a:9900";
        for wrong in [
            &[][..],
            &["a:9900"],
            &[url, "--connection-details", "[]"],
            &[url, "--streams", "1001"],
            &[url, "--interval", "0s"],
            &[url, "--timeout", "2d"],
            &[url, "--ca-file", "/does/not/exist"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        let cli = parse(&[
            url,
            "--api-key",
            "hush",
            "--connection-details",
            "{\"port\": 1}",
        ])
        .unwrap();
        let shown = format!("{cli:?}");
        assert!(!shown.contains("hush"), "{shown}");
    }
}
