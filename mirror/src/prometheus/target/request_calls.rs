//! The calls of one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Target;
use crate::budget::Reservation;
use crate::budget::size::ByteSize;
use crate::model::capabilities::Capabilities;
use crate::prometheus::limits::Caller;
use crate::prometheus::{Answer, Call, Deadline, Store, StoreError, charge};

/// The calls of one request to a target. Once its first call is past the door of the queue, the
/// request is admitted: its later calls wait, but are not refused because the queue is full.
#[derive(Debug)]
pub struct RequestCalls {
    target: Arc<Target>,
    caller: Caller,
    admitted: AtomicBool,
    memory: Option<RequestMemory>,
}

/// What evaluating a request takes beside the answers that it reads.
#[derive(Debug)]
struct RequestMemory {
    reservation: Arc<Reservation>,
    /// What of the answers so far is kept, in bytes.
    kept: AtomicU64,
}

impl RequestCalls {
    pub(super) fn new(target: Arc<Target>, caller: Caller) -> Self {
        Self {
            target,
            caller,
            admitted: AtomicBool::new(false),
            memory: None,
        }
    }

    /// The same, with the memory of the request: it grows by what is kept of the answers.
    #[must_use]
    pub fn with_memory(self, reservation: Arc<Reservation>) -> Self {
        let kept = AtomicU64::new(0);
        Self {
            memory: Some(RequestMemory { reservation, kept }),
            ..self
        }
    }
}

impl RequestMemory {
    async fn keeps(&self, answer: &Answer, Deadline(deadline): Deadline) -> Result<(), StoreError> {
        let more = charge::kept_of(answer);
        let kept = ByteSize(self.kept.fetch_add(more, Ordering::Relaxed) + more);
        Ok(self.reservation.grow_to(kept, Some(deadline)).await?)
    }
}

impl Store for RequestCalls {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        let account = self.memory.as_ref();
        let account = account.map(|memory| memory.reservation.account());
        let call = self
            .target
            .call_admitted(call, deadline, self.caller, &self.admitted, account);
        let Some(memory) = &self.memory else {
            return call.await;
        };
        let answer = {
            let _blocked = memory.reservation.waits_for_others();
            call.await?
        };
        answer.held.rests();
        memory.keeps(&answer, deadline).await?;
        Ok(answer)
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        super::capabilities(&self.target, self, deadline).await
    }
}
