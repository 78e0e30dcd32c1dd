//! What is known of the cluster: where the operator looks, what it watches there, and in which form
//! it keeps it. Decides nothing and writes nothing.

pub mod access;
pub mod answer;
pub mod caches;
pub mod child;
pub mod index;
pub mod kind;
pub mod known;
pub mod labelled;
pub mod owner;
pub mod packed;
pub mod platform;
pub mod pod;
pub mod policy;
pub mod problem;
pub mod prometheus;
pub mod references;
pub mod reported;
pub mod scope;
pub mod service;
pub mod slice;
pub mod store;
pub mod watched;
pub mod written;

mod backoff;
mod text;
mod trim;
