//! How calls fail.

use std::num::NonZeroU32;
use std::time::Duration;

/// Why a call has no answer. `Display` is for logs and, through `api/error.rs`, for the user: no
/// credentials, no user info, no paths of this machine.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, TLS failure, connection lost, not HTTP, or an answer that is not Prometheus':
    /// HTML, a redirect, truncated or malformed JSON, …
    #[error("{0}")]
    Unreachable(String),
    /// The store refused our credentials (401, 403), or there are none to send.
    #[error("{0}")]
    CredentialsRefused(String),
    /// The deadline passed while the store was being asked.
    #[error("{0}")]
    Timeout(String),
    /// The deadline passed while the call waited for a worker.
    #[error("no worker became free before the deadline")]
    ExpiredInQueue,
    /// The queue before the workers is full.
    #[error("too many queries are waiting")]
    QueueFull,
    /// The store understood and says no: a bad expression, a limit of its own (`status: error` in
    /// its answer).
    #[error("{message}")]
    Rejected {
        /// Prometheus' `errorType`, for example `bad_data`, `execution`; `timeout` and `canceled`
        /// are [`StoreError::Timeout`] instead.
        kind: String,
        /// Prometheus' `error`.
        message: String,
    },
    /// The shards of a target cannot answer it together, though each can on its own. With what to
    /// do about it.
    #[error("{0}")]
    AcrossShards(String),
    /// The store has no such call (404, 405, 501), though it may have others.
    #[error("{0}")]
    NotOffered(String),
    /// The answer was larger than the mirror takes.
    #[error("{0}")]
    TooLarge(String),
    /// The answer needs more of the mirror's memory than one request can have.
    #[error("{0}")]
    BeyondMemory(String),
    /// Other requests have the mirror's memory, and did not give it back in time.
    #[error("the mirror's memory is used up by other requests")]
    OutOfMemory,
    /// Other requests need the memory first. The request gives all of its own back, and begins
    /// again when its turn comes.
    #[error("the mirror's memory is used up by other requests")]
    GivesWay,
    /// The store asks to slow down (429, 503 with `Retry-After`, Amazon's `ThrottlingException`),
    /// or did so lately and the call cannot wait until it may be asked again.
    #[error("{message}")]
    Throttled {
        /// Who asks, and in which words.
        message: String,
        /// When to come back: from one second to five minutes.
        retry_after: Duration,
    },
    /// The request has made as many calls as it may. Nothing was sent.
    #[error(
        "the answer takes more than {at_most} API calls of Prometheus, which is the most for one request (spec.limits.upstreamCallsPerRequest): ask for a shorter time or larger buckets, or add conditions"
    )]
    TooManyCalls {
        /// How many it may make.
        at_most: NonZeroU32,
    },
    /// The call has more PromQL than the mirror sends. Nothing was sent.
    #[error(
        "it takes {bytes} bytes of PromQL, and at most {at_most} are sent: ask for fewer or shorter values, or write a shorter expression"
    )]
    TooMuchPromql {
        /// How many bytes it has.
        bytes: usize,
        /// How many are sent.
        at_most: usize,
    },
    /// The call can only be sent as a GET, and does not fit into a URL. Nothing was sent, or the
    /// server refused the URL's length.
    #[error("{message}")]
    TooLongForUrl {
        /// Why it can only be a GET, and both lengths.
        message: String,
        /// The length of the URL.
        bytes: usize,
        /// The longest URL that is tried at this target.
        at_most: usize,
    },
}

/// A time in whole seconds, rounded up, at least one: as `Retry-After` says it.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_millis()
        .div_ceil(1000)
        .try_into()
        .unwrap_or(u64::MAX)
        .max(1)
}
