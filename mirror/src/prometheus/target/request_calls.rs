//! The calls of one request.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
    /// For what evaluating the request takes beside the answers that it reads.
    memory: Option<Arc<Reservation>>,
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
        Self {
            memory: Some(reservation),
            ..self
        }
    }
}

impl Store for RequestCalls {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        let account = self.memory.as_ref().map(|memory| memory.account());
        let call = self
            .target
            .call_admitted(call, deadline, self.caller, &self.admitted, account);
        let Some(memory) = &self.memory else {
            return call.await;
        };
        let answer = {
            let _blocked = memory.waits_for_others();
            call.await?
        };
        answer.held.rests();
        let kept = ByteSize(charge::kept_of(&answer));
        memory.spend(kept, Some(deadline.0)).await?;
        Ok(answer)
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        super::capabilities(&self.target, self, deadline).await
    }
}
