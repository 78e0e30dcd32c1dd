//! How an expression is answered by a target of several shards, each of which holds a part of the
//! series: what each shard is asked, and what the gateway makes of the answers. Pure.
//!
//! A series is in one shard, and nothing more is taken for granted: two series that differ in one
//! label only, such as the buckets of one histogram, may be in different ones. So a shard computes
//! what is [of one series](Across::SideBySide) each, or [aggregates](Across::Folded) that; what
//! looks at several series at once is computed here, from the answers of all shards. What is not
//! known here [one shard alone](Across::Alone) may answer, if it has all the series.
//!
//! * [`read`]: an expression becomes a tree; `formula` prints it. `operators`: its vocabulary.
//!   [`combine`]: the tree and the answers become the result. [`quantile`]: the quantile of a
//!   classic histogram.

pub mod combine;
mod formula;
mod operators;
pub mod quantile;
mod read;
#[cfg(test)]
mod tests;

pub use self::operators::{Fold, Grouping, Operation, Operator, Set, Sign};
pub(super) use self::read::{FunctionKind, kind_of};
pub use self::read::{distribute, is_put_together};
use crate::model::time::Millis;

/// How an expression is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Shards are asked.
    Leaf(Leaf),
    /// A number.
    Number(f64),
    /// Nothing, because no shard has such series.
    Empty,
    /// An aggregation of the gateway's.
    Aggregated {
        /// What is computed.
        operator: Operator,
        /// Of which elements.
        grouping: Grouping,
        /// The elements.
        inner: Box<Node>,
    },
    /// Arithmetic, and comparisons.
    Binary {
        /// What is computed.
        operation: Operation,
        /// Which elements belong together.
        matching: Grouping,
        /// Its operands.
        sides: Box<(Node, Node)>,
    },
    /// A set operation.
    Set {
        /// Which one.
        set: Set,
        /// Which elements belong together.
        matching: Grouping,
        /// Its operands.
        sides: Box<(Node, Node)>,
    },
    /// The quantile of classic histograms.
    Quantile {
        /// Its rank.
        rank: f64,
        /// The buckets.
        inner: Box<Node>,
        /// All of it, for a shard that has all the series.
        alone: Leaf,
    },
    /// One more label with a fixed value.
    Labelled {
        /// Its name.
        label: String,
        /// Its value.
        value: String,
        /// What gets it.
        inner: Box<Node>,
    },
}

/// What shards are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// The expression.
    pub promql: String,
    /// What becomes of their answers.
    pub across: Across,
    /// It is a number without labels, and no vector.
    pub is_scalar: bool,
    /// The series that it reads.
    pub reads: Vec<Reads>,
}

/// Series that an expression reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reads {
    /// Which.
    pub selector: String,
    /// From how long before the first evaluation on; none: from any time.
    pub before: Option<Millis>,
    /// To how long after the last evaluation.
    pub after: Millis,
}

/// What becomes of the answers of several shards.
#[derive(Clone, Debug, PartialEq)]
pub enum Across {
    /// It reads no series: any shard answers the same.
    Anywhere,
    /// Each element is computed of one series: those of all shards stand side by side.
    SideBySide {
        /// Elements with the same labels are of the same series, which two shards have one after
        /// the other. Otherwise they are an error, as within one Prometheus.
        are_one: bool,
    },
    /// Elements with the same labels are folded.
    Folded(Fold),
    /// It needs all of its series in one place: only where one shard has them all.
    Alone(Reason),
}

/// Why a part of an expression needs all of its series in one place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A function or aggregation that cannot be put together from the answers of shards.
    #[error("{0}() needs all of its series in one Prometheus")]
    Function(String),
    /// A subquery of something that several shards compute together.
    #[error("a subquery of an aggregation needs all of its series in one Prometheus")]
    Subquery,
    /// Several elements on one side of an operator.
    #[error("group_left and group_right need all of their series in one Prometheus")]
    ManyToOne,
    /// Other operators.
    #[error("the operator {0} needs all of its series in one Prometheus")]
    Operator(String),
    /// Buckets that the API does not tell in full.
    #[error("the buckets of native histograms cannot be added up across shards")]
    NativeHistograms,
    /// VictoriaMetrics computes quantiles in a way of its own.
    #[error("the buckets of histograms in VictoriaMetrics cannot be added up across shards")]
    MetricsQl,
}

impl Leaf {
    /// Whether the elements of each series are sent.
    fn is_one_by_one(&self) -> bool {
        matches!(self.across, Across::SideBySide { .. })
    }
}

impl Node {
    /// An aggregation: as far as they can, the shards do it.
    fn aggregated(operator: Operator, grouping: Grouping, inner: Self) -> Self {
        let folded = |operator: Operator, leaf: &Leaf, fold| {
            Self::Leaf(Leaf {
                promql: format!("{}{grouping}({})", operator.name(), leaf.promql),
                across: Across::Folded(fold),
                is_scalar: false,
                reads: leaf.reads.clone(),
            })
        };
        match inner {
            Self::Empty => Self::Empty,
            Self::Leaf(leaf) if leaf.is_one_by_one() => match operator.fold() {
                Some(fold) => folded(operator, &leaf, fold),
                None => Self::Binary {
                    operation: Operation {
                        sign: Sign::Divide,
                        is_bool: false,
                    },
                    matching: Grouping::AllBut(Vec::new()),
                    sides: Box::new((
                        folded(Operator::Sum, &leaf, Fold::Sum),
                        folded(Operator::Count, &leaf, Fold::Sum),
                    )),
                },
            },
            inner => Self::Aggregated {
                operator,
                grouping,
                inner: Box::new(inner),
            },
        }
    }

    /// Whether it is a number without labels.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        match self {
            Self::Number(_) => true,
            Self::Leaf(leaf) => leaf.is_scalar,
            Self::Binary { sides, .. } => sides.0.is_scalar() && sides.1.is_scalar(),
            _ => false,
        }
    }

    /// The nodes below.
    fn below(&self) -> Vec<&Self> {
        match self {
            Self::Leaf(_) | Self::Number(_) | Self::Empty => Vec::new(),
            Self::Aggregated { inner, .. }
            | Self::Quantile { inner, .. }
            | Self::Labelled { inner, .. } => vec![inner],
            Self::Binary { sides, .. } | Self::Set { sides, .. } => vec![&sides.0, &sides.1],
        }
    }

    /// The same with `change` made to the nodes below.
    fn with_below(self, mut change: impl FnMut(Self) -> Self) -> Self {
        match self {
            Self::Leaf(_) | Self::Number(_) | Self::Empty => self,
            Self::Aggregated {
                operator,
                grouping,
                inner,
            } => Self::Aggregated {
                operator,
                grouping,
                inner: Box::new(change(*inner)),
            },
            Self::Quantile { rank, inner, alone } => Self::Quantile {
                rank,
                inner: Box::new(change(*inner)),
                alone,
            },
            Self::Labelled {
                label,
                value,
                inner,
            } => Self::Labelled {
                label,
                value,
                inner: Box::new(change(*inner)),
            },
            Self::Binary {
                operation,
                matching,
                sides,
            } => Self::Binary {
                operation,
                matching,
                sides: Box::new((change(sides.0), change(sides.1))),
            },
            Self::Set {
                set,
                matching,
                sides,
            } => Self::Set {
                set,
                matching,
                sides: Box::new((change(sides.0), change(sides.1))),
            },
        }
    }

    /// What shards are asked, each once.
    #[must_use]
    pub fn leaves(&self) -> Vec<&Leaf> {
        let mut leaves: Vec<&Leaf> = Vec::new();
        let mut left = vec![self];
        while let Some(node) = left.pop() {
            if let Self::Leaf(leaf) = node
                && !leaves.contains(&leaf)
            {
                leaves.push(leaf);
            }
            left.extend(node.below().into_iter().rev());
        }
        leaves
    }

    /// The series that the shards are asked for, each once.
    #[must_use]
    pub fn reads(&self) -> Vec<Reads> {
        let mut reads: Vec<Reads> = Vec::new();
        for one in self.leaves().iter().flat_map(|leaf| &leaf.reads) {
            if !reads.contains(one) {
                reads.push(one.clone());
            }
        }
        reads
    }

    /// Whether it is worth to find out which series there are: it compares the elements of
    /// several, which are sent one by one, or needs all in one shard.
    #[must_use]
    pub fn is_costly(&self) -> bool {
        match self {
            Self::Set { .. } if self.leaves().iter().any(|leaf| leaf.is_one_by_one()) => true,
            Self::Leaf(leaf) => matches!(leaf.across, Across::Alone(_)),
            _ => self.below().into_iter().any(Self::is_costly),
        }
    }

    /// The same where no shard has series of the selectors of which `is_gone` holds.
    #[must_use]
    pub fn without(self, is_gone: &impl Fn(&Reads) -> bool) -> Self {
        if let Self::Leaf(leaf) = &self
            && !matches!(leaf.across, Across::Alone(_) | Across::Anywhere)
            && leaf.reads.iter().all(is_gone)
        {
            return Self::Empty;
        }
        match self.with_below(|node| node.without(is_gone)) {
            Self::Aggregated {
                operator,
                grouping,
                inner,
            } => Self::aggregated(operator, grouping, *inner),
            Self::Binary { sides, .. } if sides.0 == Self::Empty || sides.1 == Self::Empty => {
                Self::Empty
            }
            Self::Set {
                set,
                matching,
                sides,
            } => Self::set(set, matching, *sides),
            Self::Quantile { inner, .. } | Self::Labelled { inner, .. }
                if *inner == Self::Empty =>
            {
                Self::Empty
            }
            node => node,
        }
    }

    /// A set operation, of which nothing is left where one side decides it.
    fn set(set: Set, matching: Grouping, sides: (Self, Self)) -> Self {
        match (set, sides) {
            (Set::And, (Self::Empty, _) | (_, Self::Empty)) | (Set::Unless, (Self::Empty, _)) => {
                Self::Empty
            }
            (Set::Or, (Self::Empty, other) | (other, Self::Empty))
            | (Set::Unless, (other, Self::Empty)) => other,
            (set, sides) => Self::Set {
                set,
                matching,
                sides: Box::new(sides),
            },
        }
    }

    /// The same with those quantiles asked of one shard alone, for `reason`, whose buckets are the
    /// answers to `promql`, or all of them.
    #[must_use]
    pub fn with_quantiles_alone(self, promql: Option<&str>, reason: &Reason) -> Self {
        let of_it = |leaf: &&Leaf| promql.is_none_or(|promql| leaf.promql == promql);
        match self {
            Self::Quantile { inner, alone, .. } if inner.leaves().iter().any(of_it) => {
                Self::Leaf(Leaf {
                    across: Across::Alone(reason.clone()),
                    ..alone
                })
            }
            node => node.with_below(|node| node.with_quantiles_alone(promql, reason)),
        }
    }
}
