//! The mirror: answers StackState's Mirror API from Prometheus.
//!
//! A request walks through the crate once, left to right:
//!
//! ```text
//! router ─► api (decode) ─► settings (which target) ─► query (plan) ─► prometheus (calls, bounded, shared)
//!                                                                              │
//!           api (encode) ◄───────────────── query (pool) ◄─── evaluate (drives the plan) ◄┘
//! ```
//!
//! * [`settings`] turns one `PrometheusMirror` document and its Secrets into [`settings::Settings`], or into the list of
//!   everything that is wrong with them. It also watches both for change.
//! * [`query`] is pure: conditions become a selector, a selector and an aggregation become PromQL, buckets and pooling rules.
//! * [`prometheus`] is the only code that talks to a Prometheus server.
//! * [`evaluate`] drives the plans of `query` over the calls of `prometheus`.
//! * [`budget`] bounds the memory that all of them take for requests.
//! * [`api`] holds the wire types and one thin handler per method.
//! * [`conform`] is a client that behaves like StackState and tells whether a mirror keeps the contract.
//! * [`browser`] keeps web pages away; [`blocking`] keeps long work from the runtime's workers.
//! * [`health`], [`metrics`], [`telemetry`] are what every well-kept server needs around that; [`cli`] starts it.

pub mod api;
pub mod args;
pub mod blocking;
pub mod browser;
pub mod budget;
pub mod cli;
pub mod conform;
pub mod error;
pub mod evaluate;
pub mod health;
pub mod metrics;
pub mod probe;
pub mod process;
pub mod prometheus;
pub mod query;
pub mod router;
pub mod settings;
pub mod state;
pub mod telemetry;
pub mod time;
