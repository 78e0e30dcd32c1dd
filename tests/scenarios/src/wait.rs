//! Waiting for what must come true.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// How long anything may take. No claim is about this time: it only ends a wait that is in vain, so
/// it is long enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Waits until `look` succeeds and returns what it found.
pub(crate) async fn eventually<T>(
    what: impl Display,
    mut look: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(error) if began.elapsed() > PATIENCE => {
                return Err(error).with_context(|| format!("not within {PATIENCE:?}: {what}"));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
