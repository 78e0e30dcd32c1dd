//! The target that a request queries: chosen by its connection details, with the request's share of
//! calls, memory and time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use super::answer_body::AnswerBody;
use super::encode::Points;
use super::error::ApiError;
use super::state::Serving;
use super::{Asker, body};
use crate::blocking;
use crate::budget::Reservation;
use crate::budget::size::ByteSize;
use crate::execute::Context;
use crate::execute::counted::Counted;
use crate::execute::shards::Shards;
use crate::model::enforced::Enforced;
use crate::model::notes::Notes;
use crate::model::time::{Millis, Timestamp};
use crate::plan::enforce::EnforceError;
use crate::plan::fields::FieldQuery;
use crate::plan::kind::QueryKind;
use crate::prometheus::{Deadline, RequestCalls, Server, Target};
use crate::settings::choose::{Choice, ChosenTarget, ConnectionDetails, choose};
use crate::settings::{NanInterpretation, Parameters, undeclared};

/// The target that a request queries, and on which terms.
pub(super) struct Chosen {
    pub(super) name: String,
    /// In the URL of every call.
    pub(super) parameters: Parameters,
    /// The URLs of its servers, by shard, the preferred one first. None if there is only one.
    pub(super) servers: Option<Vec<Vec<String>>>,
    pub(super) calls: Shards<Counted<RequestCalls>>,
    scrape_interval: Millis,
    nan_interpretation: NanInterpretation,
    enforced: Enforced,
    pub(super) deadline: Deadline,
    memory: Option<Arc<Reservation>>,
    pub(super) notes: Option<Arc<Notes>>,
}

/// What a request may take beside the answers that it reads before it must ask for more: most
/// requests need no more.
const BASE: ByteSize = ByteSize(64 << 10);

/// The URLs of a target's servers, by shard, the preferred one first. None if there is only one.
fn servers(target: &Target) -> Option<Vec<Vec<String>>> {
    if target.only().is_some() {
        return None;
    }
    let preferred: Vec<_> = target.preferred().map(|server| server.url()).collect();
    let urls = |replicas: &[Arc<Server>]| {
        let mut urls: Vec<_> = replicas.iter().map(|server| server.url()).collect();
        urls.sort_by_key(|url| !preferred.contains(url));
        urls.into_iter().map(ToString::to_string).collect()
    };
    Some(target.shards().map(urls).collect())
}

impl Chosen {
    /// The target that connection details mean.
    pub(super) fn choose(
        serving: &Serving,
        details: &ConnectionDetails,
        asker: Asker,
    ) -> Result<Self, ApiError> {
        let Asker {
            caller,
            arrived,
            wants_fresh,
            notes,
        } = asker;
        let Choice {
            target,
            timeout,
            nan,
        } = choose(&serving.settings, details)?;
        let target: Arc<Target> = match target {
            ChosenTarget::Declared(index) => serving.targets.declared().get(index).cloned(),
            ChosenTarget::Undeclared { url } => serving
                .targets
                .undeclared(&Arc::new(undeclared::settings(url))),
        }
        // Both were made from the same settings as the choice.
        .ok_or_else(ApiError::no_longer_served)?;
        let settings = target.settings();
        let at_most = serving.settings.limits.upstream_calls;
        if let Some(notes) = &notes {
            notes.target(&settings.name.0);
        }
        let stores = match wants_fresh {
            true => target.for_fresh_request(caller),
            false => target.for_request(caller),
        };
        let shards = Counted::together(stores, at_most, notes.as_ref());
        let calls = Shards::new(shards, settings.partial_responses).knowing(target.holders());
        Ok(Self {
            name: settings.name.to_string(),
            parameters: settings.parameters.clone(),
            servers: servers(&target),
            scrape_interval: settings.scrape_interval.into(),
            nan_interpretation: nan,
            enforced: settings.enforced.clone(),
            deadline: Deadline(arrived + timeout),
            calls,
            memory: None,
            notes,
        })
    }

    /// The same, with memory of its own.
    pub(super) async fn with_memory(self, serving: &Serving) -> Result<Self, ApiError> {
        let Deadline(deadline) = self.deadline;
        let budget = &serving.targets.memory().work;
        let memory = budget.reserve(BASE, Some(deadline)).await?;
        Ok(self.holding(memory))
    }

    /// The same for a request that has to begin again. All memory that it had is given back, and it
    /// gets some when its turn comes. Its calls are counted from the start.
    pub(super) async fn in_turn(mut self, serving: &Serving) -> Result<Self, ApiError> {
        let Deadline(deadline) = self.deadline;
        let again = |shard: Counted<RequestCalls>| shard.again(RequestCalls::without_memory);
        self.calls = self.calls.map(again);
        self.memory = None;
        let budget = &serving.targets.memory().work;
        let memory = budget.reserve_in_turn(BASE, Some(deadline)).await?;
        Ok(self.holding(memory))
    }

    fn holding(self, memory: Reservation) -> Self {
        let memory = Arc::new(memory);
        Self {
            calls: self
                .calls
                .map(|shard| shard.map(|calls| calls.with_memory(Arc::clone(&memory)))),
            memory: Some(memory),
            ..self
        }
    }

    /// Encodes an answer of about `size` bytes. They count as the request's memory until they are
    /// sent.
    pub(super) async fn encoded(
        &self,
        size: usize,
        encode: impl FnOnce() -> Bytes + Send + 'static,
    ) -> Result<AnswerBody, ApiError> {
        let Deadline(deadline) = self.deadline;
        body::encoded(self.memory.as_ref(), deadline, size, encode).await
    }

    /// The answer with these points, likewise.
    pub(super) async fn points(&self, points: Points) -> Result<AnswerBody, ApiError> {
        let Deadline(deadline) = self.deadline;
        body::points(self.memory.as_ref(), deadline, points).await
    }

    /// The same for an answer that is there already.
    pub(super) async fn counted(&self, body: Bytes) -> Result<AnswerBody, ApiError> {
        let Deadline(deadline) = self.deadline;
        body::counted(self.memory.as_ref(), deadline, body).await
    }

    /// What queries of it need.
    pub(super) fn context(&self) -> Context<'_, Shards<Counted<RequestCalls>>> {
        Context {
            store: &self.calls,
            scrape_interval: self.scrape_interval,
            nan_interpretation: self.nan_interpretation,
            now: Timestamp::now(),
            deadline: self.deadline,
        }
    }

    /// What is asked for, within the target's enforced matchers. To complete an expression takes up
    /// to some milliseconds, and no other request waits for them.
    pub(super) async fn enforced(&self, kind: QueryKind) -> Result<QueryKind, ApiError> {
        let enforced = self.enforced.clone();
        if !self.completes(&kind) {
            return Ok(enforced.kind(kind)?);
        }
        // A panic of the parser means as much as an error of it.
        let complete = move || catch_unwind(AssertUnwindSafe(|| enforced.kind(kind)));
        match blocking::run(complete).await {
            Ok(Ok(completed)) => Ok(completed?),
            Ok(Err(_)) | Err(_) => Err(EnforceError::Unreadable.into()),
        }
    }

    /// Whether matchers are added to what the user wrote.
    pub(super) fn completes(&self, kind: &QueryKind) -> bool {
        !self.enforced.0.is_empty() && matches!(kind, QueryKind::Expression { .. })
    }

    /// The same query, of series within the target's enforced matchers.
    pub(super) fn within(&self, query: FieldQuery) -> FieldQuery {
        let (kind, matchers) = self.enforced.conditions(query.kind, query.matchers);
        FieldQuery {
            kind,
            matchers,
            ..query
        }
    }
}
