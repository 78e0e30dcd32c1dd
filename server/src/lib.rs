//! HTTP servers of the mirror and the operator: whatever clients do, a listener holds a bounded
//! number of connections, each of them waits a bounded time, and the next client is let in.
//!
//! - [`address`]: where to listen.
//! - [`listener`]: accepting, and draining.
//! - `connection`: one connection from its first byte to its last.
//! - `watched`: what is written on a connection, and whether a request asked for it.
//! - [`stalls`]: clients that stop sending or reading.
//! - [`shares`]: whose connection gives way when there are too many. No I/O.
//! - [`apart`]: a server on a thread of its own, which answers whatever the others do.
//! - [`heartbeat`]: whether the others still do anything.
//! - [`descriptors`]: how many connections this process may have open.

#![forbid(unsafe_code)]

pub mod address;
pub mod apart;
pub mod client;
mod connection;
pub mod descriptors;
pub mod heartbeat;
pub mod limits;
pub mod listener;
pub mod shares;
pub mod stalls;
mod table;
mod watched;

pub use address::ListenAddress;
pub use apart::Apart;
pub use client::{ClientAddress, ClientCertificate};
pub use heartbeat::Heartbeat;
pub use limits::{Limits, MAX_HEAD_BYTES};
pub use listener::{BindError, CurrentTls, Drained, Hooks, OnMalformed, Server, bind};
pub use stalls::BodyStalled;

#[cfg(test)]
mod tests;
