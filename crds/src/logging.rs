//! What the mirror logs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, rules};

/// What the mirror logs beside its own messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logging {
    /// Logs requests: who asked, what for, and how it ended. {} logs only slow ones. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<LoggedRequests>,
}

/// Which requests are logged, each in one line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggedRequests {
    /// How many of all requests are logged, chosen at random, in percent. Slow requests are always
    /// logged.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub sample_percent: i32,

    /// Requests that take at least this long are slow, such as 5s or 500ms. From 1ms to 10m.
    #[serde(default = "default_slow")]
    #[schemars(extend("x-kubernetes-validations" = rules::schema(rules::SLOW_REQUEST)))]
    pub slow: Duration,
}

fn default_slow() -> Duration {
    Duration::from_secs(5)
}
