//! Which of several replicas works: the lease, and the client that writes nothing without it.

pub mod client;
pub mod lease;
