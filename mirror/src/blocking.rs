//! Threads for work that takes longer than a worker of the runtime may be kept from other requests:
//! decoding large bodies, sorting and adding up what is in them, writing long lists of names.
//!
//! Their priority is lower than that of the runtime's workers. On a busy machine small requests
//! pass first; large ones get what is left, and never nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinError, JoinHandle};

/// How much nicer these threads are than the others. Ten steps of `nice` leave them about a tenth
/// of a processor that both want.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;

/// As many workers as the first runtime that needs them has. None if no thread can be started.
static THREADS: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let workers = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("long-work")
        .on_thread_start(lower_priority)
        .enable_all()
        .build()
        .ok()
});

/// Makes the calling thread give way to others. Everybody may do so; where it fails, the thread
/// works as before.
fn lower_priority() {
    // Elsewhere this would be the priority of the whole process.
    #[cfg(target_os = "linux")]
    if let Ok(own) = rustix::process::getpriority_process(None) {
        let _ = rustix::process::setpriority_process(None, own + NICER);
    }
}

fn threads() -> Handle {
    match &*THREADS {
        Some(runtime) => runtime.handle().clone(),
        None => Handle::current(),
    }
}

/// Does `work` on another thread, some time. Nobody waits for it.
pub fn later(work: impl FnOnce() + Send + 'static) {
    match &*THREADS {
        Some(runtime) => drop(runtime.spawn_blocking(work)),
        None => work(),
    }
}

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
    outcome(threads().spawn_blocking(work).await)
}

/// The result of `work`, which waits for others now and then, done on another thread. A panic there
/// is one here. If the caller stops waiting, the work ends.
///
/// # Errors
/// If the runtime shuts down.
pub async fn advance<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Ending> {
    outcome(AbortOnDrop(threads().spawn(work)).await)
}

fn outcome<T>(result: Result<T, JoinError>) -> Result<T, Ending> {
    result.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Ending,
    })
}

/// A task that ends with those who wait for it.
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(context)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn long_work_gives_way_to_the_runtime_and_leaves_its_priority() {
        let priority = || rustix::process::getpriority_process(None).expect("a priority");
        let here = priority();
        let lower = (here + NICER).min(19);
        let (run, advanced) = (
            run(priority).await,
            advance(async move { priority() }).await,
        );
        assert_eq!((run, advanced), (Ok(lower), Ok(lower)));
        assert_eq!(priority(), here);
    }

    #[tokio::test]
    async fn whoever_stops_waiting_ends_the_work() {
        let (held, ended) = tokio::sync::oneshot::channel::<()>();
        let mut work = Box::pin(advance(async move {
            let _held = held;
            std::future::pending::<()>().await;
        }));
        assert!((&mut work).now_or_never().is_none());
        drop(work);
        assert!(ended.await.is_err());
    }
}
