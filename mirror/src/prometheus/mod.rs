//! The only code that talks to Prometheus: the calls there are, what they answer, and how they
//! fail.
//!
//! ```text
//! targets ─► target ─► replicas ─► server ─► sharing ─► limits ─► client ─► request (out), decode (in)
//!   which      shards    which one    │       one exchange  its turn   over HTTP; throttle: when
//!                                     ├► capabilities: what the server can do
//!                                     └► remembered: finished buckets are not asked again
//! ```
//!
//! One deadline covers all of it. It is enforced in one place, where a caller waits (`server.rs`);
//! an exchange that nobody waits for any more is aborted.

mod answer;
mod aws;
mod call;
mod capabilities;
mod charge;
mod client;
mod decode;
mod error;
mod guard;
mod holders;
mod http;
mod issuer;
mod limits;
mod lookup;
pub mod observe;
mod proxy;
mod queue;
pub mod remarks;
mod remembered;
mod renewal;
mod replicas;
mod request;
mod server;
mod service_account;
mod sharing;
mod store;
mod target;
mod targets;
mod throttle;
mod tls;
mod tokens;
mod worked;

pub use self::answer::{Answer, Arrival, Data, SeriesCounts};
pub(crate) use self::aws::described as described_signer;
pub use self::call::{Call, MOST_SERIES_COUNTED, MOST_SERIES_LISTED, range_selector};
pub use self::charge::Held;
pub use self::client::MAX_BODY_BYTES;
pub use self::error::StoreError;
pub(crate) use self::error::whole_seconds;
pub use self::holders::Holders;
pub(crate) use self::http::root_cause;
pub use self::limits::Caller;
pub use self::remembered::{Foreseen, Remembered, Remembering};
pub use self::server::Server;
pub use self::store::{Deadline, Store};
pub use self::target::{RequestCalls, Target};
pub use self::targets::Targets;

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
