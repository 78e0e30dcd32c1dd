//! What Helm makes of both charts, in the places where people put them: in charts of their own, in
//! registries of their own, and without Helm at all. Runs the pinned Helm 3 and Helm 4.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod helm;
mod injection;
mod names;
mod parents;
mod plain;
mod registries;
