//! What the tests share: real servers to start, samples to load, the truth about those samples, and
//! a client.
//!
//! - [`servers`] starts Prometheus 2 and 3, VictoriaMetrics, Thanos, Mimir, nginx, a part of AWS
//!   and the mirror itself on loopback, and ends them; an upstream among them says what the test
//!   wants.
//! - [`samples`] generates samples that are hard to get right; [`remote_write`] loads them.
//! - [`oracle`] computes from those samples, in plain Rust, what the mirror has to answer. It
//!   shares no code with the mirror.
//! - [`certificates`] makes authorities and certificates.
//! - [`client`] speaks the Mirror API the way StackState does.
//! - [`compare`] holds an answer against the truth and writes down how far apart they are.

pub mod certificates;
pub mod client;
pub mod compare;
pub mod oracle;
pub mod remote_write;
pub mod samples;
pub mod servers;
