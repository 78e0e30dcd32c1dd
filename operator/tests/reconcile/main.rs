//! Reconciles against an API server in memory: what the operator writes, what it leaves alone, and
//! what it says. No root, no network but loopback, seconds.

// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_server;
mod children;
mod cluster;
mod failures;
mod others;
mod pods;
mod readiness;
mod refused;
mod rivals;
mod servers;
mod sidecars;
mod watched;
