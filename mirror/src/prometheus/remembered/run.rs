//! Evaluations of one expression that follow each other, and how they are put together. Pure.

use crate::model::series::{Labels, Series};
use crate::model::time::{Millis, Timestamp};
use crate::prometheus::Answer;
use crate::prometheus::remarks::Remark;

/// The evaluations of a range query. The last one is at `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evaluations {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// At least 1 ms.
    pub(super) step: Millis,
}

impl Evaluations {
    /// Those of a range query whose last one may be before `end`. None: there is none.
    pub(super) fn of(start: Timestamp, end: Timestamp, step: Millis) -> Option<Self> {
        let steps = end.since(start).0.checked_div(step.0)?;
        let is_sound = step.0 > 0 && end >= start;
        is_sound.then(|| Self {
            start,
            end: start.plus(Millis(steps.saturating_mul(step.0))),
            step,
        })
    }

    /// How many there are.
    pub(super) fn count(self) -> u64 {
        let steps = self.end.since(self.start).0.max(0) / self.step.0.max(1);
        steps.unsigned_abs().saturating_add(1)
    }

    /// Whether these are some of them, in the order of time. Most follow each other, which is
    /// quickly seen.
    fn contain_all(self, instants: &[Timestamp]) -> bool {
        let mut before: Option<Timestamp> = None;
        let is_next = |at: Timestamp| {
            let is_next = match before {
                Some(before) if at == before.plus(self.step) => true,
                Some(before) if at <= before => false,
                _ => at >= self.start && at.since(self.start).0 % self.step.0.max(1) == 0,
            };
            before = Some(at);
            is_next
        };
        let is_within = instants.last().is_none_or(|last| *last <= self.end);
        is_within && instants.iter().copied().all(is_next)
    }
}

/// What is known of evaluations that follow each other: samples of series, in the order of their
/// labels. At its first and its last instant some series has a sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) series: Vec<Series>,
    /// What the store said about the query when it was asked.
    pub(super) comments: Vec<Remark>,
}

/// Part of what series hold: from an instant to another, both included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) series: &'a [Series],
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl<'a> Part<'a> {
    /// Those of the series that have a sample in it.
    fn present(self) -> impl Iterator<Item = &'a Series> {
        let has_any = move |one: &&Series| !one.samples.between(self.from, self.to).is_empty();
        self.series.iter().filter(has_any)
    }

    /// About how many bytes a copy takes.
    pub(super) fn bytes(self) -> u64 {
        const SAMPLE: usize = 12;
        let present = self.present().map(|one| {
            let samples = one.samples.between(self.from, self.to);
            series_bytes(one) + (samples.len() * SAMPLE + samples.text_length()) as u64
        });
        present.sum()
    }
}

/// Whether both parts, of the same instants, say the same.
pub(super) fn agree(one: Part<'_>, other: Part<'_>) -> bool {
    let mut others = other.present();
    let same = one.present().all(|own| {
        others.next().is_some_and(|same| {
            own.labels == same.labels
                && own.samples.between(one.from, one.to)
                    == same.samples.between(other.from, other.to)
        })
    });
    same && others.next().is_none()
}

/// The parts, each later than the one before, as one: series in the order of their labels.
pub(super) fn spliced(parts: &[Part<'_>]) -> Vec<Series> {
    let mut rests: Vec<_> = parts
        .iter()
        .map(|part| (*part, part.present().peekable()))
        .collect();
    let mut all = Vec::new();
    loop {
        let heads = rests.iter_mut().filter_map(|(_, rest)| rest.peek());
        let Some(labels) = heads.map(|one| &one.labels).min() else {
            return all;
        };
        all.push(next_series(labels, &mut rests));
    }
}

type Rest<'a, I> = (Part<'a>, std::iter::Peekable<I>);

/// What the parts have of the series with these labels, which is the next one of each that has it.
fn next_series<'a, I: Iterator<Item = &'a Series>>(
    labels: &Labels,
    rests: &mut [Rest<'a, I>],
) -> Series {
    let mut found: Vec<_> = Vec::new();
    for (part, rest) in rests {
        if let Some(one) = rest.next_if(|one| one.labels == *labels) {
            found.push(one.samples.between(part.from, part.to));
        }
    }
    let mut series = Series {
        labels: labels.clone(),
        ..Series::default()
    };
    let count = found.iter().map(|stretch| stretch.len()).sum();
    let text_length = found.iter().map(|stretch| stretch.text_length()).sum();
    series.samples.reserve(count, text_length);
    for stretch in found {
        series.samples.extend(stretch);
    }
    series
}

/// Whether an answer to these evaluations can be put together with others: floats at the very
/// instants that were asked for, of series in the order of their labels. That is the order of
/// every store, as long as names do not differ.
pub(super) fn is_plain(series: &[Series], asked: Evaluations) -> bool {
    series.is_sorted_by(|one, next| one.labels < next.labels)
        && are_of_one_name(series)
        && series
            .iter()
            .all(|one| one.histograms.is_empty() && asked.contain_all(one.samples.instants()))
}

/// Whether all series have the same name, or none.
pub(super) fn are_of_one_name(series: &[Series]) -> bool {
    let mut names = series.iter().map(|one| one.labels.get("__name__"));
    let first = names.next();
    names.all(|name| Some(name) == first)
}

/// The last instant at which any of the series has a sample, not later than `until`.
pub(super) fn last_until(series: &[Series], until: Timestamp) -> Option<Timestamp> {
    let last = series.iter();
    last.filter_map(|one| one.samples.last_until(until)).max()
}

impl Run {
    /// What of an answer lasts from `from` on: up to the last instant with a sample that is not
    /// later than `until`. None: nothing. The answer is [`is_plain`].
    pub(super) fn lasting(answer: &Answer, from: Timestamp, until: Timestamp) -> Option<Self> {
        let series = answer.series();
        let last = last_until(series, until)?;
        let firsts = series.iter();
        let first = firsts
            .filter_map(|one| one.samples.first_from(from))
            .min()?;
        let part = Part {
            series,
            from: first,
            to: last,
        };
        (first <= last).then(|| Self {
            first,
            last,
            series: spliced(&[part]),
            comments: answer.remarks.clone(),
        })
    }

    /// From `from` to `to`, both included.
    pub(super) fn part(&self, from: Timestamp, to: Timestamp) -> Part<'_> {
        let series = &self.series;
        Part { series, from, to }
    }

    /// Whether both know the same instants, and say the same about these.
    fn agrees_with(&self, other: &Self) -> bool {
        let (from, to) = (self.first.max(other.first), self.last.min(other.last));
        from <= to && agree(self.part(from, to), other.part(from, to))
    }

    /// Both as one. Runs without a common instant stay apart, even side by side: nothing shows that
    /// the store is as it was.
    pub(super) fn joined(&self, newer: &Self) -> Option<Self> {
        if !self.agrees_with(newer) {
            return None;
        }
        let before = self.part(self.first, newer.first.minus(Millis(1)));
        let middle = newer.part(newer.first, newer.last);
        let after = self.part(newer.last.plus(Millis(1)), self.last);
        let mut comments = self.comments.clone();
        for comment in &newer.comments {
            comment.clone().keep_in(&mut comments);
        }
        Some(Self {
            first: self.first.min(newer.first),
            last: self.last.max(newer.last),
            series: spliced(&[before, middle, after]),
            comments,
        })
    }

    /// The same from the first instant with a sample on that is not before `from`.
    pub(super) fn since(self, from: Timestamp) -> Self {
        if self.first >= from {
            return self;
        }
        let firsts = self.series.iter();
        let first = firsts.filter_map(|one| one.samples.first_from(from)).min();
        let first = first.unwrap_or(self.last);
        Self {
            first,
            series: spliced(&[self.part(first, self.last)]),
            ..self
        }
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        const REMARK: u64 = 400;
        let own = size_of::<Self>() as u64 + REMARK * self.comments.len() as u64;
        let series = self.series.iter();
        own + series
            .map(|one| series_bytes(one) + one.samples.allocated())
            .sum::<u64>()
    }
}

/// What a series takes beside its samples, about.
fn series_bytes(series: &Series) -> u64 {
    const LABEL: u64 = 100;
    let labels = series.labels.iter();
    let labels: u64 = labels
        .map(|(name, value)| LABEL + (name.len() + value.len()) as u64)
        .sum();
    size_of::<Series>() as u64 + labels
}
