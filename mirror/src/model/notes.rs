//! What is noted of a request while it is answered: for its line in the log, and for who looks at
//! it in the console.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The longest text of a user in a line, in bytes.
const LONGEST: usize = 1_000;

/// So many calls are described, the first ones of a request.
const MOST_DESCRIBED: usize = 40;

/// What a request asks for, and what that takes. Texts are cut to a bounded length.
#[derive(Debug, Default)]
pub struct Notes {
    target: OnceLock<String>,
    kind: OnceLock<&'static str>,
    metric: OnceLock<String>,
    promql: OnceLock<String>,
    calls: AtomicU64,
    samples: AtomicU64,
    points: OnceLock<u64>,
    /// None where calls are only counted.
    described: Option<Mutex<Vec<CallMade>>>,
}

/// A call of a target, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallMade {
    /// The path of the target's API.
    pub path: String,
    /// Its PromQL, or which series it is about.
    pub promql: Option<String>,
    /// From asking for it to its answer: with the wait in the queue.
    pub duration: Duration,
    /// What came, or why nothing did.
    pub result: Result<CallAnswer, String>,
}

/// What a call answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallAnswer {
    /// Whether it was sent as a POST.
    pub is_post: bool,
    /// The HTTP status.
    pub status: u16,
    /// How many bytes the body has, without the encoding in which it came.
    pub bytes: u64,
    /// How many samples it has.
    pub samples: usize,
}

impl Notes {
    /// Notes that describe calls as well.
    #[must_use]
    pub fn describing_calls() -> Self {
        Self {
            described: Some(Mutex::default()),
            ..Self::default()
        }
    }

    /// Whether calls are described here.
    #[must_use]
    pub fn describes_calls(&self) -> bool {
        self.described.is_some()
    }

    /// A call has ended. Only the first ones are kept, and of their texts the beginning.
    pub fn ended(&self, call: CallMade) {
        let Some(described) = &self.described else {
            return;
        };
        let mut described = described.lock().unwrap_or_else(PoisonError::into_inner);
        if described.len() < MOST_DESCRIBED {
            described.push(CallMade {
                path: cut(&call.path),
                promql: call.promql.as_deref().map(cut),
                result: call.result.map_err(|error| cut(&error)),
                ..call
            });
        }
    }

    /// The calls that have ended, as far as they are described.
    #[must_use]
    pub fn calls_made(&self) -> Vec<CallMade> {
        let described = self.described.as_ref().map(Mutex::lock);
        let described = described.map(|lock| lock.unwrap_or_else(PoisonError::into_inner));
        described.map(|calls| calls.clone()).unwrap_or_default()
    }

    /// The request is for this target.
    pub fn target(&self, name: &str) {
        self.target.get_or_init(|| cut(name));
    }

    /// It asks for a metric of this kind.
    pub fn metric(&self, kind: &'static str, name: &str) {
        self.kind.get_or_init(|| kind);
        self.metric.get_or_init(|| cut(name));
    }

    /// It asks for an expression. Only the first one counts: later ones are made of it.
    pub fn expression(&self, kind: &'static str, promql: &str) {
        self.kind.get_or_init(|| kind);
        self.promql.get_or_init(|| cut(promql));
    }

    /// Its target is called, with this PromQL if the call has any.
    pub fn call(&self, promql: Option<&str>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if let Some(promql) = promql {
            self.promql.get_or_init(|| cut(promql));
        }
    }

    /// The target answered so many samples.
    pub fn samples(&self, count: usize) {
        self.samples.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The request is answered with so many points.
    pub fn points(&self, count: usize) {
        self.points.get_or_init(|| count as u64);
    }

    /// All of it, as far as it is known.
    #[must_use]
    pub fn read(&self) -> Noted<'_> {
        Noted {
            target: self.target.get().map(String::as_str),
            kind: self.kind.get().copied(),
            metric: self.metric.get().map(String::as_str),
            promql: self.promql.get().map(String::as_str),
            calls: self.calls.load(Ordering::Relaxed),
            samples: self.samples.load(Ordering::Relaxed),
            points: self.points.get().copied(),
        }
    }
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted<'a> {
    /// The target's name.
    pub target: Option<&'a str>,
    /// The key of the query's kind.
    pub kind: Option<&'static str>,
    /// The metric's name; None of an expression.
    pub metric: Option<&'a str>,
    /// The expression that is asked for, or else the first one that was sent.
    pub promql: Option<&'a str>,
    /// How often the target was called.
    pub calls: u64,
    /// How many samples it answered.
    pub samples: u64,
    /// How many points the answer has.
    pub points: Option<u64>,
}

/// The beginning of a text: at most [`LONGEST`] bytes, and a mark if more follows.
fn cut(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let beginning = &text[..text.floor_char_boundary(LONGEST)];
    format!("{beginning}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_expression_counts_and_the_calls_add_up() {
        let notes = Notes::default();
        assert_eq!(notes.read(), Noted::default());
        notes.target("cluster");
        notes.metric("__gauge__", "up");
        notes.call(None);
        notes.call(Some("max_over_time(up[1m])"));
        notes.call(Some("up[1h]"));
        notes.samples(3);
        notes.samples(4);
        notes.points(2);
        let expected = Noted {
            target: Some("cluster"),
            kind: Some("__gauge__"),
            metric: Some("up"),
            promql: Some("max_over_time(up[1m])"),
            calls: 3,
            samples: 7,
            points: Some(2),
        };
        assert_eq!(notes.read(), expected);
        let notes = Notes::default();
        notes.expression("~", "up + 1");
        notes.call(Some("max_over_time((up + 1)[1m:])"));
        assert_eq!(notes.read().promql, Some("up + 1"));
    }

    #[test]
    fn calls_are_described_where_somebody_looks_and_the_first_ones_only() {
        let call = |path: &str| CallMade {
            path: path.to_owned(),
            promql: Some("x".repeat(2 * LONGEST)),
            duration: Duration::from_millis(3),
            result: Err("no".to_owned()),
        };
        let notes = Notes::default();
        notes.ended(call("/first"));
        assert_eq!(
            (notes.describes_calls(), notes.calls_made()),
            (false, vec![])
        );
        let notes = Notes::describing_calls();
        notes.ended(call("/first"));
        for _ in 0..2 * MOST_DESCRIBED {
            notes.ended(call("/later"));
        }
        let made = notes.calls_made();
        let expected = CallMade {
            promql: Some(format!("{}…", "x".repeat(LONGEST))),
            ..call("/first")
        };
        assert_eq!((made.len(), &made[0]), (MOST_DESCRIBED, &expected));
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        for (text, length) in [
            ("x".repeat(LONGEST), LONGEST),
            ("x".repeat(LONGEST + 1), LONGEST + '…'.len_utf8()),
            (
                format!("x{}", "é".repeat(LONGEST)),
                LONGEST - 1 + '…'.len_utf8(),
            ),
        ] {
            let cut = cut(&text);
            assert_eq!(cut.len(), length);
            assert!(text.starts_with(cut.trim_end_matches('…')));
        }
    }
}
