//! A long range as several range queries: stores refuse more than 11,000 points in one.

use std::sync::Arc;

use futures::future::try_join_all;

use super::Context;
use super::collect::Collector;
use crate::model::time::{Millis, Timestamp};
use crate::plan::buckets::Buckets;
use crate::prometheus::{Answer, Call, Store, StoreError};

/// Prometheus refuses range queries of more.
pub const POINTS_PER_CALL: u64 = 11_000;

/// Calls of one request under way at once.
const CALLS_AT_ONCE: u64 = 4;

/// The fewest buckets that a call asks for when few points are wanted: a call has costs of its own.
const FEWEST_PER_CALL: u64 = 120;

/// How many calls a caller without a limit needs for so many points.
pub(super) fn calls(points: u64) -> u64 {
    let most = POINTS_PER_CALL * CALLS_AT_ONCE;
    let last_wave = match points % most {
        0 => 0,
        rest if rest <= POINTS_PER_CALL => 1,
        _ => CALLS_AT_ONCE,
    };
    points / most * CALLS_AT_ONCE + last_wave
}

/// The evaluation instants of an expression: one for each bucket, at the same distance from the
/// bucket's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// Those not yet asked for.
    rest: Buckets,
    /// From a bucket's start to its evaluation.
    offset: Millis,
    /// Buckets of the next wave of calls.
    next: u64,
    /// Whether the range may be split.
    divisible: bool,
}

impl Grid {
    pub(super) fn new(buckets: Buckets, offset: Millis, divisible: bool) -> Self {
        Self {
            rest: buckets,
            offset,
            next: FEWEST_PER_CALL,
            divisible,
        }
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.rest.count() == 0
    }

    pub(super) fn rest(&self) -> Buckets {
        self.rest
    }

    /// Leaves out the buckets that are over before `at`.
    pub(super) fn skip_to(&mut self, at: Timestamp) {
        self.rest = self.rest.from_instant(at);
    }

    /// Leaves out what is left.
    pub(super) fn skip_all(&mut self) {
        self.rest = self.rest.split_at(self.rest.count()).1;
    }

    /// The next parts of the range, in order, for a caller that wants so many more points.
    pub(super) fn next_wave(&mut self, wanted: u64) -> Vec<Buckets> {
        let most = POINTS_PER_CALL * CALLS_AT_ONCE;
        // Where buckets are empty, `wanted` of them are not enough: each wave is larger than the
        // one before.
        let size = if self.divisible {
            wanted.max(self.next).min(most)
        } else {
            POINTS_PER_CALL
        };
        self.next = self.next.saturating_mul(4);
        let (mut wave, rest) = self.rest.split_at(size);
        self.rest = rest;
        // What takes several calls anyway is spread evenly over as many as run at once.
        let part = match wave.count() {
            count if count <= POINTS_PER_CALL => count,
            count => count.div_ceil(CALLS_AT_ONCE),
        };
        let mut parts = Vec::new();
        while wave.count() > 0 {
            let (first, others) = wave.split_at(part);
            parts.push(first);
            wave = others;
        }
        parts
    }

    /// The range query that evaluates `promql` once for each bucket of a part.
    pub(super) fn call(&self, promql: &str, part: &Buckets) -> Call {
        Call::Range {
            promql: promql.to_owned(),
            start: part.start().plus(self.offset),
            end: part
                .start_of(part.count().saturating_sub(1))
                .plus(self.offset),
            step: part.width(),
        }
    }

    /// The answers for the next parts of the range.
    pub(super) async fn ask<S: Store>(
        &mut self,
        context: &Context<'_, S>,
        promql: &str,
        collector: &Collector,
    ) -> Result<Vec<(Buckets, Arc<Answer>)>, StoreError> {
        let parts = self.next_wave(collector.wanted());
        let answers = try_join_all(
            parts
                .iter()
                .map(|part| context.call(self.call(promql, part))),
        )
        .await?;
        Ok(parts.into_iter().zip(answers).collect())
    }
}
