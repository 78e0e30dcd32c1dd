//! A long range as several range queries: stores refuse more than 11,000 points in one.

use std::sync::Arc;

use futures::future::try_join_all;

use super::Context;
use super::collect::Collector;
use crate::model::time::{Millis, Timestamp};
use crate::plan::Plan;
use crate::plan::buckets::{Buckets, Grid, POINTS_PER_CALL};
use crate::prometheus::{Answer, Call, Store, StoreError};

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

/// The parts of a grid that are not yet asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waves {
    left: Grid,
    /// Buckets of the next wave of calls.
    next: u64,
}

impl Waves {
    pub(super) fn over(grid: Grid) -> Self {
        Self {
            left: grid,
            next: FEWEST_PER_CALL,
        }
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.left.buckets.count() == 0
    }

    /// What is left.
    pub(super) fn left(&self) -> Buckets {
        self.left.buckets
    }

    /// Leaves out the buckets that are over before `at`.
    pub(super) fn skip_to(&mut self, at: Timestamp) {
        self.left = self.left.from_instant(at);
    }

    /// Leaves out what is left.
    pub(super) fn skip_all(&mut self) {
        let buckets = self.left.buckets;
        self.left.buckets = buckets.split_at(buckets.count()).1;
    }

    /// The next parts of the range, in order, for a caller that wants so many more points.
    pub(super) fn next_wave(&mut self, wanted: u64) -> Vec<Buckets> {
        let most = POINTS_PER_CALL * CALLS_AT_ONCE;
        // Where buckets are empty, `wanted` of them are not enough: each wave is larger than the
        // one before.
        let size = if self.left.is_divisible {
            wanted.max(self.next).min(most)
        } else {
            POINTS_PER_CALL
        };
        self.next = self.next.saturating_mul(4);
        let (mut wave, rest) = self.left.buckets.split_at(size);
        self.left.buckets = rest;
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

    /// The answers for the next parts of the range.
    pub(super) async fn ask<S: Store>(
        &mut self,
        context: &Context<'_, S>,
        promql: &str,
        collector: &Collector,
    ) -> Result<Vec<(Buckets, Arc<Answer>)>, StoreError> {
        let parts = self.next_wave(collector.wanted());
        // Each is kilobytes long, and would be moved more than once on its way into the list.
        let calls = parts
            .iter()
            .map(|part| Box::pin(context.call(call(promql, part, self.left.offset))));
        let answers = try_join_all(calls).await?;
        Ok(parts.into_iter().zip(answers).collect())
    }
}

/// The range query that evaluates `promql` once for each bucket of a part.
pub(super) fn call(promql: &str, part: &Buckets, offset: Millis) -> Call {
    let (start, end) = evaluations(part, offset);
    Call::Range {
        promql: promql.to_owned(),
        start,
        end,
        step: part.width(),
    }
}

/// The first and the last evaluation of a part.
pub(super) fn evaluations(part: &Buckets, offset: Millis) -> (Timestamp, Timestamp) {
    let last = part.start_of(part.count().saturating_sub(1));
    (part.start().plus(offset), last.plus(offset))
}

/// Nothing in the last parts: where much is left, looks up where samples begin instead of asking
/// part after part.
pub(super) async fn skip_gap<S: Store>(
    context: &Context<'_, S>,
    plan: &Plan,
    waves: &mut Waves,
) -> Result<(), StoreError> {
    let left = waves.left();
    let selectors = plan.kind.selectors();
    if selectors.is_empty() || left.count() <= 2 * POINTS_PER_CALL {
        return Ok(());
    }
    let precision = Millis(left.width().0.saturating_mul(1_000));
    let from = left.start().minus(plan.looks_back);
    match context
        .first_sample(&selectors, from, left.last_instant(), precision)
        .await?
    {
        Some(at) => waves.skip_to(at),
        None => waves.skip_all(),
    }
    Ok(())
}
