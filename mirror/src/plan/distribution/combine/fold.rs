//! The answers of several shards to one expression, together.

use std::collections::BTreeMap;

use super::{Parts, Uncombinable};
use crate::model::series::{HistogramSample, Labels, Samples, Series};
use crate::model::time::Timestamp;
use crate::plan::distribution::Fold;
use crate::plan::value;

/// Partial aggregations as the whole one.
pub(super) fn folded(parts: &Parts<'_>, fold: Fold) -> Vec<Series> {
    let reduce = fold.reduce();
    together(parts)
        .into_values()
        .map(|same| {
            // A native histogram has no value, and no point.
            let samples = same.iter().map(|one| &one.samples).collect();
            let samples = merged(samples, |texts| {
                let mut values: Vec<f64> = texts.iter().map(|text| value::parse(text)).collect();
                reduce.of(&mut values).map(value::write)
            });
            let histograms = match fold {
                Fold::Sum => added(&same),
                // They have no smallest and no largest.
                Fold::Min | Fold::Max => Vec::new(),
            };
            Series {
                labels: same[0].labels.clone(),
                samples,
                histograms,
            }
        })
        .collect()
}

/// Native histograms at the same instant as one: of their observations, count and sum are known.
fn added(same: &[&Series]) -> Vec<HistogramSample> {
    let mut all: BTreeMap<Timestamp, HistogramSample> = BTreeMap::new();
    for one in same.iter().flat_map(|one| &one.histograms) {
        let known = all.entry(one.at);
        known
            .and_modify(|sum| {
                sum.count += one.count;
                sum.sum += one.sum;
            })
            .or_insert(*one);
    }
    all.into_values().collect()
}

/// The elements of all parts. `are_one`: those with the same labels are one series, which moved
/// from one shard to another.
pub(super) fn side_by_side(parts: &Parts<'_>, are_one: bool) -> Result<Vec<Series>, Uncombinable> {
    let mut all = Vec::new();
    for (labels, same) in together(parts) {
        if let [one] = same[..] {
            all.push(one.clone());
            continue;
        }
        let (series, is_double) = as_one(labels, &same);
        if is_double && !are_one {
            return Err(alike());
        }
        all.push(series);
    }
    Ok(all)
}

/// The same elements, of which no two may have the same labels at one instant.
pub(super) fn distinct(all: &[Series]) -> Result<Vec<Series>, Uncombinable> {
    side_by_side(&vec![all], false)
}

fn alike() -> Uncombinable {
    Uncombinable::Refused("vector cannot contain metrics with the same labelset".to_owned())
}

/// Elements with the same labels as one, and whether two of them have a value at one instant: the
/// first one's counts.
fn as_one(labels: &Labels, same: &[&Series]) -> (Series, bool) {
    let mut is_double = false;
    let samples = same.iter().map(|one| &one.samples).collect();
    let samples = merged(samples, |texts| {
        is_double = true;
        texts.first().map(|text| (*text).to_owned())
    });
    let histograms = same.iter().flat_map(|one| &one.histograms);
    let mut histograms: Vec<_> = histograms.copied().collect();
    histograms.sort_by_key(|one| one.at);
    histograms.dedup_by_key(|one| one.at);
    let series = Series {
        labels: labels.clone(),
        samples,
        histograms,
    };
    (series, is_double)
}

/// Elements with the same labels, which are at different instants, as one.
pub(super) fn united(all: &[Series]) -> Vec<Series> {
    let together = together(&vec![all]).into_iter();
    together
        .map(|(labels, same)| as_one(labels, &same).0)
        .collect()
}

/// The elements of all parts by their labels.
fn together<'a>(parts: &Parts<'a>) -> BTreeMap<&'a Labels, Vec<&'a Series>> {
    let mut together: BTreeMap<&Labels, Vec<&Series>> = BTreeMap::new();
    for one in parts.iter().copied().flatten() {
        together.entry(&one.labels).or_default().push(one);
    }
    together
}

/// Samples of one element in the order of time. Where several have one at an instant, `of_several`
/// makes one of their texts, which are in the order of `all`.
fn merged(all: Vec<&Samples>, mut of_several: impl FnMut(&[&str]) -> Option<String>) -> Samples {
    if let [only] = all[..] {
        return only.clone();
    }
    let mut each: Vec<(Timestamp, &str)> = all.into_iter().flat_map(Samples::iter).collect();
    // Stable: the texts of an instant stay in order. Each of `all` is in order already, which the
    // sort makes use of.
    each.sort_by_key(|(at, _)| *at);
    let mut merged = Samples::default();
    let mut texts: Vec<&str> = Vec::new();
    for same in each.chunk_by(|(one, _), (other, _)| one == other) {
        match same {
            [] => {}
            [(at, text)] => merged.push(*at, text),
            [(at, _), ..] => {
                texts.clear();
                texts.extend(same.iter().map(|(_, text)| *text));
                if let Some(text) = of_several(&texts) {
                    merged.push(*at, &text);
                }
            }
        }
    }
    merged
}
