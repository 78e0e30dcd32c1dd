//! The operator: runs a mirror for every `PrometheusMirror` resource.
//!
//! A change comes in through a watch and goes through five steps, each in a file of its own under
//! `controller/`:
//!
//! ```text
//! watch ─► dereference ─► validate ─► build ─► apply ─► status
//!          reads what      the only    pure:    the only   asks the pods what they serve (`observe`),
//!          the resource    place that  one      code that  makes conditions of it, writes them once
//!          refers to       refuses     builder  writes     if they changed
//!                          a spec      a kind   children
//! ```
//!
//! * Everything that the steps read from the API server comes from caches that watches keep
//!   ([`cluster::caches`]), so that a reconcile in which nothing changed makes no request there.
//!   Pods are asked directly, on their admin port.
//! * An invalid spec or a missing Secret is a condition and waits for the next change; "not ready
//!   yet" is a status. An `Err` is only what may be different when it is tried again: the API
//!   server's.
//! * What a child should look like is decided by the builders alone; whether it looks like that is
//!   decided by [`controller::apply`], from a hash that the child carries and from its fields.

pub mod args;
pub mod cluster;
pub mod controller;
pub mod leader;
pub mod names;
pub mod run;
pub mod telemetry;
