//! Instants at which a range query has nothing, and what another replica has there. Pure.

use std::collections::HashMap;

use crate::model::series::{Labels, Samples, Series};
use crate::model::time::{Millis, Timestamp};

/// The instants of a range query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instants {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// At least 1 ms.
    pub(super) step: Millis,
}

impl Instants {
    fn count(self) -> usize {
        let steps = self.end.since(self.start).0.max(0) / self.step.0.max(1);
        usize::try_from(steps)
            .unwrap_or(usize::MAX)
            .saturating_add(1)
    }

    fn at(self, index: usize) -> Timestamp {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        self.start.plus(Millis(self.step.0.saturating_mul(index)))
    }

    /// The instant that a sample belongs to: some stores move evaluation times.
    fn index(self, at: Timestamp) -> Option<usize> {
        let index = at.since(self.start).0.div_euclid(self.step.0.max(1));
        usize::try_from(index)
            .ok()
            .filter(|index| *index < self.count())
    }

    /// At which instants a series has a sample.
    fn found(self, series: &[Series]) -> Vec<bool> {
        let mut found = vec![false; self.count()];
        let floats = series.iter().flat_map(|one| one.samples.iter());
        let histograms = series.iter().flat_map(|one| &one.histograms);
        for at in floats.map(|(at, _)| at).chain(histograms.map(|one| one.at)) {
            if let Some(place) = self.index(at).and_then(|index| found.get_mut(index)) {
                *place = true;
            }
        }
        found
    }

    /// Which instants no series has a sample at. None: each has one.
    pub(super) fn missing(self, series: &[Series]) -> Option<Missing> {
        let count = self.count();
        if series.iter().any(|one| one.samples.len() >= count) {
            return None;
        }
        let found = self.found(series);
        let is_missing = |index: usize| found.get(index) == Some(&false);
        let state = |index: usize| match is_missing(index) {
            true => State::Missing,
            false if index.checked_sub(1).is_some_and(is_missing) || is_missing(index + 1) => {
                State::Beside
            }
            false => State::There,
        };
        let states: Vec<_> = (0..count).map(state).collect();
        let instants = self;
        states
            .contains(&State::Missing)
            .then_some(Missing { instants, states })
    }
}

/// What an answer has at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    There,
    /// Something, beside an instant with nothing: the samples of its window may be but a part.
    Beside,
    Missing,
}

/// What an answer has at each instant; nothing at one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    instants: Instants,
    states: Vec<State>,
}

impl Missing {
    /// The stretches of instants to ask another one for, oldest first: those with nothing, and two
    /// on either side, which tell whether it has all of what is beside them. If the stretches are
    /// more than `most`, one from the first to the last.
    pub(super) fn stretches(&self, most: usize) -> Vec<Instants> {
        let last_of_all = self.states.len().saturating_sub(1);
        let mut found: Vec<(usize, usize)> = Vec::new();
        let states = self.states.iter().enumerate();
        for (index, _) in states.filter(|(_, state)| **state == State::Missing) {
            let (first, last) = (index.saturating_sub(2), (index + 2).min(last_of_all));
            match found.last_mut() {
                Some((_, before)) if *before + 1 >= first => *before = last,
                _ => found.push((first, last)),
            }
        }
        if let (true, Some((first, _)), Some((_, last))) =
            (found.len() > most, found.first(), found.last())
        {
            found = vec![(*first, *last)];
        }
        let stretch = |(first, last)| Instants {
            start: self.instants.at(first),
            end: self.instants.at(last),
            ..self.instants
        };
        found.into_iter().map(stretch).collect()
    }

    /// `own`, and what `other` has at the instants with nothing. Beside them, `other` alone, if it
    /// has those on both sides as well: then what it has is whole.
    pub(super) fn filled(&self, own: &[Series], other: &[Series]) -> Vec<Series> {
        let found = self.instants.found(other);
        // What is outside of the range is not known to lack anything.
        let has = |index: usize| found.get(index).is_none_or(|has| *has);
        let is_taken = |index: usize, state: &State| match state {
            State::There => false,
            State::Missing => has(index),
            State::Beside => has(index) && has(index + 1) && index.checked_sub(1).is_none_or(has),
        };
        let states = self.states.iter().enumerate();
        let taken: Vec<bool> = states
            .map(|(index, state)| is_taken(index, state))
            .collect();
        let is_taken = |at: Timestamp| {
            let index = self.instants.index(at);
            index.is_some_and(|index| taken.get(index) == Some(&true))
        };
        merged(own, other, |at| !is_taken(at), |_, at| is_taken(at))
    }
}

/// The series of both, with the samples of `own` that are kept and those of `other` that are
/// wanted, in the order of time. `wanted` is asked with the place of the series in `other`.
pub(super) fn merged(
    own: &[Series],
    other: &[Series],
    kept: impl Fn(Timestamp) -> bool,
    wanted: impl Fn(usize, Timestamp) -> bool,
) -> Vec<Series> {
    let mut all: Vec<Series> = own
        .iter()
        .map(|one| Series {
            labels: one.labels.clone(),
            samples: those(&one.samples, &kept),
            histograms: one
                .histograms
                .iter()
                .filter(|sample| kept(sample.at))
                .copied()
                .collect(),
        })
        .collect();
    let places: HashMap<&Labels, usize> = own
        .iter()
        .enumerate()
        .map(|(place, one)| (&one.labels, place))
        .collect();
    for (index, more) in other.iter().enumerate() {
        let samples = those(&more.samples, |at| wanted(index, at));
        let wanted = more.histograms.iter().filter(|one| wanted(index, one.at));
        let histograms: Vec<_> = wanted.copied().collect();
        if samples.is_empty() && histograms.is_empty() {
            continue;
        }
        match places
            .get(&more.labels)
            .and_then(|place| all.get_mut(*place))
        {
            Some(one) => {
                one.samples = in_order(&one.samples, &samples);
                one.histograms.extend(histograms);
                one.histograms.sort_by_key(|sample| sample.at);
            }
            None => all.push(Series {
                labels: more.labels.clone(),
                samples,
                histograms,
            }),
        }
    }
    all.retain(|one| !one.samples.is_empty() || !one.histograms.is_empty());
    all
}

fn those(samples: &Samples, wanted: impl Fn(Timestamp) -> bool) -> Samples {
    let mut found = Samples::default();
    for (at, text) in samples.iter().filter(|(at, _)| wanted(*at)) {
        found.push(at, text);
    }
    found
}

/// Both lists of samples, each in the order of time, as one.
fn in_order(first: &Samples, second: &Samples) -> Samples {
    let (mut first, mut second) = (first.iter().peekable(), second.iter().peekable());
    let mut all = Samples::default();
    loop {
        let next = match (first.peek(), second.peek()) {
            (Some((one, _)), Some((other, _))) if one > other => second.next(),
            (Some(_), _) => first.next(),
            (None, _) => second.next(),
        };
        let Some((at, text)) = next else {
            return all;
        };
        all.push(at, text);
    }
}
