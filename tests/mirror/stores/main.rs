//! The mirror, and parts of it, on real stores: Prometheus 2 and 3, VictoriaMetrics, Thanos, and
//! the parsers of their expressions.
//!
//! The harness starts them on loopback; those that Debian lacks are built from Go modules first
//! (`tests/tools/build`). One program, because each links for seconds.

mod asking;
mod bounds;
mod calls;
mod conform;
mod contract;
mod enforced;
mod exposition;
mod expressions;
mod generated;
mod histograms;
mod identities;
mod paging;
mod parsers;
mod proxied;
mod reload;
mod remarks;
mod remembered;
mod secured;
mod signed;
mod surroundings;
mod thanos;
