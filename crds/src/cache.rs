//! Finished buckets are remembered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::bytes;
use crate::{Duration, patterns, rules};

/// Answers about finished buckets are remembered, so that a target is asked only for what is
/// missing and for what may still change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// Remembers finished buckets. For targets whose buckets don't change any more once they have
    /// settled.
    #[serde(default)]
    pub enabled: bool,

    /// How much of a pod's memory is for remembered buckets at most, such as 64Mi: a whole number
    /// of M, G, Mi or Gi. Never more than half of what requests may use.
    #[serde(default = "default_size")]
    #[schemars(length(max = 9), regex(pattern = patterns::MEMORY))]
    pub size: String,

    /// How long after its end a bucket may still change, such as 10m. At least as long as the
    /// target accepts samples that come late or out of order. From 0s to 7 days, 168h.
    #[serde(default = "default_settle")]
    #[schemars(extend("x-kubernetes-validations" = rules::schema(rules::SETTLE)))]
    pub settle: Duration,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            enabled: false,
            size: default_size(),
            settle: default_settle(),
        }
    }
}

impl Cache {
    /// `size` in bytes. None if it is no quantity of [`patterns::MEMORY`].
    #[must_use]
    pub fn size_bytes(&self) -> Option<u64> {
        bytes(&self.size)
    }
}

fn default_size() -> String {
    "64Mi".to_owned()
}

fn default_settle() -> Duration {
    Duration::from_secs(600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_remembered_unless_it_is_enabled() {
        let cache: Cache = serde_json::from_str("{}").expect("all of it has defaults");
        assert_eq!(cache, Cache::default());
        assert_eq!((cache.enabled, cache.size_bytes()), (false, Some(64 << 20)));
        let settle = cache.settle.to_std().expect("a duration");
        assert_eq!(settle.as_secs(), 600);
    }
}
