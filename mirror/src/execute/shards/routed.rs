//! What is asked of which shards. Which shard has what is found out at the same time, wherever an
//! earlier request has found it out before.

use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select, try_join_all};

use super::evaluate::{Range, across, complaint};
use super::route::{Found, Place, Route};
use super::{Asked, Shards};
use crate::model::time::{Millis, Timestamp};
use crate::plan::distribution::{Leaf, Node, Reads};
use crate::prometheus::remarks::Remark;
use crate::prometheus::{Answer, Call, Data, Deadline, Store, StoreError};

/// What is asked of the shards.
#[derive(Clone, Copy)]
pub(super) struct Evaluation<'a> {
    pub(super) tree: &'a Node,
    pub(super) call: &'a Call,
    pub(super) promql: &'a str,
    pub(super) range: Range,
    pub(super) deadline: Deadline,
}

/// What has been found out about which shard has what.
#[derive(Default)]
pub(super) struct Finding {
    found: Vec<Found>,
    /// Of each shard that did not say.
    pub(super) missing: Vec<Remark>,
}

impl Finding {
    /// What of it is about these; none if that is not all.
    fn of(&self, reads: &[Reads]) -> Option<Vec<Found>> {
        let found = reads.iter().map(|reads| {
            let mut found = self.found.iter();
            found.find(|found| found.reads == *reads).cloned()
        });
        found.collect()
    }
}

/// A way, and what came of it.
type Guessed = (Route, Result<Vec<Asked>, StoreError>);

impl<S: Store> Shards<S> {
    /// What the shards answer on the way that a tree takes.
    ///
    /// Which shard has what is found out by a question of its own. It costs no time where another
    /// request has asked it before: what that found is taken for the answer until this one is
    /// there.
    pub(super) async fn routed(
        &self,
        evaluation: Evaluation<'_>,
        finding: &mut Finding,
    ) -> Result<(Route, Vec<Asked>), StoreError> {
        let Evaluation {
            tree,
            range,
            deadline,
            ..
        } = evaluation;
        let reads = match tree.is_costly() {
            true => tree.reads(),
            false => Vec::new(),
        };
        if let Some(found) = finding.of(&reads) {
            let route = Route::of(tree, &found);
            let asked = self.along(&route, evaluation).await?;
            return Ok((route, asked));
        }
        if let Some((route, asked)) = self.guessed(&reads, evaluation, finding).await? {
            return Ok((route, asked?));
        }
        *finding = self.found(&reads, range, deadline).await?;
        let route = Route::of(tree, &finding.found);
        let asked = self.along(&route, evaluation).await?;
        Ok((route, asked))
    }

    /// What the shards answer on the way that was right for an earlier request. None: there was
    /// none, or it is wrong now. Shards are asked at the same time for what it takes for granted.
    async fn guessed(
        &self,
        reads: &[Reads],
        evaluation: Evaluation<'_>,
        finding: &mut Finding,
    ) -> Result<Option<Guessed>, StoreError> {
        let Some(known) = self.known_of(reads) else {
            return Ok(None);
        };
        let route = Route::of(evaluation.tree, &known);
        let Some(premises) = route.premises(&known) else {
            return Ok(None);
        };
        let relied_on: Vec<Reads> = premises.iter().map(|one| one.reads.clone()).collect();
        let confirming = self.ask_who_has(&relied_on, evaluation.range, evaluation.deadline);
        let hold = |found: &Finding| {
            let mut all = premises.iter().zip(&found.found);
            all.all(|(premise, found)| premise.holds(&found.by_shard))
        };
        let along = self.along(&route, evaluation);
        let (found, asked) = both(confirming, along, hold).await?;
        finding.missing = found.missing;
        Ok(asked.map(|asked| (route, asked)))
    }

    /// What the shards on a way answer: to the whole, or to each leaf.
    async fn along(
        &self,
        route: &Route,
        Evaluation {
            call,
            promql,
            deadline,
            ..
        }: Evaluation<'_>,
    ) -> Result<Vec<Asked>, StoreError> {
        let (tree, places) = match route {
            Route::Whole(only) => {
                let answers = vec![Some(self.ask_one(*only, call, deadline).await?)];
                let missing = Vec::new();
                return Ok(vec![Asked { answers, missing }]);
            }
            Route::Parts { tree, places } => (tree, places),
        };
        let leaves = tree.leaves().into_iter().zip(places);
        let asked = leaves.map(|(leaf, place)| self.ask_leaf(leaf, place, call, deadline));
        let asked = try_join_all(asked).await;
        asked.map_err(|error| complaint(error, tree, promql))
    }

    pub(super) async fn ask_one(
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
        place: &Place,
        call: &Call,
        deadline: Deadline,
    ) -> Result<Asked, StoreError> {
        let call = of_promql(call, &leaf.promql);
        let index = match place {
            Place::All => return self.ask(&call, deadline).await,
            Place::Any if self.may_be_partial => return self.ask(&call, deadline).await,
            Place::Any => 0,
            Place::One(index) => *index,
            Place::Nowhere(reason, count) => return Err(across(reason, *count)),
        };
        let answer = self.ask_one(index, &call, deadline).await?;
        Ok(Asked {
            answers: vec![Some(answer)],
            missing: Vec::new(),
        })
    }

    /// Which shards had these series when they were asked last.
    fn known_of(&self, reads: &[Reads]) -> Option<Vec<Found>> {
        let known = reads.iter().map(|reads| {
            let by_shard = self.holders.of(reads)?;
            let reads = reads.clone();
            (by_shard.len() == self.members.len()).then_some(Found { reads, by_shard })
        });
        known.collect()
    }

    /// Which shards have these series, for other requests to know as well.
    async fn found(
        &self,
        reads: &[Reads],
        range: Range,
        deadline: Deadline,
    ) -> Result<Finding, StoreError> {
        let finding = self.ask_who_has(reads, range, deadline).await?;
        for found in &finding.found {
            self.holders.learn(&found.reads, &found.by_shard);
        }
        Ok(finding)
    }

    /// Which shards have these series.
    async fn ask_who_has(
        &self,
        reads: &[Reads],
        (start, end): Range,
        deadline: Deadline,
    ) -> Result<Finding, StoreError> {
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
            let by_shard: Vec<bool> = asked.answers.iter().map(has_any).collect();
            let reads = reads.clone();
            Ok::<_, StoreError>((Found { reads, by_shard }, asked.missing))
        });
        let (found, missing): (_, Vec<_>) = try_join_all(found).await?.into_iter().unzip();
        Ok(Finding {
            found,
            // Each question says the same of them.
            missing: missing.into_iter().next().unwrap_or_default(),
        })
    }
}

/// What was found out, and what was asked meanwhile, if that was right. What was asked in vain is
/// not waited for.
async fn both<T>(
    finding: impl Future<Output = Result<Finding, StoreError>>,
    asking: impl Future<Output = T>,
    was_right: impl Fn(&Finding) -> bool,
) -> Result<(Finding, Option<T>), StoreError> {
    let (finding, asking) = (pin!(finding), pin!(asking));
    match select(finding, asking).await {
        Either::Left((found, asking)) => {
            let found = found?;
            let asked = match was_right(&found) {
                true => Some(asking.await),
                false => None,
            };
            Ok((found, asked))
        }
        Either::Right((asked, finding)) => {
            let found = finding.await?;
            let is_right = was_right(&found);
            Ok((found, is_right.then_some(asked)))
        }
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
