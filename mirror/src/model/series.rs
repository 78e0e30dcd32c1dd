//! Series, their labels, and their samples as a store wrote them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::time::Timestamp;

/// The labels of a series, `__name__` included where the store sent it.
pub type Labels = BTreeMap<String, String>;

/// One series of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Its float samples, in the store's order (ascending).
    pub samples: Samples,
    /// Its native histogram samples, reduced to what the mirror reads of them.
    pub histograms: Vec<HistogramSample>,
}

/// A native histogram sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistogramSample {
    /// When it was taken.
    pub at: Timestamp,
    /// Number of observations.
    pub count: f64,
    /// Sum of the observations.
    pub sum: f64,
}

/// Samples with their values as the store wrote them, digit for digit, in three flat buffers: about
/// 30 bytes a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    at: Vec<Timestamp>,
    text: String,
    /// End of each value in `text`.
    ends: Vec<u32>,
}

impl Samples {
    /// Appends a sample. `value` is what stands between the quotes in the store's answer.
    pub fn push(&mut self, at: Timestamp, value: &str) {
        self.at.push(at);
        self.text.push_str(value);
        self.ends.push(end_of(self.text.len()));
    }

    /// Makes room for so many more samples, whose values have so many bytes together.
    pub fn reserve(&mut self, count: usize, text_length: usize) {
        self.at.reserve(count);
        self.ends.reserve(count);
        self.text.reserve(text_length);
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// The length of all values' texts together, in bytes.
    #[must_use]
    pub fn text_length(&self) -> usize {
        self.text.len()
    }

    /// Keeps the first `count` samples.
    pub fn truncate(&mut self, count: usize) {
        self.at.truncate(count);
        self.ends.truncate(count);
        self.text
            .truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// Appends those of `others` that lie in `range`, up to the first that `time` has no time for:
    /// it is asked for the time to keep of each, by its time and its text. Answers how many that
    /// were. The texts are copied in one piece.
    pub fn append_while(
        &mut self,
        others: &Self,
        range: Range<usize>,
        mut time: impl FnMut(Timestamp, &str) -> Option<Timestamp>,
    ) -> usize {
        let begin = others.begin_of(range.start);
        let before = self.text.len();
        let mut count = 0;
        let mut end = begin;
        let ends = others.ends.get(range.clone()).unwrap_or_default();
        let at = others.at.get(range).unwrap_or_default();
        for (at, next) in at.iter().zip(ends) {
            let next = *next as usize;
            let text = others.text.get(end..next).unwrap_or_default();
            let Some(at) = time(*at, text) else { break };
            self.at.push(at);
            self.ends.push(end_of(before + (next - begin)));
            end = next;
            count += 1;
        }
        let texts = others.text.get(begin..end);
        self.text.push_str(texts.unwrap_or_default());
        count
    }

    /// The sample at an index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(Timestamp, &str)> {
        let (at, end) = (self.at.get(index)?, *self.ends.get(index)?);
        let text = self.text.get(self.begin_of(index)..end as usize)?;
        Some((*at, text))
    }

    fn begin_of(&self, index: usize) -> usize {
        let before = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        before.map_or(0, |end| *end as usize)
    }

    /// The samples in order: when, and the value's text (`1.5`, `NaN`, `+Inf`).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Timestamp, &str)> + '_ {
        let mut begin = 0;
        self.at.iter().zip(&self.ends).map(move |(at, end)| {
            let begin = std::mem::replace(&mut begin, *end as usize);
            (*at, self.text.get(begin..*end as usize).unwrap_or_default())
        })
    }

    /// The samples from an index on: when, and the value.
    pub fn values_from(
        &self,
        index: usize,
    ) -> impl ExactSizeIterator<Item = (Timestamp, Value<'_>)> + '_ {
        let at = self.at.get(index..).unwrap_or_default();
        let ends = self.ends.get(index..).unwrap_or_default();
        let mut begin = self.begin_of(index);
        at.iter().zip(ends).map(move |(at, end)| {
            let begin = std::mem::replace(&mut begin, *end as usize);
            let value = Value {
                rest: self.text.as_bytes().get(begin..).unwrap_or_default(),
                length: (*end as usize).saturating_sub(begin),
            };
            (*at, value)
        })
    }

    /// The instants of the first and the last sample.
    #[must_use]
    pub fn bounds(&self) -> Option<(Timestamp, Timestamp)> {
        Some((*self.at.first()?, *self.at.last()?))
    }

    /// The instant of the last sample that is not later than `at`.
    #[must_use]
    pub fn last_until(&self, at: Timestamp) -> Option<Timestamp> {
        let until = self.at.partition_point(|one| *one <= at);
        self.at.get(until.checked_sub(1)?).copied()
    }

    /// The instant of the first sample that is not earlier than `at`.
    #[must_use]
    pub fn first_from(&self, at: Timestamp) -> Option<Timestamp> {
        let before = self.at.partition_point(|one| *one < at);
        self.at.get(before).copied()
    }

    /// The instants of all samples.
    #[must_use]
    pub fn instants(&self) -> &[Timestamp] {
        &self.at
    }

    /// The samples from `from` to `to`, both included.
    #[must_use]
    pub fn between(&self, from: Timestamp, to: Timestamp) -> Stretch<'_> {
        let first = self.at.partition_point(|one| *one < from);
        let after = self.at.partition_point(|one| *one <= to).max(first);
        Stretch {
            samples: self,
            first,
            after,
        }
    }

    /// Appends samples that are all later than those that are there.
    pub fn extend(&mut self, stretch: Stretch<'_>) {
        let (begin, text) = stretch.text();
        let moved = |end: &u32| {
            let length = (*end as usize).saturating_sub(begin) + self.text.len();
            u32::try_from(length).unwrap_or(u32::MAX)
        };
        let Stretch {
            samples,
            first,
            after,
        } = stretch;
        self.ends
            .extend(samples.ends[first..after].iter().map(moved));
        self.at.extend_from_slice(&samples.at[first..after]);
        self.text.push_str(text);
    }

    /// What is allocated for them, in bytes.
    pub(crate) fn allocated(&self) -> u64 {
        const BLOCK: u64 = 16;
        if self.at.capacity() == 0 {
            return 0;
        }
        let times = self.at.capacity() * size_of::<Timestamp>();
        let ends = self.ends.capacity() * size_of::<u32>();
        (times + ends + self.text.capacity()) as u64 + 3 * BLOCK
    }
}

/// A value as its store wrote it, and what stands behind it in memory: whoever copies values of
/// different lengths is faster if they may read further.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// The value, and behind it the texts of the next ones.
    pub rest: &'a [u8],
    /// How many bytes of it are the value's.
    pub length: usize,
}

impl<'a> Value<'a> {
    /// The text of the value.
    #[must_use]
    pub fn text(self) -> &'a [u8] {
        self.rest.get(..self.length).unwrap_or_default()
    }
}

/// A single answer is capped far below 4 GiB; a saturated end would only repeat the last value's
/// tail.
fn end_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Consecutive samples of some. Equal to others with the same instants and texts.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    samples: &'a Samples,
    first: usize,
    after: usize,
}

impl<'a> Stretch<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.after - self.first
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.after == self.first
    }

    /// Where the texts of the values begin, and the texts.
    fn text(&self) -> (usize, &'a str) {
        let ends = &self.samples.ends;
        let end_before = |index: usize| match index.checked_sub(1) {
            Some(before) => ends[before] as usize,
            None => 0,
        };
        let (begin, end) = (end_before(self.first), end_before(self.after));
        let text = self.samples.text.get(begin..end);
        (begin, text.unwrap_or_default())
    }

    /// The length of all values' texts together, in bytes.
    #[must_use]
    pub fn text_length(&self) -> usize {
        self.text().1.len()
    }
}

impl PartialEq for Stretch<'_> {
    fn eq(&self, other: &Self) -> bool {
        let (begin, text) = self.text();
        let (other_begin, other_text) = other.text();
        let lengths = |one: &Self, begin: usize| {
            let ends = &one.samples.ends[one.first..one.after];
            let lengths = ends.iter().map(move |end| *end as usize - begin);
            lengths.collect::<Vec<_>>()
        };
        text == other_text
            && self.samples.at[self.first..self.after] == other.samples.at[other.first..other.after]
            && lengths(self, begin) == lengths(other, other_begin)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_appended_in_one_piece_is_what_is_pushed_one_by_one(
            own in prop::collection::vec((0_i64..9, "[0-9é]{0,3}"), 0..4),
            others in prop::collection::vec((0_i64..9, "[0-9é]{0,3}"), 0..9),
            bounds in (0_usize..9, 0_usize..9),
            until in 0_i64..9,
        ) {
            let list = |samples: &[(i64, String)]| {
                let mut list = Samples::default();
                for (at, value) in samples {
                    list.push(Timestamp(*at), value);
                }
                list
            };
            let range = bounds.0.min(others.len())..bounds.1.min(others.len());
            let range = range.start.min(range.end)..range.end;
            let time = |at: i64| (at < until).then_some(Timestamp(at + 100));
            let mut appended = list(&own);
            let count = appended.append_while(&list(&others), range.clone(), |at, _| time(at.0));
            let mut pushed = list(&own);
            let taken = others[range].iter().map_while(|(at, value)| Some((time(*at)?, value)));
            let expected = taken.map(|(at, value)| pushed.push(at, value)).count();
            prop_assert_eq!((count, appended), (expected, pushed));
            let all = list(&others);
            let found: Vec<_> = (0..all.len()).filter_map(|index| all.get(index)).collect();
            prop_assert_eq!(found, all.iter().collect::<Vec<_>>());
        }
    }

    fn samples(of: &[(i64, String)]) -> Samples {
        let mut all = Samples::default();
        for (at, text) in of {
            all.push(Timestamp(*at), text);
        }
        all
    }

    proptest! {
        #[test]
        fn stretches_that_follow_each_other_are_the_samples_between_their_ends(
            texts in prop::collection::vec("[0-9]{0,3}", 0..20),
            from in -5i64..70, middle in -5i64..70, to in -5i64..70,
        ) {
            let all: Vec<_> = (0i64..).map(|index| 3 * index).zip(texts).collect();
            let whole = samples(&all);
            let mut found = samples(&[]);
            found.extend(whole.between(Timestamp(from), Timestamp(middle)));
            found.extend(whole.between(Timestamp(middle.max(from - 1) + 1), Timestamp(to)));
            let is_between = |at: &i64| {
                (from..=middle).contains(at) || (middle.max(from - 1) + 1..=to).contains(at)
            };
            let between: Vec<_> = all.iter().filter(|(at, _)| is_between(at)).cloned().collect();
            let expected = samples(&between);
            prop_assert_eq!(&found, &expected);
            let (least, most) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
            prop_assert_eq!(found.between(least, most), expected.between(least, most));
            let until = all.iter().rev().find(|(at, _)| *at <= to).map(|(at, _)| Timestamp(*at));
            prop_assert_eq!(whole.last_until(Timestamp(to)), until);
            let since = all.iter().find(|(at, _)| *at >= from).map(|(at, _)| Timestamp(*at));
            prop_assert_eq!(whole.first_from(Timestamp(from)), since);
        }
    }

    #[test]
    fn texts_that_are_cut_otherwise_are_other_samples() {
        let least = Timestamp(i64::MIN);
        let most = Timestamp(i64::MAX);
        let one = samples(&[(1, "12".to_owned()), (2, "3".to_owned())]);
        let other = samples(&[(1, "1".to_owned()), (2, "23".to_owned())]);
        assert_ne!(one.between(least, most), other.between(least, most));
        assert_eq!(one.between(least, most), one.clone().between(least, most));
    }
}
