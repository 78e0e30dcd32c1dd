//! Series, their labels, and their samples as a store wrote them.

use std::collections::BTreeMap;

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
        // A single answer is capped far below 4 GiB; a saturated end would only repeat the last
        // value's tail.
        self.ends
            .push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
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

    /// The samples in order: when, and the value's text (`1.5`, `NaN`, `+Inf`).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Timestamp, &str)> + '_ {
        self.at.iter().enumerate().map(|(index, at)| {
            let start = index
                .checked_sub(1)
                .map_or(0, |before| self.ends[before] as usize);
            (
                *at,
                self.text
                    .get(start..self.ends[index] as usize)
                    .unwrap_or_default(),
            )
        })
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
