//! How calls reach a server that does more than answer them, or less.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows a test's functions, not their helpers"
)]

mod connections;
mod encoded;
mod guarded;
mod hostile;
mod http2;
mod methods;
mod replicas;
mod throttled;
#[path = "../upstream/mod.rs"]
mod upstream;
