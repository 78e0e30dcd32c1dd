//! Requests without a pause while something changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;
use harness::servers::eventually;
use tokio::task::JoinHandle;

/// Requests of several clients without a pause until it ends; not one may fail.
pub(super) struct Asking {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Result<()>>>,
}

impl Asking {
    /// So many clients. `ask` makes one request, whose number no other has.
    pub(super) fn start<F: Future<Output = Result<()>> + Send + 'static>(
        clients: usize,
        ask: impl Fn(usize) -> F + Clone + Send + 'static,
    ) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let all = (0..clients).map(|client| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let ask = ask.clone();
            tokio::spawn(async move {
                let mut number = client;
                while !stop.load(Ordering::SeqCst) {
                    number += clients;
                    ask(number).await?;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            })
        });
        let clients = all.collect();
        Self {
            stop,
            answered,
            clients,
        }
    }

    /// Whether a client of it ended, which none does before it is told to.
    pub(super) fn has_failed(&self) -> bool {
        self.clients.iter().any(JoinHandle::is_finished)
    }

    pub(super) async fn goes_on(&self) -> Result<()> {
        let so_far = self.answered.load(Ordering::SeqCst);
        eventually("requests", || async {
            let more = self.answered.load(Ordering::SeqCst) > so_far + 20;
            Ok((self.has_failed() || more).then_some(()))
        })
        .await
    }

    pub(super) async fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await??;
        }
        Ok(())
    }
}
