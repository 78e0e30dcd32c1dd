//! The command line. Every flag is also an environment variable; what the values mean is decided
//! here, once.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use crds::contract::environment;

use crate::budget::size::ByteSize;
use crate::cli::when::When;
use crate::conform::MirrorUrl;
use crate::plan::aggregation::{METHODS, Method};
use crate::settings::Source;
use crate::telemetry::LogFormat;

/// Answers StackState's Mirror API from Prometheus.
#[derive(Debug, Parser)]
#[command(
    name = "prometheus-mirror",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
#[command(after_help = "Exit codes: 0 fine, 1 failed, 2 the command line is wrong.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the Mirror API, and take over changes of the manifest and its Secrets while serving
    Serve(ServeArgs),
    /// Print every fault of a manifest and its Secrets, or a summary of its targets
    Check(CheckArgs),
    /// Print in the terminal what StackState would be answered
    Query(Box<QueryArgs>),
    /// Behave like StackState towards a running mirror, and report whether it keeps the contract
    Conform(Box<ConformArgs>),
    /// Print this reference as Markdown
    #[command(hide = true)]
    Reference,
}

/// Where the configuration is.
#[derive(Args, Clone, Debug)]
pub struct DocumentArgs {
    /// A file with one PrometheusMirror manifest, YAML or JSON
    #[arg(short, long, env = environment::FILE, value_name = "FILE")]
    pub file: PathBuf,
    /// The folders.
    #[command(flatten)]
    folders: FolderArgs,
}

/// Where what a document refers to is.
#[derive(Args, Clone, Debug)]
struct FolderArgs {
    /// Folder of Secrets: key K of Secret S is the file DIR/S/K [default: `secrets` next to FILE]
    #[arg(long, env = environment::SECRETS_DIR, value_name = "DIR")]
    secrets_dir: Option<PathBuf>,
    /// Folder of ConfigMaps: key K of ConfigMap C is the file DIR/C/K [default: `configmaps` next
    /// to FILE]
    #[arg(long, env = "PROMETHEUS_MIRROR_CONFIGMAPS_DIR", value_name = "DIR")]
    configmaps_dir: Option<PathBuf>,
}

impl DocumentArgs {
    /// The file and the folders.
    #[must_use]
    pub fn source(&self) -> Source {
        let beside = |name: &str| self.file.parent().unwrap_or(Path::new("")).join(name);
        let FolderArgs {
            secrets_dir,
            configmaps_dir,
        } = self.folders.clone();
        Source {
            file: self.file.clone(),
            secrets_dir: secrets_dir.unwrap_or_else(|| beside("secrets")),
            config_maps_dir: configmaps_dir.unwrap_or_else(|| beside("configmaps")),
        }
    }
}

/// Where the configuration is, if a running mirror does not have it.
#[derive(Args, Clone, Debug)]
pub struct OptionalDocumentArgs {
    /// A file with one PrometheusMirror manifest, YAML or JSON; with --mirror only for its API key
    #[arg(
        short,
        long,
        env = environment::FILE,
        value_name = "FILE",
        required_unless_present = "mirror"
    )]
    file: Option<PathBuf>,
    /// The folders.
    #[command(flatten)]
    folders: FolderArgs,
}

impl OptionalDocumentArgs {
    /// The configuration, if a file was named.
    #[must_use]
    pub fn given(&self) -> Option<DocumentArgs> {
        self.file.clone().map(|file| DocumentArgs {
            file,
            folders: self.folders.clone(),
        })
    }
}

/// How log lines look and how many there are.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// How log lines are written (to stderr)
    #[arg(
        long,
        env = environment::LOG_FORMAT,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// error, warn, info, debug or trace, or directives like info,mirror=debug [default: $RUST_LOG,
    /// else info]
    #[arg(long, env = "PROMETHEUS_MIRROR_LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<String>,
}

impl LogArgs {
    /// The filter to log with.
    #[must_use]
    pub fn level(&self) -> String {
        let from_environment = || {
            std::env::var("RUST_LOG")
                .ok()
                .filter(|level| !level.is_empty())
        };
        self.log_level
            .clone()
            .or_else(from_environment)
            .unwrap_or_else(|| "info".into())
    }
}

/// `serve`
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// The configuration.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// Where the Mirror API listens: 9900, :9900 or HOST:PORT [default: 0.0.0.0 and the manifest's
    /// spec.port]
    #[arg(long, env = environment::LISTEN, value_name = "ADDR")]
    pub listen: Option<ListenAddress>,
    /// Where /livez, /readyz, /targets and /metrics listen
    #[arg(
        long,
        env = environment::ADMIN_LISTEN,
        value_name = "ADDR",
        default_value = "0.0.0.0:9901"
    )]
    pub admin_listen: ListenAddress,
    /// After SIGTERM: how long to go on accepting while /readyz says no, so that load balancers
    /// notice
    #[arg(long, env = environment::DRAIN_DELAY, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub drain_delay: Duration,
    /// After that: how long requests under way may take; a second signal ends at once
    #[arg(long, env = environment::DRAIN_TIMEOUT, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,
    /// Memory that the process may use, such as 512Mi; requests share what is left of it [default:
    /// the container's limit, else 512Mi]
    #[arg(long, env = "PROMETHEUS_MIRROR_MEMORY_LIMIT", value_name = "SIZE")]
    pub memory_limit: Option<ByteSize>,
    /// Threads that serve [default: one per core, at most 4]
    #[arg(long, env = "PROMETHEUS_MIRROR_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// `check`
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The configuration.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// Ask each target, too
    #[arg(long)]
    pub probe: bool,
}

/// `query`
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("what").required(true).args(["gauge", "counter", "histogram", "summary", "promql"])))]
pub struct QueryArgs {
    /// The configuration.
    #[command(flatten)]
    pub document: OptionalDocumentArgs,
    /// Ask the running mirror at this base URL, such as http://production.observability.svc:9900,
    /// instead of the targets themselves
    #[arg(long, value_name = "URL")]
    pub mirror: Option<reqwest::Url>,
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
    /// Print the PromQL and the upstream calls instead of points
    #[arg(long)]
    pub explain: bool,
}

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
        env = "PROMETHEUS_MIRROR_API_KEY",
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

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress(String);

impl ListenAddress {
    /// All IPv4 addresses of this machine.
    #[must_use]
    pub fn any(port: u16) -> Self {
        Self(format!("{}:{port}", IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }

    /// `host:port`
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "an address is a port (9900), :PORT, HOST:PORT or [IPv6]:PORT".to_owned();
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        if bare_ipv6 || host.contains(['/', ' ']) {
            return Err(wrong());
        }
        Ok(if host.is_empty() {
            Self::any(port)
        } else {
            Self(format!("{host}:{port}"))
        })
    }
}

/// A time like `500ms`, `90s`, `15m`, `1h30m`, `2d`.
///
/// # Errors
/// A sentence for the user.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a time; write it like 500ms, 90s, 15m, 1h30m or 2d"))
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than nothing".into()),
        time if time > LONGEST => Err("it must not be longer than a day".into()),
        time => Ok(time),
    }
}

/// Longer than anybody waits for a poll.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// An aggregation method by its name on the wire, in any case.
fn method_name() -> impl TypedValueParser<Value = &'static str> {
    let names = METHODS.map(|(name, _)| name);
    PossibleValuesParser::new(names).try_map(|given| {
        let known = Method::named(&given.to_ascii_uppercase());
        known.map(|(name, _)| name).ok_or("no such method")
    })
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_may_leave_out_the_host() {
        let written = ["9900", ":9900", "127.0.0.1:80", "localhost:0", "[::1]:9900"]
            .map(|text| ListenAddress::from_str(text).map(|address| address.0));
        assert_eq!(
            written,
            [
                "0.0.0.0:9900",
                "0.0.0.0:9900",
                "127.0.0.1:80",
                "localhost:0",
                "[::1]:9900"
            ]
            .map(|text| Ok(text.to_owned()))
        );
        for wrong in [
            "",
            "host",
            "host:",
            "host:70000",
            "::1:9900",
            "http://host:1",
            "a b:1",
        ] {
            assert!(ListenAddress::from_str(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_and_config_maps_are_next_to_the_file_unless_said_otherwise() {
        let source = |secrets_dir: Option<&str>, configmaps_dir: Option<&str>| {
            let folders = FolderArgs {
                secrets_dir: secrets_dir.map(Into::into),
                configmaps_dir: configmaps_dir.map(Into::into),
            };
            let file = "a/mirror.yaml".into();
            DocumentArgs { file, folders }.source()
        };
        let expected = |secrets_dir: &str, config_maps_dir: &str| Source {
            file: "a/mirror.yaml".into(),
            secrets_dir: secrets_dir.into(),
            config_maps_dir: config_maps_dir.into(),
        };
        assert_eq!(source(None, None), expected("a/secrets", "a/configmaps"));
        assert_eq!(source(Some("b"), Some("c")), expected("b", "c"));
    }

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
    }
}
