//! How many calls run at once, and who waits.
//!
//! `workers` calls are in flight per process. Each of the `n` lanes (one per declared target, one
//! for all undeclared ones together) has a share of `max(1, workers / 2n)` of its own; what is left
//! is a pool for all. A call takes a place of its lane, else one of the pool, else it waits for
//! whichever frees first. So a target that hangs may fill its own share and the pool, and every
//! other target still has its share. With more lanes than workers, each still has its one place.
//!
//! Within a lane callers take turns, see `queue.rs`; lanes take turns at the places of the pool. So
//! neither a client nor a target with many calls makes another one wait for all of them.
//!
//! A lane outlives a reload of the settings, as does the pool: calls in flight keep counting, and a
//! change of `workers` takes effect as they end.

mod lane;
mod pool;

use std::net::IpAddr;

pub(super) use self::lane::{Lane, Ticket};
pub(super) use self::pool::Pool;

/// For whom a call is made: each of them gets its turn. Behind a proxy all clients are one, since
/// only a proxy that is trusted could tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Caller {
    /// The mirror itself: what it wants to know of a target, asked on nobody's behalf.
    Mirror,
    /// A client, by its address.
    Client(IpAddr),
}

#[cfg(test)]
mod tests;
