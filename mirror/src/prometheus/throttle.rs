//! Stores that ask to slow down: how that is recognised, and how long a target is left in peace.
//!
//! The pause belongs to one target. Calls that can wait for its end wait outside of the queue and
//! hold no worker; the others are answered at once with the time that is left. When it is over, the
//! queue and the workers bound how many go at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, StatusCode, header};

/// The shortest and the longest pause. A maintenance page may say a day; nobody would wait for
/// that, and it may end early.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// The longest pause of a store that does not say how long.
const LONGEST_GUESS: Duration = Duration::from_secs(60);

/// What Amazon calls it, in any of its services.
const AMAZON: [&str; 12] = [
    "throttlingexception",
    "throttling",
    "throttledexception",
    "ec2throttledexception",
    "requestthrottled",
    "requestthrottledexception",
    "toomanyrequestsexception",
    "toomanyrequests",
    "requestlimitexceeded",
    "bandwidthlimitexceeded",
    "provisionedthroughputexceededexception",
    "slowdown",
];

/// Whether the head of an answer asks to slow down.
pub(super) fn asks_to_slow_down(status: StatusCode, headers: &HeaderMap) -> bool {
    if status == StatusCode::TOO_MANY_REQUESTS {
        return true;
    }
    if status == StatusCode::SERVICE_UNAVAILABLE && headers.contains_key(header::RETRY_AFTER) {
        return true;
    }
    (status.is_client_error() || status.is_server_error())
        && headers
            .get("x-amzn-errortype")
            .is_some_and(|kind| is_amazons(&String::from_utf8_lossy(kind.as_bytes())))
}

/// The same of the body of an error: Amazon's gateways drop the header, and the kind is in the
/// JSON.
pub(super) fn body_asks_to_slow_down(body: &[u8]) -> bool {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(body) else {
        return false;
    };
    ["__type", "code", "Code"]
        .iter()
        .filter_map(|name| fields.get(*name)?.as_str())
        .any(is_amazons)
}

/// `com.amazon.coral.availability#ThrottlingException:http://…`
fn is_amazons(kind: &str) -> bool {
    let name = kind.split(':').next().unwrap_or_default();
    let name = name.rsplit(['#', '.']).next().unwrap_or_default().trim();
    AMAZON.contains(&name.to_ascii_lowercase().as_str())
}

/// How long a store asks to wait: `Retry-After` in seconds or as a date, by the store's own clock
/// where it says its time.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let value = text(header::RETRY_AFTER)?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean longer than anybody waits.
        return Some(value.parse().map_or(LONGEST, Duration::from_secs));
    }
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now = text(header::DATE)
        .and_then(|date| httpdate::parse_http_date(date.trim()).ok())
        .unwrap_or(now);
    Some(until.duration_since(now).unwrap_or(Duration::ZERO))
}

/// A target's pauses.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// False as long as the target never asked: then nothing else is looked at.
    was_asked: AtomicBool,
    pause: Mutex<Pause>,
    held: AtomicUsize,
}

#[derive(Debug, Default)]
struct Pause {
    /// When the store asked for the latest pause.
    since: Option<Instant>,
    until: Option<Instant>,
    /// How often in a row it asked.
    times: u32,
}

impl Pace {
    /// When the present pause ends; none if there is none.
    pub(super) fn paused(&self) -> Option<Instant> {
        if !self.was_asked.load(Ordering::Relaxed) {
            return None;
        }
        self.pause().until.filter(|until| *until > Instant::now())
    }

    /// The store answered a call that began at `began` by asking for a pause of so long, or of a
    /// length that it did not say. Answers how long it is left in peace from now on.
    pub(super) fn slow_down(&self, began: Instant, asked: Option<Duration>) -> Duration {
        self.was_asked.store(true, Ordering::Relaxed);
        let now = Instant::now();
        let mut pause = self.pause();
        // Calls that were under way together are answered together: that is one request for a
        // pause, not many.
        let is_new = pause.since.is_none_or(|since| began >= since);
        if is_new {
            pause.times = pause.times.saturating_add(1);
        }
        let guess = || {
            let doublings = pause.times.saturating_sub(1).min(16);
            SHORTEST.saturating_mul(1 << doublings).min(LONGEST_GUESS)
        };
        let length = asked.map_or_else(guess, |asked| asked.clamp(SHORTEST, LONGEST));
        let until = now + length;
        if is_new
            || pause
                .until
                .is_none_or(|known| asked.is_some() && known < until)
        {
            pause.since = Some(now);
            pause.until = Some(until);
        }
        pause
            .until
            .map_or(length, |until| until.saturating_duration_since(now))
            .max(SHORTEST)
    }

    /// The store answered a call that began at `began` as it should.
    pub(super) fn flows(&self, began: Instant) {
        if self.was_asked.load(Ordering::Relaxed) {
            let mut pause = self.pause();
            if pause.since.is_some_and(|since| began >= since) {
                pause.times = 0;
            }
        }
    }

    /// A place among at most `most` calls that wait for the end of a pause.
    pub(super) fn hold(&self, most: usize) -> Option<Held<'_>> {
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                (held < most).then_some(held + 1)
            })
            .ok()?;
        Some(Held(self))
    }

    fn pause(&self) -> std::sync::MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits for the end of a pause.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a Pace);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn a_store_asks_in_several_ways() {
        let amazon = |kind| headers(&[("x-amzn-errortype", kind)]);
        let table = [
            (429, headers(&[]), true),
            (503, headers(&[("retry-after", "3")]), true),
            (503, headers(&[]), false),
            (502, headers(&[("retry-after", "3")]), false),
            (401, headers(&[("retry-after", "3")]), false),
            (400, amazon("ThrottlingException"), true),
            (
                400,
                amazon("ThrottlingException:http://internal.amazon.com/coral/"),
                true,
            ),
            (
                403,
                amazon("com.amazon.coral.availability#TooManyRequestsException"),
                true,
            ),
            (400, amazon("com.amazonaws.aps.ThrottlingException:"), true),
            (400, amazon("ValidationException"), false),
            (403, amazon("AccessDeniedException"), false),
            (200, amazon("ThrottlingException"), false),
        ];
        for (status, headers, expected) in table {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                asks_to_slow_down(status, &headers),
                expected,
                "{status} {headers:?}"
            );
        }
        for (body, expected) in [
            (
                r#"{"__type":"com.amazon#ThrottlingException","message":"Rate exceeded"}"#,
                true,
            ),
            (r#"{"code":"ThrottlingException"}"#, true),
            (r#"{"message":"Rate exceeded"}"#, false),
            (r#"{"__type":7}"#, false),
            ("[]", false),
            ("ThrottlingException", false),
        ] {
            assert_eq!(body_asks_to_slow_down(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn the_time_is_read_in_seconds_and_as_a_date() {
        let now = httpdate::parse_http_date("Sat, 28 Nov 2026 07:00:00 GMT").unwrap();
        let table = [
            ("7", Some(7.0)),
            (" 7 ", Some(7.0)),
            ("0", Some(0.0)),
            ("1.5", Some(1.5)),
            ("99999999999999999999999", Some(300.0)),
            ("Sat, 28 Nov 2026 07:00:09 GMT", Some(9.0)),
            ("Saturday, 28-Nov-26 07:01:00 GMT", Some(60.0)),
            ("Sat Nov 28 07:00:30 2026", Some(30.0)),
            ("Sat, 28 Nov 2026 06:00:00 GMT", Some(0.0)),
            ("-7", None),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
            ("", None),
        ];
        for (value, expected) in table {
            let found = retry_after(&headers(&[("retry-after", value)]), now);
            assert_eq!(found, expected.map(Duration::from_secs_f64), "{value}");
        }
        assert_eq!(retry_after(&headers(&[]), now), None);
        // The store's clock is an hour ahead.
        let ahead = headers(&[
            ("date", "Sat, 28 Nov 2026 08:00:00 GMT"),
            ("retry-after", "Sat, 28 Nov 2026 08:00:10 GMT"),
        ]);
        assert_eq!(retry_after(&ahead, now), Some(Duration::from_secs(10)));
    }

    /// In whole seconds, rounded.
    fn seconds(duration: Duration) -> u64 {
        (duration + Duration::from_millis(500)).as_secs()
    }

    #[test]
    fn a_pause_is_bounded_and_its_length_is_the_stores() {
        for (asked, expected) in [(7, 7), (0, 1), (86_400, 300)] {
            let pace = Pace::default();
            assert_eq!(pace.paused(), None);
            let length = pace.slow_down(Instant::now(), Some(Duration::from_secs(asked)));
            assert_eq!(seconds(length), expected);
            let left = pace
                .paused()
                .unwrap()
                .saturating_duration_since(Instant::now());
            assert_eq!(seconds(left), expected);
        }
    }

    #[test]
    fn without_a_length_pauses_double_until_the_store_answers() {
        let pace = Pace::default();
        let again = || seconds(pace.slow_down(Instant::now(), None));
        let lengths: Vec<u64> = (0..9).map(|_| again()).collect();
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        let before = Instant::now();
        assert_eq!(again(), 60);
        // This one began before the pause and says nothing about it.
        pace.flows(before);
        assert_eq!(again(), 60);
        pace.flows(Instant::now());
        assert_eq!(again(), 1);
    }

    #[test]
    fn calls_that_are_answered_together_ask_once_and_the_longest_counts() {
        let pace = Pace::default();
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(seconds(pace.slow_down(began, None)), 1);
        }
        assert_eq!(seconds(pace.slow_down(Instant::now(), None)), 2);
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(seconds(pace.slow_down(began, asked(9))), 9);
        assert_eq!(seconds(pace.slow_down(began, asked(3))), 9);
    }

    #[test]
    fn only_so_many_calls_are_held() {
        let pace = Pace::default();
        let held: Vec<_> = (0..3).filter_map(|_| pace.hold(2)).collect();
        assert_eq!(held.len(), 2);
        drop(held);
        assert!(pace.hold(2).is_some());
    }
}
