//! The calls of one request.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::Server;
use crate::budget::Reservation;
use crate::budget::size::ByteSize;
use crate::model::capabilities::Capabilities;
use crate::prometheus::charge::{self, Charge, Held};
use crate::prometheus::limits::Caller;
use crate::prometheus::replicas::Member;
use crate::prometheus::{Answer, Call, Deadline, Store, StoreError};

/// What the calls of one request to a target have in common, whichever of its servers they go to.
/// Once its first call is past the door of the queue, the request is admitted: its later calls
/// wait, but are not refused because the queue is full.
#[derive(Debug)]
pub(in crate::prometheus) struct ForRequest {
    caller: Caller,
    admitted: AtomicBool,
    /// For what evaluating the request takes beside the answers that it reads.
    memory: Mutex<Option<Arc<Reservation>>>,
}

impl ForRequest {
    pub(in crate::prometheus) fn of(caller: Caller) -> Arc<Self> {
        Arc::new(Self {
            caller,
            admitted: AtomicBool::new(false),
            memory: Mutex::default(),
        })
    }

    /// Gives the request its memory, which grows by what is kept of the answers, or takes it back.
    pub(in crate::prometheus) fn has_memory(&self, reservation: Option<Arc<Reservation>>) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = reservation;
    }

    fn memory(&self) -> Option<Arc<Reservation>> {
        let memory = self.memory.lock();
        memory.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Memory for what is made of answers.
    pub(in crate::prometheus) async fn hold(
        &self,
        bytes: u64,
        Deadline(deadline): Deadline,
    ) -> Result<Held, StoreError> {
        match self.memory() {
            Some(memory) => Held::new(memory.account(), bytes, deadline).await,
            None => Ok(Held::default()),
        }
    }

    /// The answer becomes one that is evaluated.
    pub(in crate::prometheus) async fn keeps(
        &self,
        answer: &Answer,
        Deadline(deadline): Deadline,
    ) -> Result<(), StoreError> {
        let Some(memory) = self.memory() else {
            return Ok(());
        };
        answer.held.rests();
        let kept = ByteSize(charge::kept_of(answer));
        Ok(memory.spend(kept, Some(deadline)).await?)
    }
}

/// The calls of one request to one server. What of the answers is evaluated is not counted here.
#[derive(Clone, Debug)]
pub(in crate::prometheus) struct ServerCalls {
    pub(in crate::prometheus) server: Arc<Server>,
    pub(in crate::prometheus) request: Arc<ForRequest>,
    pub(in crate::prometheus) way: Way,
}

/// The places that calls take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::prometheus) enum Way {
    /// Those of the target.
    Usual,
    /// Those that are kept for calls after another replica has failed or is late.
    Instead,
}

impl Store for ServerCalls {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        let ForRequest {
            caller, admitted, ..
        } = &*self.request;
        let memory = self.request.memory();
        let account = memory.as_ref().map(|memory| memory.account());
        let _blocked = memory.as_ref().map(|memory| memory.waits_for_others());
        self.server
            .call_admitted(call, deadline, (*caller, self.way), admitted, account)
            .await
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        super::capabilities(&self.server, self, deadline).await
    }

    async fn hold(&self, bytes: u64, Deadline(deadline): Deadline) -> Result<Held, StoreError> {
        let account = self.request.memory().map(|memory| memory.account());
        let budget = &self.server.upstream.memory;
        let charge = Charge::new(budget, account, Arc::default(), deadline).await?;
        charge.cover(bytes, deadline).await?;
        Ok(charge.becomes(bytes))
    }
}

impl Member for ServerCalls {
    fn throttled(&self) -> Option<StoreError> {
        self.server.throttled()
    }

    fn instead(self) -> Self {
        Self {
            way: Way::Instead,
            ..self
        }
    }
}
