//! How much memory a mirror needs: the one computation that the mirror's budget, its `check`, the
//! operator's default resources and its conditions share.

pub mod size;
mod unfit;

pub use self::unfit::{problem, unfit};
use crate::spec::default_workers;

const MIB: u64 = 1 << 20;

/// The memory limit of the mirror's container where the resource sets none, in bytes.
pub const DEFAULT_LIMIT: u64 = 512 * MIB;

/// The number of workers if the resource does not set it.
pub const DEFAULT_WORKERS: u64 = default_workers().unsigned_abs() as u64;

/// The memory of code, runtime, connections and metrics, whatever the requests.
const FIXED: u64 = 64 * MIB;

/// The memory that one worker needs for a typical large answer: the samples of a long range of many
/// series, and the points computed from them.
const PER_WORKER: u64 = 12 * MIB;

/// The least that a mirror needs for requests to be useful: a few ordinary ones at a time. It uses
/// so much even where the limit leaves less.
pub const LEAST_FOR_REQUESTS: u64 = 16 * MIB;

/// The smallest memory limit that leaves [`LEAST_FOR_REQUESTS`], in whole MiB.
pub const LEAST_LIMIT: u64 = FIXED + (16_u64 * 4).div_ceil(3) * MIB;

/// The bytes that requests may use within a memory limit. A quarter is left to the allocator, for
/// rounding and fragmentation.
#[must_use]
pub const fn for_requests(limit: u64) -> u64 {
    limit.saturating_sub(FIXED) / 4 * 3
}

/// The smallest memory limit with which that many workers can process large answers at once.
#[must_use]
pub const fn needed_by(workers: u64) -> u64 {
    FIXED.saturating_add(workers.saturating_mul(PER_WORKER).saturating_mul(4) / 3)
}

// The defaults fit each other.
const _: () = assert!(needed_by(DEFAULT_WORKERS) <= DEFAULT_LIMIT);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_workers_need_leaves_each_its_share() {
        for workers in [1, 20, 1_000] {
            assert!(for_requests(needed_by(workers)) >= workers * PER_WORKER - 4);
        }
    }

    #[test]
    fn the_least_limit_leaves_requests_the_least() {
        assert!(for_requests(LEAST_LIMIT) >= LEAST_FOR_REQUESTS);
        assert!(for_requests(LEAST_LIMIT - MIB) < LEAST_FOR_REQUESTS);
    }

    #[test]
    fn a_limit_below_the_fixed_part_leaves_nothing() {
        assert_eq!(for_requests(10 * MIB), 0);
    }
}
