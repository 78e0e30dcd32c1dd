//! What calls answer.

use std::collections::BTreeMap;

#[cfg(doc)]
use super::Call;
use super::charge::Held;
use super::remarks::{Meaning, Remark};
use crate::blocking;
use crate::model::metric_type::{MetricDescription, MetricType};
use crate::model::series::Series;

/// What a call answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The result proper.
    pub data: Data,
    /// What the store says about the answer, at most
    /// [`MOST_KEPT`](super::remarks::MOST_KEPT) of it.
    pub remarks: Vec<Remark>,
    /// The store itself called the answer partial (VictoriaMetrics' `isPartial`).
    pub is_partial: bool,
    /// The store forbids to keep it: `Cache-Control: no-store`.
    pub must_not_be_kept: bool,
    /// The memory that it takes.
    pub held: Held,
    /// How it came.
    pub arrival: Arrival,
}

/// How an answer came, for whoever looks at the calls. An answer that is made of several has the
/// bytes of all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// Whether the call was sent as a POST.
    pub is_post: bool,
    /// The HTTP status; zero if the answer came over no network.
    pub status: u16,
    /// How many bytes the body has, without the encoding in which it came.
    pub bytes: u64,
}

/// An answer is the same, however it came.
impl PartialEq for Arrival {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Arrival {
    /// Of an answer that is made of these two.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            ..self
        }
    }
}

/// To give a large answer's memory back takes up to a tenth of a second, for which no worker of the
/// runtime is kept.
impl Drop for Answer {
    fn drop(&mut self) {
        if self.held.is_large() {
            let data = std::mem::replace(&mut self.data, Data::Names(Vec::new()));
            let freed = self.held.freed();
            blocking::later(move || {
                drop(data);
                drop(freed);
            });
        }
    }
}

impl Answer {
    /// An answer about which the store says nothing.
    #[must_use]
    pub fn of(data: Data) -> Self {
        Self {
            data,
            remarks: Vec::new(),
            is_partial: false,
            must_not_be_kept: false,
            held: Held::default(),
            arrival: Arrival::default(),
        }
    }

    /// The series of the result; none if it is of another kind.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        match &self.data {
            Data::Series(series) => series,
            _ => &[],
        }
    }

    /// How much there is to go through: each series with its samples, each entry of a list.
    #[must_use]
    pub fn elements(&self) -> usize {
        match &self.data {
            Data::Series(series) => {
                let samples = |one: &Series| one.samples.len() + one.histograms.len();
                series.iter().map(|one| 1 + samples(one)).sum()
            }
            Data::Names(names) => names.len(),
            Data::Metadata(types) => types.len(),
            Data::Counts(counts) => counts.by.len(),
            Data::SeriesExist(_) | Data::Version(_) | Data::Description(_) => 0,
        }
    }

    /// How many samples there are, native histograms among them.
    #[must_use]
    pub fn samples(&self) -> usize {
        let samples = |one: &Series| one.samples.len() + one.histograms.len();
        self.series().iter().map(samples).sum()
    }

    /// Whether the store says that the answer lacks something.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        let says_so = |remark: &Remark| remark.meaning == Meaning::DataMissing;
        self.is_partial || self.remarks.iter().any(says_so)
    }
}

/// How many series there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesCounts {
    /// All of them.
    pub series: u64,
    /// By label, or by a label's value.
    pub by: BTreeMap<String, u64>,
}

/// The result proper of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Of [`Call::Instant`], [`Call::Range`] and [`Call::Samples`]; a vector's elements and a
    /// scalar are series of one sample. A string result is none.
    Series(Vec<Series>),
    /// Of [`Call::SeriesExist`].
    SeriesExist(bool),
    /// Of [`Call::LabelNames`] and [`Call::LabelValues`], in the store's order; of
    /// [`Call::LabelOfSeries`], sorted and each once.
    Names(Vec<String>),
    /// Of [`Call::Metadata`]: the type of each metric (family) name, the first one of each.
    Metadata(BTreeMap<String, MetricType>),
    /// Of [`Call::MetadataOf`]: none if the store has none.
    Description(Option<MetricDescription>),
    /// Of [`Call::SeriesCounted`].
    Counts(SeriesCounts),
    /// Of [`Call::BuildInfo`]: the version that the server reports.
    Version(String),
}
