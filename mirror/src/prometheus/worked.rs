//! Work over samples that leaves the runtime's workers where it is long.

use super::StoreError;
use crate::blocking;

/// Work over more samples is done on another thread.
const SMALL: usize = 8_192;

/// What comes of `work` over so many samples.
pub(super) async fn worked<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    if size <= SMALL {
        return Ok(work());
    }
    let done = blocking::run(work).await;
    done.map_err(|ending| StoreError::Unreachable(ending.to_string()))
}
