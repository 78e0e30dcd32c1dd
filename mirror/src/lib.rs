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
//! Rooms, from the ground floor up. None imports from a room above it: `tests/rooms.rs` has this
//! list as a table and holds them to it.
//!
//! * [`model`]: instants and spans, series, metric types, what a target can do, the methods of the
//!   Mirror API. It imports nothing of ours but `crds`.
//! * [`blocking`] keeps long work from the runtime's workers; [`budget`] bounds the memory that
//!   requests take.
//! * [`plan`] is pure: a metric query becomes a [`plan::Plan`], which is one value: which calls,
//!   over which grid, pooled how. One file a subject: gauge, counter, histogram, summary,
//!   expression, raw, fields; selector, enforce, buckets.
//! * [`settings`] turns one `PrometheusMirror` document and its Secrets into
//!   [`settings::Settings`], or into the list of everything that is wrong with them. It also
//!   watches both for change, and chooses the target that a request means.
//! * [`prometheus`] is the only code that talks to a Prometheus server.
//! * [`telemetry`] is how the mirror is observed.
//! * [`execute`] runs a plan over the calls of `prometheus`, or explains it.
//! * [`api`] decodes requests, encodes answers, makes every error body, and has one thin handler a
//!   method.
//! * [`http`] has the routes and the admin port.
//! * [`conform`] is a client that behaves like StackState and says whether a mirror keeps the
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
