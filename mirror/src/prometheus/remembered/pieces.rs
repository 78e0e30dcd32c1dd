//! What of a range is known, and what is asked. Pure.

use std::sync::Arc;

use super::run::{Evaluations, Part, Run, agree, are_of_one_name, is_plain, last_until, spliced};
use crate::model::series::Series;
use crate::model::time::{Millis, Timestamp};
use crate::prometheus::Answer;

/// A range of which a run knows something.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pieces {
    pub(super) run: Arc<Run>,
    /// Known is from this instant …
    pub(super) from: Timestamp,
    /// … to this one.
    pub(super) to: Timestamp,
    /// What is asked up to the first known evaluation, which is asked again; none if nothing is
    /// missing before it.
    pub(super) head: Option<Evaluations>,
    /// What is asked from the last known evaluation on, which is asked again.
    pub(super) tail: Evaluations,
}

impl Pieces {
    /// Of the run that knows most of it. None: it is not worth to ask for the rest alone.
    pub(super) fn of(runs: &[Arc<Run>], asked: Evaluations) -> Option<Self> {
        // An empty evaluation is no evidence: a store that has lost what was before it says the
        // same of it.
        let known = |run: &Run| {
            let to = last_until(&run.series, asked.end)?;
            Some((run.first.max(asked.start), to))
        };
        let length = |run: &Run| known(run).map(|(from, to)| to.since(from));
        let run = runs.iter().max_by_key(|run| length(run))?;
        let (from, to) = known(run)?;
        let between = |start, end| Evaluations {
            start,
            end,
            step: asked.step,
        };
        let pieces = Self {
            run: Arc::clone(run),
            from,
            to,
            head: (asked.start < from).then(|| between(asked.start, from)),
            tail: between(to, asked.end),
        };
        let is_worth_it = to.since(from) >= asked.step
            && match pieces.head {
                None => pieces.saved() > 0,
                // A call more, which must save most of the other one.
                Some(_) => pieces.saved() > asked.count() / 2,
            };
        is_worth_it.then_some(pieces)
    }

    /// How many evaluations are not asked for.
    pub(super) fn saved(&self) -> u64 {
        let known = Evaluations {
            start: self.from,
            end: self.to,
            ..self.tail
        };
        known.count() - 1 - u64::from(self.head.is_some())
    }

    /// The first and the last evaluation of each call.
    pub(super) fn asked(&self) -> Vec<(Timestamp, Timestamp)> {
        let calls = self.head.into_iter().chain([self.tail]);
        calls.map(|call| (call.start, call.end)).collect()
    }

    /// What is known.
    pub(super) fn known(&self) -> Part<'_> {
        self.run.part(self.from, self.to)
    }

    /// How much there is to go through.
    pub(super) fn size(&self) -> usize {
        let evaluations = usize::try_from(self.saved()).unwrap_or(usize::MAX);
        self.run.series.len().saturating_mul(evaluations)
    }

    /// The answer to the whole range, of what was asked and what is known. None: the store does not
    /// say what it said before, or its answers cannot be put together.
    pub(super) fn with(&self, head: Option<&Answer>, tail: &Answer) -> Option<Vec<Series>> {
        let series = &self.run.series;
        let is_as_before = |answer: &Answer, asked: Evaluations, at: Timestamp| {
            let here = Part {
                series: answer.series(),
                from: at,
                to: at,
            };
            is_plain(answer.series(), asked) && agree(self.run.part(at, at), here)
        };
        let mut parts = Vec::new();
        if let Some(asked) = self.head {
            let head = head?;
            if !is_as_before(head, asked, self.from) {
                return None;
            }
            parts.push(Part {
                series: head.series(),
                from: asked.start,
                to: self.from.minus(Millis(1)),
            });
        }
        if !is_as_before(tail, self.tail, self.to) {
            return None;
        }
        parts.push(Part {
            series,
            from: self.from,
            to: self.to,
        });
        parts.push(Part {
            series: tail.series(),
            from: self.to.plus(Millis(1)),
            to: self.tail.end,
        });
        let whole = spliced(&parts);
        are_of_one_name(&whole).then_some(whole)
    }
}
