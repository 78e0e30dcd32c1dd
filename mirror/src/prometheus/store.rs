//! What answers calls.

use std::sync::Arc;
use std::time::Instant;

use super::{Answer, Call, Foreseen, Held, StoreError};
use crate::model::capabilities::Capabilities;
#[cfg(doc)]
use crate::prometheus::{RequestCalls, Server};

/// The instant by which a request must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(pub Instant);

/// A server that answers calls. The mirror's own are [`Server`] and [`RequestCalls`]; tests script
/// one.
pub trait Store: Send + Sync {
    /// Asks, waiting no longer than `deadline`.
    fn call(
        &self,
        call: Call,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Arc<Answer>, StoreError>> + Send;

    /// What the store can do: found out once, again after a failure.
    fn capabilities(
        &self,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Capabilities, StoreError>> + Send;

    /// Whether it is several shards, each with a part of the series.
    fn is_sharded(&self) -> bool {
        false
    }

    /// Its shards by name, and why one cannot be asked; none if it is not sharded.
    fn shards(
        &self,
        _: Deadline,
    ) -> impl Future<Output = Vec<(String, Option<StoreError>)>> + Send {
        async { Vec::new() }
    }

    /// What would be asked for a call of which something may be remembered; none of others.
    fn foresee(&self, _: &Call, _: Deadline) -> impl Future<Output = Option<Foreseen>> + Send {
        async { None }
    }

    /// Memory for what is made of answers, until it is dropped.
    fn hold(
        &self,
        _bytes: u64,
        _: Deadline,
    ) -> impl Future<Output = Result<Held, StoreError>> + Send {
        async { Ok(Held::default()) }
    }
}
