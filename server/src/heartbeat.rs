//! Whether a runtime still does anything, shown by a task in it that does nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a runtime tells.
const EVERY: Duration = Duration::from_secs(1);

/// So long without a beat, and the runtime is taken for dead: far longer than any work that it does
/// in one piece.
pub const DEAD_AFTER: Duration = Duration::from_secs(60);

/// When a runtime was seen to work last.
#[derive(Debug)]
pub struct Heartbeat {
    began: Instant,
    /// In milliseconds after `began`.
    last: AtomicU64,
}

impl Heartbeat {
    /// Follows the runtime that this is called in, as long as somebody holds what is answered.
    #[must_use]
    pub fn of_this_runtime() -> Arc<Self> {
        let heart = Arc::new(Self::new(Instant::now()));
        let beating = Arc::downgrade(&heart);
        tokio::spawn(async move {
            while let Some(heart) = beating.upgrade() {
                heart.beats(Instant::now());
                drop(heart);
                tokio::time::sleep(EVERY).await;
            }
        });
        heart
    }

    fn new(began: Instant) -> Self {
        Self {
            began,
            last: AtomicU64::new(0),
        }
    }

    fn beats(&self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.began).as_millis();
        self.last.store(
            u64::try_from(elapsed).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// How long the runtime has done nothing, if that is so long that it will not do anything
    /// again.
    #[must_use]
    pub fn dead_for(&self, now: Instant) -> Option<Duration> {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        let silent = now.saturating_duration_since(self.began + last);
        (silent >= DEAD_AFTER).then_some(silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_is_silent_for_a_minute_is_dead() {
        let began = Instant::now();
        let heart = Heartbeat::new(began);
        let after = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(heart.dead_for(after(59)), None);
        assert_eq!(heart.dead_for(after(61)), Some(Duration::from_secs(61)));
        heart.beats(after(30));
        assert_eq!(heart.dead_for(after(61)), None);
        assert_eq!(heart.dead_for(after(90)), Some(DEAD_AFTER));
    }

    #[tokio::test]
    async fn a_runtime_that_works_tells_of_itself() {
        let heart = Heartbeat::of_this_runtime();
        let beat_again = async {
            while heart.last.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(DEAD_AFTER, beat_again).await;
        assert!(waited.is_ok());
    }
}
