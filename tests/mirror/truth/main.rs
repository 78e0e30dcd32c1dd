//! Ground truth: what the stores answer and what the mirror answers, point for point against what
//! the samples mean. A program of its own, because it takes all processors.

mod ground_truth;
mod oracle;
mod replicas;
mod shards;
mod vectors;
