//! What the gateway makes of the answers of shards. Results are those of PromQL: for each instant
//! for itself, and in the store's digits wherever nothing is computed.

mod fold;
mod match_up;

use std::collections::BTreeMap;

use super::quantile::{Bucket, of_buckets};
use super::{Across, Grouping, Leaf, Node, Operator};
use crate::model::series::{Labels, Samples, Series};
use crate::model::time::Timestamp;
use crate::plan::pool::Reduce;
use crate::plan::value;

/// The name of a bucket's upper bound.
const BOUND: &str = "le";

/// What each shard that was asked answered to a leaf.
pub type Parts<'a> = Vec<&'a [Series]>;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncombinable {
    /// The answers to this leaf have native histograms, of which the gateway does not know the
    /// buckets.
    Native {
        /// The leaf's expression.
        promql: String,
    },
    /// As Prometheus refuses it, in its words.
    Refused(String),
}

/// Combines the answers to the leaves of a tree.
pub struct Combiner<'a> {
    /// The answers to a leaf.
    pub parts: &'a dyn Fn(&Leaf) -> Parts<'a>,
    /// Whether a result that is no number is left out, as VictoriaMetrics does.
    pub drops_nan: bool,
}

type Combined = Result<Vec<Series>, Uncombinable>;

impl Combiner<'_> {
    /// The result of a tree.
    ///
    /// # Errors
    /// See [`Uncombinable`].
    pub fn result(&self, node: &Node) -> Combined {
        match node {
            Node::Leaf(leaf) => self.leaf(leaf),
            Node::Number(_) | Node::Empty => Ok(Vec::new()),
            Node::Aggregated {
                operator,
                grouping,
                inner,
            } => Ok(self.aggregated(*operator, grouping, &self.floats(inner)?)),
            Node::Binary {
                operation,
                matching,
                sides,
            } => {
                let sides = (self.side(&sides.0)?, self.side(&sides.1)?);
                match_up::binary(*operation, matching, sides, self.drops_nan)
            }
            Node::Set {
                set,
                matching,
                sides,
            } => {
                let (left, right) = (self.result(&sides.0)?, self.result(&sides.1)?);
                Ok(match_up::set(*set, matching, left, right))
            }
            Node::Quantile { rank, inner, .. } => self.quantile(*rank, &self.floats(inner)?),
            Node::Labelled {
                label,
                value,
                inner,
            } => {
                let mut all = self.result(inner)?;
                for one in &mut all {
                    one.labels.insert(label.clone(), value.clone());
                }
                fold::distinct(&all)
            }
        }
    }

    fn leaf(&self, leaf: &Leaf) -> Combined {
        let parts = (self.parts)(leaf);
        match leaf.across {
            Across::Anywhere | Across::Alone(_) => Ok(parts
                .into_iter()
                .find(|part| !part.is_empty())
                .unwrap_or_default()
                .to_vec()),
            Across::SideBySide { are_one } => fold::side_by_side(&parts, are_one),
            Across::Folded(fold) => Ok(fold::folded(&parts, fold)),
        }
    }

    /// The result of something that must not be native histograms.
    fn floats(&self, node: &Node) -> Combined {
        let all = self.result(node)?;
        if all.iter().all(|one| one.histograms.is_empty()) {
            return Ok(all);
        }
        let leaves = node.leaves();
        let has_native = |leaf: &&&Leaf| {
            let mut series = (self.parts)(leaf).into_iter().flatten();
            series.any(|one| !one.histograms.is_empty())
        };
        let leaf = leaves.iter().find(has_native);
        Err(Uncombinable::Native {
            promql: leaf.map(|leaf| leaf.promql.clone()).unwrap_or_default(),
        })
    }

    fn side(&self, node: &Node) -> Result<match_up::Side, Uncombinable> {
        Ok(match node {
            Node::Number(number) => match_up::Side::Number(*number),
            node if node.is_scalar() => match_up::Side::Scalar(
                self.floats(node)?
                    .first()
                    .map(|one| numbers(&one.samples).collect())
                    .unwrap_or_default(),
            ),
            node => match_up::Side::Vector(self.floats(node)?),
        })
    }

    fn aggregated(&self, operator: Operator, grouping: &Grouping, all: &[Series]) -> Vec<Series> {
        let reduce = match operator {
            Operator::Sum => Reduce::Sum,
            Operator::Min => Reduce::Min,
            Operator::Max => Reduce::Max,
            Operator::Avg => Reduce::Mean,
            Operator::Count | Operator::Group => Reduce::Count,
        };
        let result = |values: &mut Vec<f64>| match operator {
            Operator::Group => Some(1.0),
            _ => reduce.of(values),
        };
        let group = |labels: &Labels| grouping.of(labels);
        self.grouped(all, group, |_, value| Some(value), result)
    }

    fn quantile(&self, rank: f64, all: &[Series]) -> Combined {
        let bucket = |one: &Series, count| {
            let upper = one.labels.get(BOUND)?.parse().ok()?;
            Some(Bucket { upper, count })
        };
        let result = |buckets: &mut Vec<Bucket>| Some(of_buckets(rank, std::mem::take(buckets)));
        // Buckets of several metrics are several histograms.
        let group = |labels: &Labels| {
            let mut labels = labels.clone();
            labels.remove(BOUND);
            labels
        };
        let mut quantiles = self.grouped(all, group, bucket, result);
        for one in &mut quantiles {
            one.labels.remove("__name__");
        }
        fold::distinct(&quantiles)
    }

    /// One result for each group and instant, of what its elements have at that instant.
    fn grouped<T>(
        &self,
        all: &[Series],
        group: impl Fn(&Labels) -> Labels,
        read: impl Fn(&Series, f64) -> Option<T>,
        result: impl Fn(&mut Vec<T>) -> Option<f64>,
    ) -> Vec<Series> {
        let mut groups: BTreeMap<Labels, BTreeMap<Timestamp, Vec<T>>> = BTreeMap::new();
        for one in all {
            let group = groups.entry(group(&one.labels)).or_default();
            for (at, value) in numbers(&one.samples) {
                if let Some(read) = read(one, value) {
                    group.entry(at).or_default().push(read);
                }
            }
        }
        let series = groups.into_iter().map(|(labels, instants)| {
            let mut samples = Samples::default();
            for (at, mut values) in instants {
                if let Some(result) = result(&mut values).filter(|result| self.has(*result)) {
                    samples.push(at, &value::write(result));
                }
            }
            Series {
                labels,
                samples,
                ..Series::default()
            }
        });
        series.filter(|one| !one.samples.is_empty()).collect()
    }

    /// Whether a result that was computed is one.
    fn has(&self, result: f64) -> bool {
        !(self.drops_nan && result.is_nan())
    }
}

impl Grouping {
    /// The labels that count.
    fn of(&self, labels: &Labels) -> Labels {
        let counts = |name: &String| match self {
            Self::Of(listed) => listed.contains(name),
            Self::AllBut(listed) => name != "__name__" && !listed.contains(name),
        };
        let kept = labels.iter().filter(|(name, _)| counts(name));
        kept.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

fn numbers(samples: &Samples) -> impl Iterator<Item = (Timestamp, f64)> + '_ {
    samples.iter().map(|(at, text)| (at, value::parse(text)))
}
