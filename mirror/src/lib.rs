//! The mirror: answers StackState's Mirror API from Prometheus.
//!
//! A request walks through the crate once, left to right, and back:
//!
//! ```text
//! http ─► api (decode) ─► settings (which target) ─► plan ─► execute ─► prometheus (calls, bounded, shared)
//!                                                                              │
//! http ◄─ api (encode) ◄───────────────────────── execute (pools, collects) ◄──┘
//! ```
//!
//! Rooms, from the ground floor up. None imports from a room above it; a test of the crate holds
//! them to it.
//!
//! * [`model`]: instants and spans, series, metric types, what a target can do.
//! * [`budget`] bounds the memory that requests take; [`blocking`] keeps long work from the
//!   runtime's workers; [`telemetry`] is how the mirror is observed.
//! * [`settings`] turns one `PrometheusMirror` document and its Secrets into
//!   [`settings::Settings`], or into the list of everything that is wrong with them. It also
//!   watches both for change.
//! * [`plan`] is pure: conditions become a selector, a selector and an aggregation become PromQL,
//!   buckets and pooling rules.
//! * [`prometheus`] is the only code that talks to a Prometheus server.
//! * [`execute`] runs plans over the calls of `prometheus`.
//! * [`api`] holds the wire types, the one map of errors, and one thin handler per method.
//! * [`http`] has the routes and the admin port.
//! * [`conform`] is a client that behaves like StackState and tells whether a mirror keeps the
//!   contract.
//! * [`cli`] has the subcommands.

pub mod api;
pub mod blocking;
pub mod budget;
pub mod cli;
pub mod conform;
pub mod execute;
pub mod http;
pub mod model;
pub mod plan;
pub mod prometheus;
pub mod settings;
pub mod telemetry;
