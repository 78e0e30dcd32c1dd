//! How much is logged, and how.

use clap::Args;
use crds::contract::{LogFormat, environment};

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
