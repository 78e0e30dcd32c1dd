//! The time by AWS's clock: a signature is good for some minutes only.

use std::sync::atomic::{AtomicI64, Ordering};

use http::{HeaderMap, header};
use jiff::{SignedDuration, Timestamp};

/// A clock that differs less is right: signatures are good for five minutes.
const TOLERANCE_SECONDS: i64 = 240;

/// This machine's clock, set right by what AWS's servers say.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// So many seconds are to be added.
    behind: AtomicI64,
}

impl Clock {
    pub(super) fn now(&self) -> Timestamp {
        let behind = SignedDuration::from_secs(self.behind.load(Ordering::Relaxed));
        Timestamp::now()
            .saturating_add(behind)
            .unwrap_or_else(|_| Timestamp::now())
    }

    /// Looks at the `Date` of an answer. True: the clock was wrong, and is right now.
    pub(super) fn set_by(&self, answer: &HeaderMap) -> bool {
        if !is_wrong(self.now(), answer) {
            return false;
        }
        let here = Timestamp::now();
        let behind = date(answer).filter(|_| is_wrong(here, answer));
        let behind = behind.map_or(0, |date| seconds_between(here, date));
        self.behind.store(behind, Ordering::Relaxed);
        tracing::warn!(
            "this machine's clock is minutes off AWS's, so requests are signed by AWS's: set it"
        );
        true
    }
}

/// Whether a time is not what the `Date` of an answer says.
pub(super) fn is_wrong(time: Timestamp, answer: &HeaderMap) -> bool {
    date(answer).is_some_and(|date| seconds_between(time, date).abs() > TOLERANCE_SECONDS)
}

fn date(answer: &HeaderMap) -> Option<Timestamp> {
    let date = answer.get(header::DATE)?.to_str().ok()?;
    Timestamp::try_from(httpdate::parse_http_date(date.trim()).ok()?).ok()
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn dated(date: SystemTime) -> HeaderMap {
        let date = httpdate::fmt_http_date(date).parse().unwrap();
        HeaderMap::from_iter([(header::DATE, date)])
    }

    #[test]
    fn a_clock_that_is_minutes_off_is_set_and_set_back() {
        let clock = Clock::default();
        let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
        let ahead = |clock: &Clock| seconds_between(Timestamp::now(), clock.now());
        assert!(!clock.set_by(&HeaderMap::new()));
        assert!(!clock.set_by(&HeaderMap::from_iter([(
            header::DATE,
            "soon".parse().unwrap()
        )])));
        assert!(!clock.set_by(&dated(now + Duration::from_secs(200))));
        assert_eq!(ahead(&clock), 0);
        assert!(clock.set_by(&dated(now + hour)));
        assert!((3598..=3600).contains(&ahead(&clock)), "{}", ahead(&clock));
        assert!(!clock.set_by(&dated(now + hour)));
        assert!(clock.set_by(&dated(now - hour)));
        assert!(
            (-3602..=-3599).contains(&ahead(&clock)),
            "{}",
            ahead(&clock)
        );
        // The machine's clock was set meanwhile.
        assert!(clock.set_by(&dated(now)));
        assert_eq!(ahead(&clock), 0);
    }
}
