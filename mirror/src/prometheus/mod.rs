//! The only code that talks to Prometheus: the calls there are, what they answer, and how they
//! fail.
//!
//! ```text
//! targets ─► target ─► sharing ─► limits ─► client ─► request (out), decode (in)
//!   which      │        one exchange  its turn   over HTTP; throttle: when
//!              └► capabilities: what the server can do
//! ```
//!
//! One deadline covers all of it. It is enforced in one place, where a caller waits (`target.rs`);
//! an exchange that nobody waits for any more is aborted.

mod capabilities;
mod charge;
mod client;
mod decode;
mod guard;
mod limits;
pub mod observe;
mod queue;
pub mod remarks;
mod request;
mod sharing;
mod target;
mod targets;
mod throttle;
mod tls;
mod tokens;

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::charge::Held;
pub use self::client::MAX_BODY_BYTES;
pub(crate) use self::client::root_cause;
pub use self::limits::Caller;
use self::remarks::{Meaning, Remark};
pub use self::target::{RequestCalls, Target};
pub use self::targets::Targets;
use crate::model::capabilities::Capabilities;
use crate::model::metric_type::MetricType;
use crate::model::series::Series;
use crate::model::time::{Millis, Timestamp};

/// One call of Prometheus' HTTP API. Equal calls in flight at one target share one exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `/api/v1/query`. A range selector as `promql` answers stored samples with their own
    /// timestamps.
    Instant {
        /// The expression.
        promql: String,
        /// Its evaluation time.
        at: Timestamp,
    },
    /// `/api/v1/query_range`: the expression at `start`, `start + step`, … up to and with `end`.
    Range {
        /// The expression.
        promql: String,
        /// The first evaluation time.
        start: Timestamp,
        /// No evaluation is later.
        end: Timestamp,
        /// At least 1 ms.
        step: Millis,
    },
    /// `/api/v1/series`: does any series match? Asked with `limit=1`.
    SeriesExist {
        /// Selectors; a series that matches one of them is enough.
        selectors: Vec<String>,
        /// From this instant …
        start: Timestamp,
        /// … to this one.
        end: Timestamp,
    },
    /// `/api/v1/labels`.
    LabelNames {
        /// Only of series that match this selector; all series if absent.
        selector: Option<String>,
        /// From this instant …
        start: Timestamp,
        /// … to this one.
        end: Timestamp,
    },
    /// `/api/v1/label/<label>/values`.
    LabelValues {
        /// The label's name.
        label: String,
        /// Only of series that match this selector; all series if absent.
        selector: Option<String>,
        /// From this instant …
        start: Timestamp,
        /// … to this one.
        end: Timestamp,
    },
    /// The same, with the label's name written into the path in the other way: stores differ in how
    /// they read names outside the legacy character set.
    LabelValuesOtherwise {
        /// The label's name; not a plain one.
        label: String,
        /// Only of series that match this selector; all series if absent.
        selector: Option<String>,
        /// From this instant …
        start: Timestamp,
        /// … to this one.
        end: Timestamp,
    },
    /// `/api/v1/series`, of which only the values of one label are kept. Of [`MOST_SERIES_LISTED`]
    /// series at most.
    LabelOfSeries {
        /// The label's name.
        label: String,
        /// Only series that match it.
        selector: String,
        /// From this instant …
        start: Timestamp,
        /// … to this one.
        end: Timestamp,
    },
    /// `/api/v1/metadata`.
    Metadata,
    /// `/api/v1/status/buildinfo`.
    BuildInfo,
}

/// The series that [`Call::LabelOfSeries`] lets a store list at most; it warns where it has more.
pub const MOST_SERIES_LISTED: u32 = 20_000;

/// What a call answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The result proper.
    pub data: Data,
    /// What the store says about the answer, at most [`remarks::MOST_KEPT`] of it.
    pub remarks: Vec<Remark>,
    /// The store itself called the answer partial (VictoriaMetrics' `isPartial`).
    pub is_partial: bool,
    /// The memory that it takes.
    pub held: Held,
}

impl Answer {
    /// An answer about which the store says nothing.
    #[must_use]
    pub fn of(data: Data) -> Self {
        Self {
            data,
            remarks: Vec::new(),
            is_partial: false,
            held: Held::default(),
        }
    }

    /// Whether the store says that the answer lacks something.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        let says_so = |remark: &Remark| remark.meaning == Meaning::DataMissing;
        self.is_partial || self.remarks.iter().any(says_so)
    }
}

/// The result proper of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Of [`Call::Instant`] and [`Call::Range`]; a vector's elements and a scalar are series of one
    /// sample. A string result is none.
    Series(Vec<Series>),
    /// Of [`Call::SeriesExist`].
    SeriesExist(bool),
    /// Of [`Call::LabelNames`] and [`Call::LabelValues`], in the store's order; of
    /// [`Call::LabelOfSeries`], sorted and each once.
    Names(Vec<String>),
    /// Of [`Call::Metadata`]: the type of each metric (family) name, the first one told.
    Metadata(BTreeMap<String, MetricType>),
    /// Of [`Call::BuildInfo`]: the version that the server reports.
    Version(String),
}

/// The instant by which a request must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(pub Instant);

/// Why a call has no answer. `Display` is for logs and, through `error.rs`, for the user: no
/// credentials, no user info, no paths of this machine.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, TLS failure, connection lost, not HTTP, or an answer that is not Prometheus':
    /// HTML, a redirect, truncated or malformed JSON, …
    #[error("{0}")]
    Unreachable(String),
    /// The store refused our credentials (401, 403).
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

/// A server that answers calls. The mirror's own are [`Target`] and [`RequestCalls`]; tests script
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

/// Decodes the body of an instant or range query's answer, arriving in chunks of `chunk` bytes: for
/// the fuzz target. What it answers can be compared and printed, nothing more.
#[doc(hidden)]
#[must_use]
pub fn decode_in_chunks(body: &[u8], chunk: usize) -> String {
    let mut decoder = decode::Decoder::default();
    let pushed = body
        .chunks(chunk.max(1))
        .try_for_each(|chunk| decoder.push(chunk));
    format!("{:?}", pushed.and_then(|()| decoder.finish()))
}
