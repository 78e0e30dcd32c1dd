//! Servers that scrape the same, as one store.
//!
//! * [`failover`]: the preferred one is asked, and others where it does not answer in time.
//! * [`fill`]: others are asked for what it does not have; [`range`] and [`samples`] find the gaps
//!   of an answer and fill them.
//! * [`preference`]: which one is preferred, shared by all requests.

mod failover;
mod fill;
mod preference;
mod range;
mod samples;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

pub(super) use self::preference::Preference;
use super::{Answer, Call, Deadline, Foreseen, Store, StoreError};
use crate::model::capabilities::Capabilities;
use crate::model::time::Millis;

/// One of several replicas.
pub(super) trait Member: Store + Clone {
    /// Why a call would wait before it is sent, if the server asks to slow down.
    fn throttled(&self) -> Option<StoreError>;

    /// The same, for calls after another member has failed or is late: calls that hang elsewhere
    /// don't hold the places of these.
    fn instead(self) -> Self;
}

/// Members that hold the same series, for the calls of one request.
#[derive(Debug)]
pub(super) struct Replicas<M> {
    /// At least one.
    members: Vec<M>,
    preference: Arc<Preference>,
    scrape_interval: Millis,
    /// What the request was planned with, once it was asked for. Members that can do other things
    /// would answer its calls otherwise.
    relied_on: OnceLock<Capabilities>,
}

impl<M: Member> Replicas<M> {
    pub(super) fn new(
        members: Vec<M>,
        preference: Arc<Preference>,
        scrape_interval: Millis,
    ) -> Self {
        Self {
            members,
            preference,
            scrape_interval,
            relied_on: OnceLock::new(),
        }
    }

    /// What one of several members answers, with what others have where it has nothing.
    async fn of_several(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        let ask = |place, member: M| self.suitable(place, member, call.clone(), deadline);
        let (place, answer) = self.first_answer(deadline, ask).await?;
        self.filled(&call, place, answer, deadline).await
    }

    /// What the member at `place` answers, if it can do what the request was planned with.
    async fn suitable(
        &self,
        place: usize,
        member: M,
        call: Call,
        deadline: Deadline,
    ) -> Result<Arc<Answer>, StoreError> {
        if let Some(relied_on) = self.relied_on.get()
            && !relied_on.agree_with(&member.capabilities(deadline).await?)
        {
            return Err(failover::unlike(place, &self.preference));
        }
        member.call(call, deadline).await
    }
}

impl<M: Member> Store for Replicas<M> {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        match &self.members[..] {
            [only] => only.call(call, deadline).await,
            // It is kilobytes long, and most targets have one server.
            _ => Box::pin(self.of_several(call, deadline)).await,
        }
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        if let [only] = &self.members[..] {
            return only.capabilities(deadline).await;
        }
        if let Some(known) = self.relied_on.get() {
            return Ok(*known);
        }
        let ask = |_, member: M| async move { member.capabilities(deadline).await };
        let (_, found) = self.first_answer(deadline, ask).await?;
        Ok(*self.relied_on.get_or_init(|| found))
    }

    /// By the preferred one.
    async fn foresee(&self, call: &Call, deadline: Deadline) -> Option<Foreseen> {
        self.members
            .get(self.preference.get())?
            .foresee(call, deadline)
            .await
    }
}

/// The time from now to the deadline, divided.
fn share(Deadline(deadline): Deadline, parts: usize) -> std::time::Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left / u32::try_from(parts).unwrap_or(u32::MAX).max(1)
}
