//! How long a watch that failed waits before it tries again.

use std::time::{Duration, Instant};

use kube_runtime::utils::Backoff;

/// The pauses of a watch that fails. They grow until it has been quiet for a while; kube's own
/// start again with each attempt, because an attempt begins with an event.
pub(super) struct Patience {
    pause: Duration,
    failed: Instant,
}

impl Patience {
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30);
    const QUIET: Duration = Duration::from_secs(120);
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            pause: Self::SHORTEST,
            failed: Instant::now(),
        }
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.failed.elapsed() > Self::QUIET {
            self.pause = Self::SHORTEST;
        }
        self.failed = Instant::now();
        let pause = self.pause;
        self.pause = (pause * 2).min(Self::LONGEST);
        Some(pause)
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_although_every_attempt_begins_well() {
        let mut patience = Patience::default();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            patience.reset();
            pauses.extend(patience.next().map(|pause| pause.as_secs()));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        patience.failed -= Patience::QUIET + Duration::from_secs(1);
        assert_eq!(patience.next(), Some(Patience::SHORTEST));
    }
}
