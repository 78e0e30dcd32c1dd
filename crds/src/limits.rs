//! Limits on the memory of a pod and on the calls of a request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::patterns;

/// Limits on the memory of a pod, and on the API calls that one request may make to its target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The memory that the mirror's process may use, such as 400Mi: a whole number of M, G, Mi or
    /// Gi. A request that needs more than is free waits, and gets status 503 at its deadline.
    /// Default: the container's memory limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 9), regex(pattern = patterns::MEMORY))]
    pub memory: Option<String>,

    /// How many API calls one request may make to its target. A request that needs more gets the
    /// points found so far and the header X-Mirror-Partial, or, if there are none, an error that
    /// says how to narrow the request.
    #[serde(default = "default_upstream_calls")]
    #[schemars(range(min = 1, max = 10000))]
    pub upstream_calls_per_request: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: None,
            upstream_calls_per_request: default_upstream_calls(),
        }
    }
}

impl Limits {
    /// `memory` in bytes. None if it is absent, or no quantity of [`patterns::MEMORY`].
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        bytes(self.memory.as_deref()?)
    }
}

/// A quantity of [`patterns::MEMORY`] in bytes. None if it is none.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let bytes: u64 = match unit {
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(bytes)
}

const fn default_upstream_calls() -> i32 {
    200
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_number_of_megabytes_or_gigabytes() {
        for (text, bytes) in [
            ("400Mi", Some(400 << 20)),
            ("400M", Some(400_000_000)),
            ("2Gi", Some(2 << 30)),
            ("2G", Some(2_000_000_000)),
            ("9999Gi", Some(9999 << 30)),
            ("400", None),
            ("400Ki", None),
            ("Mi", None),
            ("", None),
        ] {
            let limits = Limits {
                memory: Some(text.to_owned()),
                ..Limits::default()
            };
            assert_eq!(limits.memory_bytes(), bytes, "{text:?}");
        }
        assert_eq!(Limits::default().memory_bytes(), None);
    }
}
