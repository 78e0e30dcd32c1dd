//! Expressions: what each shard is asked, and what becomes of the answers.

use std::sync::Arc;

use super::route::{Place, Route};
use super::routed::{Evaluation, Finding};
use super::unite::{self, size};
use super::{Asked, Shards};
use crate::blocking;
use crate::execute::counted::MOST_PROMQL_BYTES;
use crate::execute::work;
use crate::model::time::Timestamp;
use crate::plan::distribution::combine::{Combiner, Uncombinable};
use crate::plan::distribution::{Across, Leaf, Node, Reason, distribute};
use crate::plan::expression::positions_left_out;
use crate::prometheus::remarks::Remark;
use crate::prometheus::{Answer, Call, Data, Deadline, Store, StoreError};

/// To read a longer expression takes longer than a runtime's worker should be kept.
const LONG: usize = 512;

/// The first and the last instant of an evaluation.
pub(super) type Range = (Timestamp, Timestamp);

impl<S: Store> Shards<S> {
    /// The stored samples of series, each of which one shard has.
    pub(super) async fn samples(
        &self,
        call: &Call,
        deadline: Deadline,
    ) -> Result<Arc<Answer>, StoreError> {
        let leaf = Leaf {
            promql: String::new(),
            across: Across::SideBySide { are_one: true },
            is_scalar: false,
            reads: Vec::new(),
        };
        let asked = vec![self.ask(call, deadline).await?];
        let drops_nan = self.capabilities(deadline).await?.is_metricsql();
        let tree = Node::Leaf(leaf);
        match self.combined(&tree, asked, drops_nan, deadline).await? {
            Ok(answer) => Ok(answer),
            Err(error) => Err(refused(error)),
        }
    }

    /// The result of `promql`, which `call` asks for over `range`.
    pub(super) async fn evaluate(
        &self,
        call: &Call,
        promql: &str,
        range: Range,
        deadline: Deadline,
    ) -> Result<Arc<Answer>, StoreError> {
        let mut tree = Node::clone(&*self.tree(call, promql, deadline).await?);
        let is_metricsql = self.capabilities(deadline).await?.is_metricsql();
        if is_metricsql {
            tree = tree.with_quantiles_alone(None, &Reason::MetricsQl);
        }
        let mut finding = Finding::default();
        // Each turn puts a quantile into one shard; a tree has few.
        loop {
            let evaluation = Evaluation {
                tree: &tree,
                call,
                promql,
                range,
                deadline,
            };
            let (route, asked) = self.routed(evaluation, &mut finding).await?;
            let (parts, mut asked) = match (route, asked) {
                (Route::Whole(_), asked) => {
                    let answers = asked.into_iter().flat_map(|one| one.answers).collect();
                    let missing = finding.missing;
                    return unite::united(Asked { answers, missing }, self, deadline).await;
                }
                (Route::Parts { tree, places }, asked) => {
                    (tree, places.into_iter().zip(asked).collect::<Vec<_>>())
                }
            };
            for (place, one) in &mut asked {
                if matches!(place, Place::One(_)) {
                    one.missing.clone_from(&finding.missing);
                }
            }
            let asked = asked.into_iter().map(|(_, one)| one).collect();
            let native = match self.combined(&parts, asked, is_metricsql, deadline).await? {
                Ok(answer) => return Ok(told(answer, &parts, promql)),
                Err(Uncombinable::Native { promql }) => promql,
                Err(error) => return Err(refused(error)),
            };
            tree = parts
                .clone()
                .with_quantiles_alone(Some(&native), &Reason::NativeHistograms);
            if tree == parts {
                return Err(across(&Reason::NativeHistograms, self.members.len()));
            }
        }
    }

    /// How an expression is answered. One that cannot be read is put to a shard, which knows best
    /// what is wrong with it.
    async fn tree(
        &self,
        call: &Call,
        promql: &str,
        deadline: Deadline,
    ) -> Result<Arc<Node>, StoreError> {
        if let Some(known) = self.known(promql) {
            return Ok(known);
        }
        let read = if promql.len() <= LONG {
            distribute(promql, MOST_PROMQL_BYTES)
        } else {
            let text = promql.to_owned();
            let reading = blocking::run(move || distribute(&text, MOST_PROMQL_BYTES));
            reading.await.map_err(|_| {
                StoreError::AcrossShards("the expression could not be read".to_owned())
            })?
        };
        match read {
            Ok(node) => {
                let node = Arc::new(node);
                self.learn(promql, &node);
                Ok(node)
            }
            Err(error) => {
                self.ask_one(0, call, deadline).await?;
                Err(StoreError::AcrossShards(format!(
                    "the mirror cannot tell how the shards of this target answer the expression: {error}"
                )))
            }
        }
    }

    /// The result of a tree, of the answers to its leaves. `drops_nan`: as VictoriaMetrics does.
    async fn combined(
        &self,
        tree: &Node,
        asked: Vec<Asked>,
        drops_nan: bool,
        deadline: Deadline,
    ) -> Result<Result<Arc<Answer>, Uncombinable>, StoreError> {
        let (mut answers, mut missing) = (Vec::new(), Vec::new());
        for one in asked {
            answers.push(one.answers.into_iter().flatten().collect::<Vec<_>>());
            missing.extend(one.missing);
        }
        let all: Vec<Arc<Answer>> = answers.iter().flatten().cloned().collect();
        if let (Node::Leaf(_), Some(only)) = (tree, only_answer(&all, &missing)) {
            return Ok(Ok(only));
        }
        // The result, and what is between.
        let bytes: u64 = all.iter().map(|answer| size(answer)).sum();
        let held = self.hold(bytes.saturating_mul(2), deadline).await?;
        let tree = tree.clone();
        let size = all.iter().map(|answer| answer.elements()).sum();
        let result = work::within(size, deadline, move || {
            let leaves = tree.leaves();
            let parts = |leaf: &Leaf| {
                let place = leaves.iter().position(|known| **known == *leaf);
                let answers = place.and_then(|place| answers.get(place));
                let answers = answers.into_iter().flatten();
                answers.map(|answer| answer.series()).collect()
            };
            let combiner = Combiner {
                parts: &parts,
                drops_nan,
            };
            combiner.result(&tree)
        });
        Ok(result
            .await?
            .map(|series| unite::answer(Data::Series(series), &all, missing, held)))
    }
}

/// The only answer that says anything.
fn only_answer(all: &[Arc<Answer>], missing: &[Remark]) -> Option<Arc<Answer>> {
    let says_something = |answer: &&Arc<Answer>| {
        !answer.series().is_empty() || !answer.remarks.is_empty() || answer.is_partial
    };
    let mut saying = all.iter().filter(says_something);
    let first = saying.next().or(all.first());
    first
        .filter(|_| missing.is_empty() && saying.next().is_none())
        .cloned()
}

pub(super) fn across(reason: &Reason, count: usize) -> StoreError {
    StoreError::AcrossShards(format!(
        "{reason}, and {count} shards of this target have some: write an expression whose outermost aggregation is sum, min, max, count or avg, or select series of one shard only"
    ))
}

fn refused(error: Uncombinable) -> StoreError {
    match error {
        Uncombinable::Refused(message) => StoreError::Rejected {
            kind: "execution".to_owned(),
            message,
        },
        Uncombinable::Native { .. } => {
            StoreError::AcrossShards(Reason::NativeHistograms.to_string())
        }
    }
}

/// Whether what was sent is not the text that was asked for.
fn is_rewritten(tree: &Node, promql: &str) -> bool {
    !matches!(tree, Node::Leaf(leaf) if leaf.promql == promql)
}

/// A shard's complaint about a part of the expression, whose positions mean nothing.
pub(super) fn complaint(error: StoreError, tree: &Node, promql: &str) -> StoreError {
    match error {
        StoreError::Rejected { kind, message } if is_rewritten(tree, promql) => {
            StoreError::Rejected {
                kind,
                message: positions_left_out(&message),
            }
        }
        error => error,
    }
}

/// The same of its remarks.
fn told(mut answer: Arc<Answer>, tree: &Node, promql: &str) -> Arc<Answer> {
    if is_rewritten(tree, promql)
        && let Some(answer) = Arc::get_mut(&mut answer)
    {
        for remark in &mut answer.remarks {
            remark.text = positions_left_out(&remark.text);
        }
    }
    answer
}
