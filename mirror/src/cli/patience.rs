//! What `serve` does about something that it cannot start without: it ends, or tries again until
//! the reason is gone.
//!
//! A sidecar has to try again. Kubernetes starts the other containers of its pod only while it
//! runs, and a mirror without a document must not keep a Prometheus from starting.

use std::time::Duration;

use super::Failure;
use super::signals::Signals;

/// How often it tries.
const INTERVAL: Duration = Duration::from_secs(1);

/// Does what it is asked to, once or until it works.
pub(super) struct Patience<'a> {
    /// Whether it tries again.
    pub(super) waits: bool,
    /// What makes it give up.
    pub(super) signals: &'a mut Signals,
}

impl Patience<'_> {
    /// The result of `attempt`, or None if a signal came first. Each reason is logged once.
    ///
    /// # Errors
    /// Why the first attempt failed, if there is no second.
    pub(super) async fn until<T>(
        &mut self,
        attempt: impl AsyncFn() -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let mut reported = String::new();
        loop {
            let failure = match attempt().await {
                Ok(done) => return Ok(Some(done)),
                Err(failure) if !self.waits => return Err(failure),
                Err(failure) => failure.to_string(),
            };
            if failure != reported {
                tracing::error!("cannot serve yet, and tries again each second: {failure}");
                reported = failure;
            }
            tokio::select! {
                () = self.signals.next() => return Ok(None),
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }
}
