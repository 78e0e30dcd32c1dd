//! The operator: runs a mirror for every `PrometheusMirror` resource.
//!
//! A change comes in through a watch and goes through the steps of [`controller`], each in a file
//! or folder of its name:
//!
//! ```text
//! watch ─► dereference ─► validate ─► build ─► apply ─► observe ─► notify ─► status
//!          reads what      the only    pure:    the only  asks the   has pods   makes
//!          the resource    place that  one      code that pods what  read what  conditions,
//!          refers to       refuses     builder  writes    they       is new     writes them if
//!                          a spec      a kind   children  serve                 they changed
//! ```
//!
//! * Everything that the steps read from the API server comes from caches that watches keep
//!   ([`cluster`]), so that a reconcile in which nothing changed makes no request there. Pods are
//!   asked directly, on their admin port.
//! * A step that cannot go on returns a [`controller::Stop`]. An invalid spec or a missing Secret
//!   is a condition and waits for the next change; "not ready yet" is a status. Only what may be
//!   different next time, the API server's failures, is an error that is retried.
//! * What a child should look like is decided by the builders alone; whether it looks like that is
//!   decided by [`controller::apply`], from a hash that the child carries and from its fields.
//! * What the operator and the mirror must agree on is in `crds::contract` and `crds::references`.
//!
//! The rooms stand on each other in one direction, and `tests/rooms.rs` holds them to it: cluster ←
//! telemetry ← leader ← controller ← sidecar, which prints what a builder makes, ← run.

pub mod args;
pub mod cluster;
pub mod controller;
pub mod leader;
pub mod run;
pub mod sidecar;
pub mod telemetry;
