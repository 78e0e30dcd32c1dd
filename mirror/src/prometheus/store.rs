//! What answers calls.

use std::sync::Arc;
use std::time::Instant;

use super::{Answer, Call, StoreError};
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
}
