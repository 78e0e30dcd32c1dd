//! What a run found: a line a check on the terminal, or JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::answer::Findings;
use super::finding::{Fault, What};

/// The longest quotation of what a mirror says, in characters.
const MOST_QUOTED: usize = 200;

/// `text` in one line without control characters, cut to a readable length.
pub(super) fn clipped(text: &str) -> String {
    let mut clipped: String = text
        .chars()
        .take(MOST_QUOTED)
        .map(|c| if is_plain(c) { c } else { ' ' })
        .collect();
    if text.chars().nth(MOST_QUOTED).is_some() {
        clipped.push('…');
    }
    clipped
}

/// A mirror must neither steer a terminal nor turn its line around.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The contract is kept.
    Kept,
    /// It is not.
    Fault,
    /// It could not be tried.
    Skipped,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Fault => "FAULT",
            Self::Skipped => "skipped",
        }
    }
}

/// A fault or a note, with its first example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its stable name.
    pub name: &'static str,
    /// Where it was seen first, and how.
    pub detail: String,
    /// How often it was seen.
    pub times: u64,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// What became of it.
    pub verdict: Verdict,
    /// What was tried, or why it was not.
    pub detail: String,
    /// How many requests it took.
    pub requests: u64,
    /// The longest time that one of them took, in milliseconds.
    pub slowest_millis: u64,
    /// Breaches of the contract.
    pub faults: Vec<Finding>,
    /// What is worth knowing besides.
    pub notes: Vec<Finding>,
}

/// All checks of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The mirror's base URL.
    pub url: String,
    /// No check found a fault.
    pub kept: bool,
    /// The names of all faults, sorted, each once.
    pub faults: Vec<&'static str>,
    /// In the order in which they were done.
    pub checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(url: &str, checks: Vec<Check>) -> Self {
        let faults: BTreeSet<&'static str> = (checks.iter())
            .flat_map(|check| check.faults.iter().map(|fault| fault.name))
            .collect();
        Self {
            url: url.to_owned(),
            kept: faults.is_empty(),
            faults: faults.into_iter().collect(),
            checks,
        }
    }

    /// One line: how it went.
    #[must_use]
    pub fn summary(&self) -> String {
        let requests: u64 = self.checks.iter().map(|check| check.requests).sum();
        match self.faults.as_slice() {
            [] => format!("{} keeps the contract ({requests} requests)", self.url),
            [one] => format!("{} breaks the contract: {one}", self.url),
            several => format!(
                "{} breaks the contract in {} ways: {}",
                self.url,
                several.len(),
                several.join(", ")
            ),
        }
    }

    /// A line a check under a heading, and further findings on lines of their own.
    #[must_use]
    pub fn table(&self) -> String {
        let names = self.checks.iter().map(|check| check.name.len());
        let width = names.max().unwrap_or(0).max("CHECK".len());
        let mut text = format!("{:width$}  VERDICT  REQUESTS  SLOWEST  DETAIL\n", "CHECK");
        for check in &self.checks {
            let slowest = match check.requests {
                0 => "-".to_owned(),
                _ => format!("{} ms", check.slowest_millis),
            };
            let found = check.faults.iter().map(|fault| line("", fault));
            let notes = check.notes.iter().map(|note| line("note ", note));
            let mut details = found.chain(notes);
            let own = Some(check.detail.clone()).filter(|detail| !detail.is_empty());
            let first = match check.verdict {
                Verdict::Fault => details.next(),
                Verdict::Kept | Verdict::Skipped => own.or_else(|| details.next()),
            };
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "{:width$}  {:7}  {:>8}  {slowest:>7}  {}",
                check.name,
                check.verdict.word(),
                check.requests,
                first.unwrap_or_default(),
            );
            for detail in details {
                let _ = writeln!(
                    text,
                    "{:width$}  {:7}  {:>8}  {:>7}  {detail}",
                    "", "", "", ""
                );
            }
        }
        text
    }
}

fn line(before: &str, finding: &Finding) -> String {
    let times = match finding.times {
        1 => String::new(),
        times => format!(" ({times} times)"),
    };
    format!("{before}{}: {}{times}", finding.name, finding.detail)
}

/// A check under way. Requests of one check may be under way at the same time.
#[derive(Debug)]
pub(super) struct Log {
    name: &'static str,
    most_bytes: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: u64,
    slowest: Duration,
    detail: String,
    skipped: bool,
    found: Vec<(What, String, u64)>,
}

/// The largest answer that is read whole, in bytes: 110,000 points take a third.
const MOST_BYTES: usize = 16 << 20;

impl Log {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            most_bytes: AtomicUsize::new(MOST_BYTES),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; and if it did, numbers are all that could be off.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The largest body that is read, in bytes.
    pub(super) fn most_bytes(&self) -> usize {
        self.most_bytes.load(Ordering::Relaxed)
    }

    /// Many answers are read at once: none may take more than `bytes`.
    pub(super) fn reads_at_most(&self, bytes: usize) {
        self.most_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn requested(&self, took: Duration) {
        let mut state = self.state();
        state.requests += 1;
        state.slowest = state.slowest.max(took);
    }

    pub(super) fn add(&self, what: impl Into<What>, detail: impl Into<String>) {
        let (what, detail) = (what.into(), detail.into());
        let mut state = self.state();
        match state.found.iter_mut().find(|(known, ..)| *known == what) {
            Some((_, _, times)) => *times += 1,
            None => state.found.push((what, detail, 1)),
        }
    }

    /// What was found in the answer to `request`.
    pub(super) fn add_all(&self, request: &str, findings: Findings) {
        for (what, detail) in findings.0 {
            self.add(what, format!("{request}: {detail}"));
        }
    }

    /// What was tried.
    pub(super) fn detail(&self, detail: impl Into<String>) {
        self.state().detail = detail.into();
    }

    /// It cannot be tried.
    pub(super) fn skip(&self, why: impl Into<String>) {
        let mut state = self.state();
        state.detail = why.into();
        state.skipped = true;
    }

    pub(super) fn finish(self) -> Check {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let (mut faults, mut notes) = (Vec::new(), Vec::new());
        for (what, detail, times) in state.found {
            let finding = Finding {
                name: what.name(),
                detail: clipped_long(&detail),
                times,
            };
            match what {
                What::Fault(_) => faults.push(finding),
                What::Note(_) => notes.push(finding),
            }
        }
        Check {
            name: self.name,
            verdict: match (faults.is_empty(), state.skipped) {
                (false, _) => Verdict::Fault,
                (true, true) => Verdict::Skipped,
                (true, false) => Verdict::Kept,
            },
            detail: state.detail,
            requests: state.requests,
            slowest_millis: u64::try_from(state.slowest.as_millis()).unwrap_or(u64::MAX),
            faults,
            notes,
        }
    }

    /// Whether this fault was found.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.state()
            .found
            .iter()
            .any(|(what, ..)| *what == fault.into())
    }
}

/// A detail quotes the mirror and names such as a metric's, which may be as long as somebody likes.
fn clipped_long(text: &str) -> String {
    let plain: String = text
        .chars()
        .take(600)
        .map(|c| if is_plain(c) { c } else { ' ' })
        .collect();
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::finding::Note;

    fn report() -> Report {
        let fine = Log::new("connection");
        fine.requested(Duration::from_millis(12));
        fine.detail("the store answers");
        let faulty = Log::new("raw");
        faulty.requested(Duration::from_millis(7));
        faulty.requested(Duration::from_millis(5));
        faulty.add(
            Fault::PointsUnsorted,
            "raw of gauge up: 2 after 3\u{1b}[31m",
        );
        faulty.add(Fault::PointsUnsorted, "another");
        faulty.add(Note::TimestampAsFloat, "5.0");
        let skipped = Log::new("polling");
        skipped.skip("0 rounds were asked for");
        let checks = [fine, faulty, skipped].map(Log::finish);
        Report::new("http://a:1", checks.to_vec())
    }

    #[test]
    fn the_table_has_a_line_a_check_and_one_for_each_further_finding() {
        assert_eq!(
            report().table(),
            "CHECK       VERDICT  REQUESTS  SLOWEST  DETAIL\n\
             connection  kept            1    12 ms  the store answers\n\
             raw         FAULT           2     7 ms  points-unsorted: raw of gauge up: 2 after 3 [31m (2 times)\n\
             \u{20}                                       note timestamp-as-float: 5.0\n\
             polling     skipped         0        -  0 rounds were asked for\n"
        );
        assert_eq!(
            report().summary(),
            "http://a:1 breaks the contract: points-unsorted"
        );
    }

    #[test]
    fn the_json_names_what_was_found() {
        let json = serde_json::to_value(report()).unwrap();
        let expected = serde_json::json!({
            "url": "http://a:1",
            "kept": false,
            "faults": ["points-unsorted"],
            "checks": [
                {"name": "connection", "verdict": "kept", "detail": "the store answers", "requests": 1, "slowestMillis": 12, "faults": [], "notes": []},
                {
                    "name": "raw", "verdict": "fault", "detail": "", "requests": 2, "slowestMillis": 7,
                    "faults": [{"name": "points-unsorted", "detail": "raw of gauge up: 2 after 3 [31m", "times": 2}],
                    "notes": [{"name": "timestamp-as-float", "detail": "5.0", "times": 1}]
                },
                {"name": "polling", "verdict": "skipped", "detail": "0 rounds were asked for", "requests": 0, "slowestMillis": 0, "faults": [], "notes": []},
            ],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_quotation_neither_steers_the_terminal_nor_turns_its_line_around() {
        assert_eq!(clipped("a\u{1b}[2Jb\n\u{202e}c"), "a [2Jb  c");
        assert_eq!(clipped(&"é".repeat(300)).chars().count(), 201);
    }
}
