//! Waiting for what must come true.

use std::fmt::Display;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// How long anything may take, unless the command line says otherwise. No claim is about this time:
/// it only ends a wait that is in vain, so it is long enough for a busy machine.
static PATIENCE: OnceLock<Duration> = OnceLock::new();
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Sets the patience, once.
pub(crate) fn be_patient_for(patience: Duration) {
    PATIENCE.get_or_init(|| patience);
}

/// Waits until `look` succeeds and returns what it found.
pub(crate) async fn eventually<T>(
    what: impl Display,
    mut look: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let began = Instant::now();
    let patience = *PATIENCE.get_or_init(|| Duration::from_secs(180));
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(error) if began.elapsed() > patience => {
                return Err(error).with_context(|| format!("not within {patience:?}: {what}"));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// How long it took until `look` succeeded.
pub(crate) async fn timed<T>(
    what: impl Display,
    look: impl AsyncFnMut() -> Result<T>,
) -> Result<Duration> {
    let began = Instant::now();
    eventually(what, look).await?;
    // Tenths are enough for a reader.
    let tenths = u64::try_from(began.elapsed().as_millis() / 100)?;
    Ok(Duration::from_millis(tenths * 100))
}
