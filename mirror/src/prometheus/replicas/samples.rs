//! Stretches for which a series has no stored samples, and those of another replica there. Pure.
//!
//! Replicas scrape the same at other instants: their clocks differ, and each spreads its scrapes.
//! So a sample of another one is the same scrape if it is nearer than half a scrape interval to one
//! that is there, and counts only where it is not.

use std::collections::HashMap;

use super::range::merged;
use crate::model::series::{Labels, Series};
use crate::model::time::{Millis, Timestamp};

/// So many scrape intervals may pass between two samples: one scrape may fail.
const INTERVALS: i64 = 2;

/// An interval of time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// Between which samples a series has none for too long. Without one: from the beginning of what
/// was asked for, or to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Gap {
    /// Where scrapes of another replica are others than those around it.
    fn inside(self, within: Stretch, pace: Pace) -> Stretch {
        let half = pace.half();
        let from = self.after.map(|at| at.plus(half));
        let to = self.before.map(|at| at.minus(half));
        Stretch {
            from: from.unwrap_or(within.from),
            to: to.unwrap_or(within.to),
        }
    }
}

/// When a series has samples, in order.
fn times(one: &Series) -> Vec<Timestamp> {
    let mut times: Vec<_> = one.samples.iter().map(|(at, _)| at).collect();
    if !one.histograms.is_empty() {
        times.extend(one.histograms.iter().map(|sample| sample.at));
        times.sort_unstable();
    }
    times
}

/// How often a series is scraped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    declared: Millis,
    /// How far most of its samples are apart, if there are enough of them to tell.
    usual: Option<Millis>,
}

impl Pace {
    fn of(times: &[Timestamp], declared: Millis) -> Self {
        let mut apart: Vec<_> = times.windows(2).map(|two| two[1].since(two[0])).collect();
        let usual = (apart.len() >= 2).then(|| {
            let middle = (apart.len() - 1) / 2;
            let (_, median, _) = apart.select_nth_unstable(middle);
            *median
        });
        Self { declared, usual }
    }

    /// The slower one of the same series at two replicas.
    fn or(self, other: Self) -> Self {
        Self {
            usual: self.usual.max(other.usual),
            ..self
        }
    }

    /// More than this between two samples is a gap.
    fn longest(self) -> Millis {
        let interval = self
            .usual
            .map_or(self.declared, |usual| usual.max(self.declared));
        Millis(interval.0.saturating_mul(INTERVALS))
    }

    /// Samples that are nearer than this are one scrape.
    fn half(self) -> Millis {
        Millis(self.usual.unwrap_or(self.declared).0 / 2)
    }
}

/// The gaps of a series within what was asked for.
fn gaps(times: &[Timestamp], within: Stretch, pace: Pace) -> Vec<Gap> {
    let longest = pace.longest();
    let gap = |after: Option<Timestamp>, before: Option<Timestamp>| {
        let from = after.unwrap_or(within.from);
        let is_gap = before.unwrap_or(within.to).since(from) > longest;
        is_gap.then_some(Gap { after, before })
    };
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        let whole = Gap {
            after: None,
            before: None,
        };
        return vec![whole];
    };
    let between = times
        .windows(2)
        .filter_map(|two| gap(Some(two[0]), Some(two[1])));
    let begins = gap(None, Some(*first));
    begins
        .into_iter()
        .chain(between)
        .chain(gap(Some(*last), None))
        .collect()
}

/// The stretches for which any of the series has nothing, oldest first; all of it if there is no
/// series. If they are more than `most`, one over all.
pub(super) fn missing(
    series: &[Series],
    within: Stretch,
    declared: Millis,
    most: usize,
) -> Vec<Stretch> {
    if series.is_empty() {
        return vec![within];
    }
    let mut all: Vec<Stretch> = series
        .iter()
        .flat_map(|one| {
            let times = times(one);
            let pace = Pace::of(&times, declared);
            let gaps = gaps(&times, within, pace).into_iter();
            gaps.map(move |gap| gap.inside(within, pace))
        })
        .filter(|stretch| stretch.from <= stretch.to)
        .collect();
    all.sort_unstable_by_key(|stretch| stretch.from);
    let mut found: Vec<Stretch> = Vec::new();
    for stretch in all {
        match found.last_mut() {
            // What is nearer than that is one call.
            Some(last) if stretch.from.since(last.to) <= declared => {
                last.to = last.to.max(stretch.to);
            }
            _ => found.push(stretch),
        }
    }
    if let (true, Some(first), Some(last)) = (found.len() > most, found.first(), found.last()) {
        // The last one to begin is also the last one to end: they do not overlap.
        found = vec![Stretch {
            from: first.from,
            to: last.to,
        }];
    }
    found
}

/// Where samples just outside of what was asked for may be the same scrapes as some of `other` just
/// inside: before and behind it.
pub(super) fn around(other: &[Series], within: Stretch, declared: Millis) -> Vec<Stretch> {
    let (mut before, mut behind) = (Millis(0), Millis(0));
    for one in other {
        let times = times(one);
        let half = Pace::of(&times, declared).half();
        let near = |at: Timestamp| {
            let (first, last) = (at.since(within.from), within.to.since(at));
            (first.0 >= 0 && first < half, last.0 >= 0 && last < half)
        };
        for (is_first, is_last) in times.into_iter().map(near) {
            before = if is_first { before.max(half) } else { before };
            behind = if is_last { behind.max(half) } else { behind };
        }
    }
    let before = (before.0 > 0).then(|| Stretch {
        from: within.from.minus(before),
        to: within.from.minus(Millis(1)),
    });
    let behind = (behind.0 > 0).then(|| Stretch {
        from: within.to.plus(Millis(1)),
        to: within.to.plus(behind),
    });
    before.into_iter().chain(behind).collect()
}

/// `own`, and what `other` has in its gaps. `around` are samples of the first just outside of what
/// was asked for.
pub(super) fn filled(
    own: &[Series],
    other: &[Series],
    around: &[Series],
    within: Stretch,
    declared: Millis,
) -> Vec<Series> {
    let by_labels = |all: &[Series]| -> HashMap<Labels, Vec<Timestamp>> {
        let mut found: HashMap<Labels, Vec<Timestamp>> = HashMap::new();
        for one in all {
            found
                .entry(one.labels.clone())
                .or_default()
                .extend(times(one));
        }
        found
    };
    let (owned, around) = (by_labels(own), by_labels(around));
    let wanted: Vec<Vec<Timestamp>> = other
        .iter()
        .map(|one| {
            let known = owned.get(&one.labels).map_or(&[][..], Vec::as_slice);
            let outside = around.get(&one.labels).map_or(&[][..], Vec::as_slice);
            wanted(known, outside, &times(one), within, declared)
        })
        .collect();
    let is_wanted = |index: usize, at: Timestamp| {
        let wanted = wanted.get(index);
        wanted.is_some_and(|wanted| wanted.binary_search(&at).is_ok())
    };
    merged(own, other, |_| true, is_wanted)
}

/// Which of another replica's samples of a series fill the gaps of `own`, in order.
fn wanted(
    own: &[Timestamp],
    outside: &[Timestamp],
    other: &[Timestamp],
    within: Stretch,
    declared: Millis,
) -> Vec<Timestamp> {
    // Whichever of both tells it better.
    let pace = Pace::of(own, declared).or(Pace::of(other, declared));
    let mut wanted = Vec::new();
    let mut left = other.iter().copied().peekable();
    for gap in gaps(own, within, pace) {
        let inside = gap.inside(within, pace);
        while left.next_if(|at| *at < inside.from).is_some() {}
        while let Some(at) = left.next_if(|at| *at <= inside.to) {
            let is_near = |known: &Timestamp| known.since(at).0.abs() < pace.half().0;
            if !outside.iter().any(is_near) {
                wanted.push(at);
            }
        }
    }
    wanted
}
