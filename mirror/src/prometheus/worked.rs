//! Work over samples that leaves the runtime's workers where it is long.

use super::StoreError;
use crate::blocking;

/// Answers with more samples are looked through on another thread.
const SMALL: usize = 8_192;

/// Whether work over so many samples may be done where it comes up.
pub(super) fn is_small(size: usize) -> bool {
    size <= SMALL
}

/// What comes of `work` over so many samples.
pub(super) async fn worked<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    if is_small(size) {
        return Ok(work());
    }
    let done = blocking::run(work).await;
    done.map_err(|ending| StoreError::Unreachable(ending.to_string()))
}
