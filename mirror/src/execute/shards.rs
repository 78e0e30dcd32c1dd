//! A target of several shards as one store. All shards are asked at once, so that an answer takes
//! as long as the slowest one's; what is computed of their answers is computed as one Prometheus
//! with all of the series would.
//!
//! * [`evaluate`]: expressions. [`route`]: which shards are asked what of them; [`routed`]: what
//!   they answer. [`unite`]: everything else.
//! * A single shard is asked as it is.

mod evaluate;
mod route;
mod routed;
#[cfg(test)]
mod tests;
mod unite;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::future::{join_all, try_join_all};

use crate::model::capabilities::Capabilities;
use crate::model::time::Millis;
use crate::plan::distribution::Node;
use crate::prometheus::remarks::{Meaning, Remark};
use crate::prometheus::{Answer, Call, Deadline, Foreseen, Held, Holders, Store, StoreError};

/// The shards of a target, for the calls of one request.
#[derive(Debug)]
pub struct Shards<S> {
    /// At least one, unless the target is no longer served.
    members: Vec<S>,
    /// Those that do not answer are left out.
    may_be_partial: bool,
    /// How expressions are answered, as far as they have been read.
    known: Mutex<HashMap<String, Arc<Node>>>,
    holders: Arc<Holders>,
}

/// What the shards answered to a call: nothing of one that is left out.
struct Asked {
    answers: Vec<Option<Arc<Answer>>>,
    /// Of each shard that is left out.
    missing: Vec<Remark>,
}

impl<S> Shards<S> {
    /// `may_be_partial`: shards that do not answer are left out, rather than an error.
    #[must_use]
    pub fn new(members: Vec<S>, may_be_partial: bool) -> Self {
        Self {
            members,
            may_be_partial,
            known: Mutex::default(),
            holders: Arc::default(),
        }
    }

    /// The same, with what other requests found out.
    #[must_use]
    pub fn knowing(self, holders: &Arc<Holders>) -> Self {
        Self {
            holders: Arc::clone(holders),
            ..self
        }
    }

    /// The same over other stores.
    #[must_use]
    pub fn map<T>(self, store: impl Fn(S) -> T) -> Shards<T> {
        Shards {
            members: self.members.into_iter().map(store).collect(),
            may_be_partial: self.may_be_partial,
            known: self.known,
            holders: self.holders,
        }
    }
}

/// How messages call a shard: by its place in the document.
fn name(index: usize) -> String {
    format!("shards[{index}]")
}

impl<S: Store> Shards<S> {
    /// Whether every shard answers a call; or any, where those that do not are left out.
    ///
    /// # Errors
    /// Why one does not.
    pub async fn reach(&self, call: Call, deadline: Deadline) -> Result<(), StoreError> {
        match &self.members[..] {
            [only] => only.call(call, deadline).await.map(drop),
            _ => self.ask(&call, deadline).await.map(drop),
        }
    }

    /// What all members answer together.
    async fn of_all(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        match &call {
            Call::Range {
                promql, start, end, ..
            } => {
                let range = (*start, *end);
                self.evaluate(&call, promql, range, deadline).await
            }
            Call::Instant { promql, at } => {
                self.evaluate(&call, promql, (*at, *at), deadline).await
            }
            Call::Samples { .. } => self.samples(&call, deadline).await,
            _ => unite::united(self.ask(&call, deadline).await?, self, deadline).await,
        }
    }

    /// What each shard answers to a call.
    async fn ask(&self, call: &Call, deadline: Deadline) -> Result<Asked, StoreError> {
        let all = self.members.iter();
        if !self.may_be_partial {
            let answers = all.enumerate().map(async |(index, member)| {
                let answer = member.call(call.clone(), deadline).await;
                answer.map(Some).map_err(|error| named(error, index))
            });
            return Ok(Asked {
                answers: try_join_all(answers).await?,
                missing: Vec::new(),
            });
        }
        let patience = self.patience(deadline);
        let answers = all.map(|member| member.call(call.clone(), patience));
        self.without_missing(join_all(answers).await)
    }

    /// Without the shards that did not answer, if there is one that did.
    fn without_missing(
        &self,
        answers: Vec<Result<Arc<Answer>, StoreError>>,
    ) -> Result<Asked, StoreError> {
        let mut asked = Asked {
            answers: Vec::new(),
            missing: Vec::new(),
        };
        let mut failure = None;
        for (index, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(answer) => asked.answers.push(Some(answer)),
                Err(error) if is_missing(&error) => {
                    asked.missing.push(self.missing(index, &error));
                    asked.answers.push(None);
                    failure = failure.or(Some(named(error, index)));
                }
                Err(error) => return Err(named(error, index)),
            }
        }
        match failure {
            Some(failure) if asked.answers.iter().all(Option::is_none) => Err(failure),
            _ => Ok(asked),
        }
    }

    fn missing(&self, index: usize, error: &StoreError) -> Remark {
        let (name, count) = (name(index), self.members.len());
        let text = format!("{name} of {count} shards is left out: {error}");
        Remark {
            meaning: Meaning::DataMissing,
            // Of the length that remarks have.
            ..Remark::warning(&text)
        }
    }

    /// How long a shard is waited for. Where the answer may do without it, time is left for that.
    fn patience(&self, deadline: Deadline) -> Deadline {
        if !self.may_be_partial {
            return deadline;
        }
        let now = Instant::now();
        let left = deadline.0.saturating_duration_since(now);
        Deadline(now + left * 4 / 5)
    }

    fn known(&self, promql: &str) -> Option<Arc<Node>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(promql).cloned()
    }

    fn learn(&self, promql: &str, node: &Arc<Node>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(promql.to_owned(), Arc::clone(node));
    }
}

/// Whether an error says that a shard does not answer, rather than that it cannot be asked this.
fn is_missing(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unreachable(_)
            | StoreError::CredentialsRefused(_)
            | StoreError::Timeout(_)
            | StoreError::Throttled { .. }
    )
}

/// An error with the shard that it is about.
fn named(error: StoreError, index: usize) -> StoreError {
    let with = |message: String| format!("{}: {message}", name(index));
    match error {
        StoreError::Unreachable(message) => StoreError::Unreachable(with(message)),
        StoreError::CredentialsRefused(message) => StoreError::CredentialsRefused(with(message)),
        StoreError::Timeout(message) => StoreError::Timeout(with(message)),
        StoreError::TooLarge(message) => StoreError::TooLarge(with(message)),
        StoreError::Throttled {
            message,
            retry_after,
        } => StoreError::Throttled {
            message: with(message),
            retry_after,
        },
        // What all of them would say.
        error => error,
    }
}

impl<S: Store> Store for Shards<S> {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        match &self.members[..] {
            [only] => only.call(call, deadline).await,
            // It is kilobytes long, and most targets have no shards.
            _ => Box::pin(self.of_all(call, deadline)).await,
        }
    }

    /// What all shards can do: the same, so that they take the same expressions for the same.
    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        if let [only] = &self.members[..] {
            return only.capabilities(deadline).await;
        }
        let patience = self.patience(deadline);
        let all = self.members.iter().map(|one| one.capabilities(patience));
        let mut agreed: Option<(usize, Capabilities)> = None;
        let mut failure = None;
        for (index, found) in join_all(all).await.into_iter().enumerate() {
            let found = match found {
                Ok(found) => found,
                Err(error) if self.may_be_partial && is_missing(&error) => {
                    failure = failure.or(Some(named(error, index)));
                    continue;
                }
                Err(error) => return Err(named(error, index)),
            };
            let (first, before) = *agreed.get_or_insert((index, found));
            let settles_after = Millis(before.settles_after.0.max(found.settles_after.0));
            let settled = |capabilities| Capabilities {
                settles_after,
                ..capabilities
            };
            if settled(before) != settled(found) {
                return Err(StoreError::AcrossShards(format!(
                    "{} and {} are servers of different kinds or versions, which read the same query in different ways: run the same version on every shard",
                    name(first),
                    name(index)
                )));
            }
            agreed = Some((first, settled(found)));
        }
        match (agreed, failure) {
            (Some((_, capabilities)), _) => Ok(capabilities),
            (None, Some(failure)) => Err(failure),
            (None, None) => Err(StoreError::AcrossShards(
                "the target has no shards".to_owned(),
            )),
        }
    }

    fn is_sharded(&self) -> bool {
        self.members.len() > 1
    }

    async fn shards(&self, deadline: Deadline) -> Vec<(String, Option<StoreError>)> {
        if !self.is_sharded() {
            return Vec::new();
        }
        let patience = self.patience(deadline);
        let all = self.members.iter().map(|one| one.capabilities(patience));
        let found = join_all(all).await.into_iter().enumerate();
        found
            .map(|(index, found)| (name(index), found.err()))
            .collect()
    }

    /// Of a target without shards.
    async fn foresee(&self, call: &Call, deadline: Deadline) -> Option<Foreseen> {
        match &self.members[..] {
            [only] => only.foresee(call, deadline).await,
            _ => None,
        }
    }

    async fn hold(&self, bytes: u64, deadline: Deadline) -> Result<Held, StoreError> {
        match self.members.first() {
            Some(member) => member.hold(bytes, deadline).await,
            None => Ok(Held::default()),
        }
    }
}
