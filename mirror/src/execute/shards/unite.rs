//! Lists, and other answers that are not computed: what any of the shards has.

use std::sync::Arc;

use super::Asked;
use crate::execute::work;
use crate::model::series::Series;
use crate::prometheus::remarks::Remark;
use crate::prometheus::{Answer, Arrival, Data, Deadline, Held, Store, StoreError};

/// The answers of all shards to a call as one.
pub(super) async fn united<S: Store>(
    asked: Asked,
    store: &S,
    deadline: Deadline,
) -> Result<Arc<Answer>, StoreError> {
    let answers: Vec<Arc<Answer>> = asked.answers.into_iter().flatten().collect();
    if let ([only], true) = (&answers[..], asked.missing.is_empty()) {
        return Ok(Arc::clone(only));
    }
    let held = store
        .hold(answers.iter().map(|one| size(one)).sum(), deadline)
        .await?;
    let elements = answers.iter().map(|one| one.elements()).sum();
    let all = answers.clone();
    let data = work::within(elements, deadline, move || data(&all)).await?;
    Ok(answer(data, &answers, asked.missing, held))
}

/// An answer of this data, with what the shards remarked.
pub(super) fn answer(
    data: Data,
    answers: &[Arc<Answer>],
    missing: Vec<Remark>,
    held: Held,
) -> Arc<Answer> {
    let mut remarks = Vec::new();
    let said = answers.iter().flat_map(|one| one.remarks.iter().cloned());
    for remark in missing.into_iter().chain(said) {
        remark.keep_in(&mut remarks);
    }
    Arc::new(Answer {
        data,
        remarks,
        is_partial: answers.iter().any(|one| one.is_partial),
        must_not_be_kept: answers.iter().any(|one| one.must_not_be_kept),
        held,
        arrival: answers
            .iter()
            .map(|one| one.arrival)
            .reduce(Arrival::with)
            .unwrap_or_default(),
    })
}

fn data(answers: &[Arc<Answer>]) -> Data {
    let mut all = answers.iter().map(|one| &one.data);
    let first = all.next().cloned().unwrap_or(Data::Names(Vec::new()));
    all.fold(first, |united, data| match (united, data) {
        (Data::SeriesExist(one), Data::SeriesExist(other)) => Data::SeriesExist(one || *other),
        (Data::Names(mut names), Data::Names(more)) => {
            names.extend(more.iter().cloned());
            names.sort_unstable();
            names.dedup();
            Data::Names(names)
        }
        (Data::Metadata(mut types), Data::Metadata(more)) => {
            for (name, kind) in more {
                types.entry(name.clone()).or_insert(*kind);
            }
            Data::Metadata(types)
        }
        (Data::Description(one), Data::Description(other)) => {
            Data::Description(one.or_else(|| other.clone()))
        }
        (Data::Counts(mut counts), Data::Counts(more)) => {
            counts.series += more.series;
            for (name, count) in &more.by {
                *counts.by.entry(name.clone()).or_default() += count;
            }
            Data::Counts(counts)
        }
        (united, _) => united,
    })
}

/// What an answer's copy takes about, in bytes.
pub(super) fn size(answer: &Answer) -> u64 {
    const ENTRY: u64 = 80;
    match &answer.data {
        Data::Series(series) => series.iter().map(size_of_series).sum(),
        Data::Names(names) => names.iter().map(|name| ENTRY + name.len() as u64).sum(),
        Data::Metadata(types) => {
            let names = types.keys();
            names.map(|name| ENTRY + name.len() as u64).sum()
        }
        Data::Counts(counts) => {
            let names = counts.by.keys();
            names.map(|name| ENTRY + name.len() as u64).sum()
        }
        Data::SeriesExist(_) | Data::Description(_) | Data::Version(_) => 0,
    }
}

fn size_of_series(series: &Series) -> u64 {
    const LABEL: u64 = 100;
    const SAMPLE: u64 = 16;
    let labels = series.labels.iter();
    let labels: u64 = labels
        .map(|(name, value)| LABEL + (name.len() + value.len()) as u64)
        .sum();
    let samples = series.samples.len() as u64 * SAMPLE + series.samples.text_length() as u64;
    LABEL + labels + samples + series.histograms.len() as u64 * 2 * SAMPLE
}
