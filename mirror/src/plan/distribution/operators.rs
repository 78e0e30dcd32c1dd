//! What is computed between elements, and which of them belong together.

use std::fmt;

use crate::plan::pool::Reduce;
use crate::plan::selector::{is_legacy_label_name, quote};

/// How partial aggregations become the whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Added: of sums and counts.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// An aggregation that the gateway knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `sum`
    Sum,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `count`
    Count,
    /// `avg`
    Avg,
    /// `group`
    Group,
}

/// An arithmetic operation or a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which one.
    pub sign: Sign,
    /// A comparison answers 0 or 1 instead of leaving out.
    pub is_bool: bool,
}

/// The signs between operands.
#[expect(missing_docs, reason = "they say what they are")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A set operation.
#[expect(missing_docs, reason = "they say what they are")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    And,
    Or,
    Unless,
}

/// Which elements belong together: those that have the same values of some labels. The name is
/// never among these, unless it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Of these labels: `by`, `on`.
    Of(Vec<String>),
    /// Of all but these: `without`, `ignoring`.
    AllBut(Vec<String>),
}

impl Operator {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Avg => "avg",
            Self::Group => "group",
        }
    }

    /// How the shards' results become one; none where that needs more.
    pub(super) fn fold(self) -> Option<Fold> {
        match self {
            Self::Sum | Self::Count => Some(Fold::Sum),
            Self::Min => Some(Fold::Min),
            Self::Max | Self::Group => Some(Fold::Max),
            Self::Avg => None,
        }
    }
}

impl Fold {
    pub(super) fn reduce(self) -> Reduce {
        match self {
            Self::Sum => Reduce::Sum,
            Self::Min => Reduce::Min,
            Self::Max => Reduce::Max,
        }
    }
}

impl Sign {
    pub(super) fn is_comparison(self) -> bool {
        use Sign::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        matches!(
            self,
            Equal | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual
        )
    }
}

impl fmt::Display for Grouping {
    /// As it stands behind an aggregation's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, labels) = match self {
            Self::Of(labels) if labels.is_empty() => return Ok(()),
            Self::Of(labels) => ("by", labels),
            Self::AllBut(labels) => ("without", labels),
        };
        let labels = labels
            .iter()
            .map(|label| match is_legacy_label_name(label) {
                true => label.clone(),
                false => quote(label),
            });
        let labels: Vec<String> = labels.collect();
        write!(f, " {word} ({}) ", labels.join(", "))
    }
}
