//! Expressions: what each shard is asked, and what becomes of the answers.

use std::sync::Arc;

use futures::future::try_join_all;

use super::unite::{self, size};
use super::{Asked, Shards};
use crate::blocking;
use crate::execute::counted::MOST_PROMQL_BYTES;
use crate::execute::work;
use crate::model::time::{Millis, Timestamp};
use crate::plan::distribution::combine::{Combiner, Uncombinable};
use crate::plan::distribution::{Across, Leaf, Node, Reads, Reason, distribute};
use crate::plan::expression::positions_left_out;
use crate::prometheus::remarks::Remark;
use crate::prometheus::{Answer, Call, Data, Deadline, Store, StoreError};

/// To read a longer expression takes longer than a runtime's worker should be kept.
const LONG: usize = 512;

/// The first and the last instant of an evaluation.
type Range = (Timestamp, Timestamp);

/// Which shards have series of a selector.
struct Found {
    reads: Reads,
    by_shard: Vec<bool>,
}

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
        // Each turn puts a quantile into one shard; a tree has few.
        loop {
            if tree.is_costly() {
                let (found, missing) = self.found(&tree, range, deadline).await?;
                if let Some(only) = only(&found) {
                    let answers = vec![Some(self.ask_one(only, call, deadline).await?)];
                    let asked = Asked { answers, missing };
                    return unite::united(asked, self, deadline).await;
                }
                tree = tree.without(&|reads| {
                    let mut found = found.iter().filter(|found| found.reads == *reads);
                    found.all(|found| !found.by_shard.contains(&true))
                });
            }
            let leaves = tree.leaves();
            let asked = leaves
                .iter()
                .map(|leaf| self.ask_leaf(leaf, call, range, deadline));
            let asked = try_join_all(asked)
                .await
                .map_err(|error| complaint(error, &tree, promql))?;
            let native = match self.combined(&tree, asked, is_metricsql, deadline).await? {
                Ok(answer) => return Ok(told(answer, &tree, promql)),
                Err(Uncombinable::Native { promql }) => promql,
                Err(error) => return Err(refused(error)),
            };
            let before = tree.clone();
            tree = tree.with_quantiles_alone(Some(&native), &Reason::NativeHistograms);
            if tree == before {
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

    async fn ask_one(
        &self,
        index: usize,
        call: &Call,
        deadline: Deadline,
    ) -> Result<Arc<Answer>, StoreError> {
        let answer = self.members[index].call(call.clone(), deadline).await;
        answer.map_err(|error| super::named(error, index))
    }

    /// What the shards answer to a leaf.
    async fn ask_leaf(
        &self,
        leaf: &Leaf,
        call: &Call,
        range: Range,
        deadline: Deadline,
    ) -> Result<Asked, StoreError> {
        let call = of_promql(call, &leaf.promql);
        let (index, missing) = match &leaf.across {
            Across::SideBySide { .. } | Across::Folded(_) => {
                return self.ask(&call, deadline).await;
            }
            Across::Anywhere if self.may_be_partial => {
                return self.ask(&call, deadline).await;
            }
            Across::Anywhere => (0, Vec::new()),
            Across::Alone(reason) => {
                let (found, missing) = self.found_of(&leaf.reads, range, deadline).await?;
                let count = holders(found.iter()).len();
                let only = only(&found).ok_or_else(|| across(reason, count))?;
                (only, missing)
            }
        };
        let answer = self.ask_one(index, &call, deadline).await?;
        Ok(Asked {
            answers: vec![Some(answer)],
            missing,
        })
    }

    /// Which shards have the series that a tree reads.
    async fn found(
        &self,
        tree: &Node,
        range: Range,
        deadline: Deadline,
    ) -> Result<(Vec<Found>, Vec<Remark>), StoreError> {
        let mut reads: Vec<Reads> = Vec::new();
        for one in tree.leaves().iter().flat_map(|leaf| &leaf.reads) {
            if !reads.contains(one) {
                reads.push(one.clone());
            }
        }
        self.found_of(&reads, range, deadline).await
    }

    async fn found_of(
        &self,
        reads: &[Reads],
        (start, end): Range,
        deadline: Deadline,
    ) -> Result<(Vec<Found>, Vec<Remark>), StoreError> {
        let found = reads.iter().map(async |reads| {
            let before = reads.before.unwrap_or(Millis(i64::MAX));
            let call = Call::SeriesExist {
                selectors: vec![reads.selector.clone()],
                // No store has samples from before 1970.
                start: Timestamp(start.minus(before).0.max(0)),
                end: end.plus(reads.after),
            };
            let asked = self.ask(&call, deadline).await?;
            let has_any = |answer: &Option<Arc<Answer>>| {
                let data = answer.as_ref().map(|answer| &answer.data);
                matches!(data, Some(Data::SeriesExist(true)))
            };
            let found = Found {
                reads: reads.clone(),
                by_shard: asked.answers.iter().map(has_any).collect(),
            };
            Ok::<_, StoreError>((found, asked.missing))
        });
        let (found, missing): (_, Vec<_>) = try_join_all(found).await?.into_iter().unzip();
        // Each question says the same of them.
        Ok((found, missing.into_iter().next().unwrap_or_default()))
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

/// The shards that have any of these series.
fn holders<'a>(found: impl Iterator<Item = &'a Found>) -> Vec<usize> {
    let mut holders: Vec<usize> = found
        .flat_map(|found| found.by_shard.iter().enumerate())
        .filter(|(_, has_any)| **has_any)
        .map(|(index, _)| index)
        .collect();
    holders.sort_unstable();
    holders.dedup();
    holders
}

/// The shard that has all there is; the first one if there is nothing.
fn only(found: &[Found]) -> Option<usize> {
    match holders(found.iter())[..] {
        [] => Some(0),
        [only] => Some(only),
        _ => None,
    }
}

/// The same call for another expression.
fn of_promql(call: &Call, new: &str) -> Call {
    let mut call = call.clone();
    if let Call::Range { promql, .. } | Call::Instant { promql, .. } = &mut call {
        new.clone_into(promql);
    }
    call
}

fn across(reason: &Reason, count: usize) -> StoreError {
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
fn complaint(error: StoreError, tree: &Node, promql: &str) -> StoreError {
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
