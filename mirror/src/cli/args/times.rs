//! Times as they are written on the command line.

use std::time::Duration;

/// A time like `500ms`, `90s`, `15m`, `1h30m`, `2d`.
///
/// # Errors
/// A sentence for the user.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a time; write it like 500ms, 90s, 15m, 1h30m or 2d"))
}

/// The same, neither zero nor longer than a day.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than nothing".into()),
        time if time > LONGEST => Err("it must not be longer than a day".into()),
        time => Ok(time),
    }
}

/// Longer than anybody waits for a poll.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
