//! Field names and field values: which series a query of them is about, and how a long list is
//! answered.

mod fold;

pub use self::fold::cut;
use super::kind::QueryKind;
use super::selector::{Matcher, Selector};
use crate::model::time::Timestamp;

/// Which series a field query looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldQuery {
    /// The metric among the conditions, if there is one.
    pub kind: Option<QueryKind>,
    /// The other conditions.
    pub matchers: Vec<Matcher>,
    /// From this instant …
    pub start: Timestamp,
    /// … to this one.
    pub end: Timestamp,
    /// At most so many results.
    pub limit: Option<u64>,
}

/// Which values of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct ValuesQuery {
    /// The series.
    pub fields: FieldQuery,
    /// A label's name, or the key of a query kind for the names of its metrics.
    pub field: String,
    /// Only values that begin so.
    pub prefix: String,
    /// How many values to leave out, in their sorted order.
    pub offset: u64,
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// One value.
    Complete(String),
    /// All values that begin with what stands before the `*`.
    Pattern(String),
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// What is answered.
    pub entries: Vec<T>,
    /// There is more.
    pub is_partial: bool,
}

impl FieldQuery {
    /// The series; none if all of them are meant.
    #[must_use]
    pub fn selector(&self) -> Option<Selector> {
        match &self.kind {
            Some(QueryKind::Gauge(selector) | QueryKind::Counter(selector)) => {
                Some(selector.clone())
            }
            // `_count` has neither `le` nor `quantile`, which are no business of a query; a native
            // histogram has no suffix.
            Some(QueryKind::Histogram(base)) => Some(base.with_any_suffix(&["", "_count"])),
            Some(QueryKind::Summary(base)) => Some(base.with_suffix("_count")),
            Some(QueryKind::Expression { .. }) | None if self.matchers.is_empty() => None,
            Some(QueryKind::Expression { .. }) | None => {
                Some(Selector::any_name(self.matchers.clone()))
            }
        }
    }
}
