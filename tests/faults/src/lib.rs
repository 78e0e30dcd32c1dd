//! Runs the operator under faults and compares what it leaves behind with what a run without faults
//! leaves.
//!
//! A *trial* ([`trial`]) is one run: a namespace of its own, an operator process that watches only
//! that, and a *proxy* ([`proxy`]) between the operator and the real API server, which follows a
//! *plan* ([`plan`]) and keeps a *record* ([`record`]). Most trials go through the same *story*
//! ([`story`]); what there is after each of its steps is a *snapshot* ([`snapshot`]), compared with
//! that of the *reference* run ([`reference`]). Which faults there are is in [`classes`]; what came
//! of them is the [`report`].

pub mod classes;
pub mod cluster;
pub mod kubernetes;
pub mod plan;
pub mod proxy;
pub mod record;
pub mod reference;
pub mod replica;
pub mod report;
pub mod snapshot;
pub mod story;
pub mod trial;
pub mod watches;
