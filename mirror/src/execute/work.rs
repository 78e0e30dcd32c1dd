//! Work of our own over answers of any size: it lets others run, sees the deadline, and where it is
//! long leaves the runtime's workers.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task;

use super::EvaluateError;
use crate::blocking;
use crate::model::series::Series;
use crate::model::time::Timestamp;
use crate::prometheus::{Answer, Deadline, StoreError};

/// Steps of some ten to some hundred nanoseconds each that are done at a stretch: far less than a
/// millisecond.
const STRETCH: usize = 1_024;

/// Work of more elements than this is done on a thread of its own: sorting as many takes about half
/// a millisecond.
const SMALL: usize = 8_192;

/// How many such threads work at once, for the whole process. The others wait: more would only take
/// the processors away from the runtime's workers.
static PLACES: Semaphore = Semaphore::const_new(2);

/// Counts the steps of a loop over what a store sent.
#[derive(Debug)]
pub(super) struct Steps {
    deadline: Deadline,
    left: usize,
}

impl Steps {
    pub(super) fn new(deadline: Deadline) -> Self {
        Self {
            deadline,
            left: STRETCH,
        }
    }

    /// Counts one step. True: it is time to [`rest`](Self::rest).
    pub(super) fn are_due(&mut self) -> bool {
        self.are_due_after(1)
    }

    /// The same for several steps, of which there are at most [`left`](Self::left).
    pub(super) fn are_due_after(&mut self, steps: usize) -> bool {
        self.left = self.left.saturating_sub(steps);
        self.left == 0
    }

    /// How many steps may be done before a rest, at least one.
    pub(super) fn left(&self) -> usize {
        self.left.max(1)
    }

    /// Lets others run.
    ///
    /// # Errors
    /// If the deadline has passed.
    pub(super) async fn rest(&mut self) -> Result<(), EvaluateError> {
        self.left = STRETCH;
        if Instant::now() >= self.deadline.0 {
            return Err(late());
        }
        task::yield_now().await;
        Ok(())
    }
}

/// What `work` makes of something of `size` elements. The caller waits no longer than its deadline.
///
/// # Errors
/// If the deadline passes. Work that has begun still runs to its end.
pub(super) async fn done<T: Send + 'static>(
    size: usize,
    deadline: Deadline,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EvaluateError> {
    if size <= SMALL {
        return Ok(work());
    }
    let elsewhere = async {
        // The semaphore is never closed.
        let place = PLACES.acquire().await.map_err(|_| late())?;
        let working = blocking::run(move || {
            // Given back when the work ends, not when its caller stops waiting.
            let _place = place;
            work()
        });
        working.await.map_err(|_| late())
    };
    tokio::time::timeout_at(deadline.0.into(), elsewhere)
        .await
        .map_err(|_| late())?
}

/// The same for what a store does.
///
/// # Errors
/// If the deadline passes.
pub(super) async fn within<T: Send + 'static>(
    size: usize,
    deadline: Deadline,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let done = done(size, deadline, work).await;
    done.map_err(|error| match error {
        EvaluateError::Store(error) => error,
        error => StoreError::Timeout(error.to_string()),
    })
}

fn late() -> EvaluateError {
    let message = "the deadline passed while the answer was computed: ask for a shorter time, or add conditions";
    StoreError::Timeout(message.to_owned()).into()
}

/// An answer whose samples may include some that are none.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) answer: Arc<Answer>,
    /// NaN marks the end of a series and is no sample; see
    /// [`crate::model::capabilities::Capabilities::keeps_nan`].
    pub(super) drops_nan: bool,
}

impl Stored {
    pub(super) fn series(&self) -> &[Series] {
        self.answer.series()
    }

    /// The samples of one of the series.
    pub(super) fn samples<'a>(
        &'a self,
        one: &'a Series,
    ) -> impl Iterator<Item = (Timestamp, &'a str)> {
        let all = one.samples.iter();
        all.filter(|(_, text)| !(self.drops_nan && *text == "NaN"))
    }

    /// How much there is to go through.
    pub(super) fn size(&self) -> usize {
        self.answer.elements()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime")
    }

    fn soon() -> Deadline {
        Deadline(Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn large_work_is_done_on_another_thread_and_small_work_on_this_one() {
        let here = std::thread::current().id();
        let worked_on = |size| {
            let work = done(size, soon(), || std::thread::current().id());
            runtime().block_on(work).expect("a thread")
        };
        assert_eq!(worked_on(SMALL), here);
        assert_ne!(worked_on(SMALL + 1), here);
    }

    #[test]
    fn nobody_waits_for_work_longer_than_its_deadline() {
        let runtime = runtime();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let deadline = Deadline(Instant::now() + Duration::from_millis(20));
        let work = done(SMALL + 1, deadline, move || ended.recv().is_ok());
        let error = runtime.block_on(work).expect_err("too late");
        assert!(
            matches!(error, EvaluateError::Store(StoreError::Timeout(_))),
            "{error}"
        );
        drop(end);
    }

    #[test]
    fn steps_let_others_run_and_see_the_deadline() {
        let mut steps = Steps::new(soon());
        let rests = (0..10 * STRETCH).filter(|_| {
            let due = steps.are_due();
            if due {
                runtime().block_on(steps.rest()).expect("in time");
            }
            due
        });
        assert_eq!(rests.count(), 10);
        let mut late = Steps::new(Deadline(Instant::now()));
        assert!(runtime().block_on(late.rest()).is_err());
    }
}
