//! Work that takes longer than a worker of the runtime may be kept from other requests.

/// The process ends, and the work with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process is ending")]
pub struct Ending;

/// What comes of `work`, done on another thread. A panic there is one here.
///
/// # Errors
/// If the runtime shuts down.
pub async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ending> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Ending,
        })
}
