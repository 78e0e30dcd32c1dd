//! What stands for other machines: the attackers, the hostile store, and the real store that is
//! attacked through the mirror.
//!
//! Their threads and processes get what the others leave of the processors (`SCHED_IDLE`). Where
//! the mirror has work, it does not lose its processors to them, as it would not to other machines.
//! Where it waits for them, they have the whole machine: this takes nothing from the force of an
//! attack.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::{Builder, Runtime};

/// `SCHED_IDLE`, as the kernel shows it.
const IDLE: &str = "5";

/// What the kernel says of the calling thread.
fn own_stat() -> Result<String> {
    std::fs::read_to_string("/proc/thread-self/stat").context("/proc/thread-self/stat")
}

/// Makes the calling thread one that gets what others leave.
fn becomes_idle() -> Result<()> {
    let stat = own_stat()?;
    let thread = stat.split(' ').next().unwrap_or_default();
    let changed = Command::new("chrt")
        .args(["--idle", "--pid", "0", thread])
        .status()?;
    ensure!(changed.success(), "chrt failed");
    Ok(())
}

/// Threads that get what others leave. Processes that they start inherit it.
#[derive(Debug)]
pub(crate) struct Elsewhere(Option<Runtime>);

impl Elsewhere {
    pub(crate) fn new() -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("elsewhere")
            // Whether it worked is seen in `run`.
            .on_thread_start(|| {
                let _ = becomes_idle();
            })
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// What comes of `work`, done there.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let Some(runtime) = &self.0 else {
            anyhow::bail!("it has ended");
        };
        let work = async move {
            let stat = own_stat()?;
            let behind_name = stat.rsplit(')').next().unwrap_or_default();
            // The policy is field 41 of proc_pid_stat(5); the first behind the name is number 3.
            let is_idle = behind_name.split_whitespace().nth(38) == Some(IDLE);
            ensure!(is_idle, "a thread does not leave the processors to others");
            work.await
        };
        runtime.spawn(work).await?
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // Dropped in another runtime, where nobody may wait for its end.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
