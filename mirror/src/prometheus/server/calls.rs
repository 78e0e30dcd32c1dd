//! The calls of one request.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::Server;
use crate::budget::Reservation;
use crate::budget::size::ByteSize;
use crate::model::capabilities::Capabilities;
use crate::model::time::Timestamp;
use crate::prometheus::charge::{self, Charge, Held};
use crate::prometheus::limits::Caller;
use crate::prometheus::remembered::{Foreseen, OfServer};
use crate::prometheus::replicas::Member;
use crate::prometheus::{Answer, Call, Deadline, Store, StoreError};

/// What the calls of one request to a target have in common, whichever of its servers they go to.
/// Once its first call is past the door of the queue, the request is admitted: its later calls
/// wait, but are not refused because the queue is full.
#[derive(Debug)]
pub(in crate::prometheus) struct ForRequest {
    caller: Caller,
    /// Whether its answers may be made of what is remembered.
    remembers: bool,
    admitted: AtomicBool,
    /// For what evaluating the request takes beside the answers that it reads.
    memory: Mutex<Option<Arc<Reservation>>>,
}

impl ForRequest {
    /// `remembers`: it may be answered with what is remembered.
    pub(in crate::prometheus) fn of(caller: Caller, remembers: bool) -> Arc<Self> {
        Arc::new(Self {
            caller,
            remembers,
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

impl ServerCalls {
    /// What is remembered of the server, if the request may be answered with that.
    fn remembered(&self) -> Option<OfServer> {
        let memory = || self.server.memory();
        self.request.remembers.then(memory).flatten()
    }
}

impl Store for ServerCalls {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        match self.remembered() {
            Some(memory) => {
                let server = Unremembered(self);
                // It is kilobytes long.
                Box::pin(memory.answer(&server, call, deadline, Timestamp::now())).await
            }
            None => Unremembered(self).call(call, deadline).await,
        }
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        super::capabilities(&self.server, self, deadline).await
    }

    async fn foresee(&self, call: &Call, deadline: Deadline) -> Option<Foreseen> {
        self.remembered()?.foresee(call, deadline).await
    }

    async fn hold(&self, bytes: u64, Deadline(deadline): Deadline) -> Result<Held, StoreError> {
        let account = self.request.memory().map(|memory| memory.account());
        let budget = &self.server.upstream.memory;
        let charge = Charge::new(budget, account, Arc::default(), deadline).await?;
        charge.cover(bytes, deadline).await?;
        Ok(charge.becomes(bytes))
    }
}

/// The same calls, all of which go to the server.
struct Unremembered<'a>(&'a ServerCalls);

impl Store for Unremembered<'_> {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        let Self(ServerCalls {
            server,
            request,
            way,
        }) = self;
        let ForRequest {
            caller, admitted, ..
        } = &**request;
        let memory = request.memory();
        let account = memory.as_ref().map(|memory| memory.account());
        let _blocked = memory.as_ref().map(|memory| memory.waits_for_others());
        server
            .call_admitted(call, deadline, (*caller, *way), admitted, account)
            .await
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        self.0.capabilities(deadline).await
    }

    async fn hold(&self, bytes: u64, deadline: Deadline) -> Result<Held, StoreError> {
        self.0.hold(bytes, deadline).await
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
