//! What is checked, one subject a file. A check that builds on a faulty answer is not done: one
//! fault must not look like ten.

pub(super) mod connection;
pub(super) mod fields;
pub(super) mod forms;
pub(super) mod metrics;
pub(super) mod polling;
pub(super) mod values;

use super::wire::{Aggregation, Condition, METRIC_LIMIT, MetricQuery, Range};
use crate::model::time::Timestamp;

/// The ranges are so long, in milliseconds.
pub(super) const HOUR: i64 = 3_600_000;
/// The buckets are so long, in milliseconds.
pub(super) const MINUTE: i64 = 60_000;
/// What is older than this must not change any more, in milliseconds: scrapes and remote writes may
/// be late.
pub(super) const SETTLED: i64 = 2 * MINUTE;

/// The keys of the query kinds whose metrics are read.
pub(super) const KINDS: [&str; 3] = ["__gauge__", "__counter__", "__histogram__"];

/// A metric that is read.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// One of [`KINDS`].
    pub kind: &'static str,
    pub name: String,
    /// The kind's condition, and those that leave a single series once one was found.
    pub conditions: Vec<Condition>,
    /// A single series was found, so it can be read raw.
    pub is_single: bool,
    /// The aggregation methods that answer it.
    pub methods: Vec<&'static str>,
}

impl Chosen {
    pub(super) fn new(kind: &'static str, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            conditions: vec![Condition::text(kind, name)],
            is_single: false,
            methods: Vec::new(),
        }
    }

    pub(super) fn query(&self, range: Range, aggregation: Option<Aggregation>) -> MetricQuery {
        MetricQuery {
            conditions: self.conditions.clone(),
            range,
            limit: METRIC_LIMIT,
            aggregation,
        }
    }

    /// What is read, in words.
    pub(super) fn what(&self, aggregation: Option<Aggregation>) -> String {
        let kind = self.kind.trim_matches('_');
        match aggregation {
            Some(Aggregation { method, .. }) => format!("{method} of {kind} {}", self.name),
            None => format!("raw {kind} {}", self.name),
        }
    }
}

/// The last hour whose points must not change any more.
pub(super) fn settled_hour() -> Range {
    let end = Timestamp::now().0 - SETTLED;
    Range {
        start: end - HOUR,
        end,
    }
}

/// The last hour.
pub(super) fn last_hour() -> Range {
    let end = Timestamp::now().0;
    Range {
        start: end - HOUR,
        end,
    }
}
