//! What a decoded answer takes of the allocator, in bytes: estimates that are rather too large.

use std::mem::size_of;

use crate::model::series::{HistogramSample, Series};

/// What the allocator adds to a block.
const BLOCK: u64 = 16;

/// A node of a map of labels: room for eleven, allocated with the first.
const FIRST_NODE: u64 = 11 * size_of::<(String, String)>() as u64 + BLOCK + 16;

/// The further nodes, by label: nodes are half full at least.
const LABEL: u64 = 2 * size_of::<(String, String)>() as u64;

/// A series in its list.
pub(super) const SERIES: u64 = size_of::<Series>() as u64;

/// A name in a list, beside its text. A list that grows has room for more.
pub(super) const NAME: u64 = 2 * size_of::<String>() as u64;

/// A name in a set or map, beside its text.
pub(super) const NAME_IN_SET: u64 = 3 * size_of::<String>() as u64;

/// The `nth` label of a series, counted from one.
pub(super) fn label(nth: u32, name: &str, value: &str) -> u64 {
    let node = if nth == 1 { FIRST_NODE } else { LABEL };
    node + text(name) + text(value)
}

/// The block of a text, which an empty one does not have.
pub(super) fn text(text: &str) -> u64 {
    match text.len() {
        0 => 0,
        length => (length as u64).max(BLOCK) + BLOCK,
    }
}

/// The samples of a series.
pub(super) fn samples(series: &Series) -> u64 {
    let histograms = series.histograms.capacity() * size_of::<HistogramSample>();
    series.samples.allocated() + block(histograms)
}

/// A block with room for so many bytes, if there is one.
fn block(bytes: usize) -> u64 {
    match bytes as u64 {
        0 => 0,
        bytes => bytes + BLOCK,
    }
}
