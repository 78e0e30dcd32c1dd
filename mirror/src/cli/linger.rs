//! How long a process that was told to end goes on accepting: until load balancers have noticed.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How many times the delay it may last while clients still connect.
const AT_MOST: u32 = 3;

/// Signals each new connection.
pub(crate) type Arrivals = watch::Sender<()>;

/// Waits for `delay`, and longer while clients still connect: a connection in the last two fifths
/// of the delay, or as long after another, shows that a load balancer still hands this address out.
/// A proxy that is late on a busy node is the reason. Returns how long it took.
pub(crate) async fn until_noticed(delay: Duration, arrivals: &Arrivals) -> Duration {
    let began = Instant::now();
    let end = began + delay * AT_MOST;
    let quiet = delay * 2 / 5;
    tokio::time::sleep(delay.saturating_sub(quiet)).await;
    let mut arrivals = arrivals.subscribe();
    loop {
        let deadline = end.min(Instant::now() + quiet);
        let arrived = timeout_at(deadline, arrivals.changed()).await;
        if arrived.is_err() || Instant::now() >= end {
            return began.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(500);

    #[tokio::test]
    async fn without_new_connections_it_lasts_as_long_as_the_delay() {
        let lasted = until_noticed(DELAY, &Arrivals::default()).await;
        assert!(DELAY <= lasted && lasted < 2 * DELAY, "{lasted:?}");
        let none = until_noticed(Duration::ZERO, &Arrivals::default()).await;
        assert!(none < DELAY, "{none:?}");
    }

    #[tokio::test]
    async fn while_clients_connect_it_lasts_up_to_three_times_as_long() {
        let arrivals = Arrivals::default();
        let connecting = async {
            loop {
                arrivals.send_replace(());
                tokio::time::sleep(DELAY / 50).await;
            }
        };
        let lasted = tokio::select! {
            lasted = until_noticed(DELAY, &arrivals) => lasted,
            () = connecting => Duration::ZERO,
        };
        assert!(3 * DELAY <= lasted && lasted < 4 * DELAY, "{lasted:?}");
    }
}
