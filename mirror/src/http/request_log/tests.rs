//! Whole lines, as the log has them.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse as _;
use http::StatusCode;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

const NEVER: Duration = Duration::from_secs(600);

/// What is logged while `work` is done, in the form of a terminal without its colours.
fn logged(work: impl FnOnce()) -> String {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        io::Write::write(&mut *lines, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn request() -> Request {
    let mut request = Request::new(Body::empty());
    let client = ClientAddress::of(([192, 0, 2, 7], 1).into());
    request.extensions_mut().insert(client);
    request
}

fn entry(sample_percent: u8, slow: Duration) -> Entry {
    let which = LoggedRequests {
        sample_percent,
        slow,
    };
    Entry::begin(which, &mut request())
}

fn ok(body: &'static str) -> Response {
    (StatusCode::OK, body).into_response()
}

#[test]
fn a_line_says_who_asked_what_for_and_how_it_ended() {
    let line = logged(|| {
        let entry = entry(100, NEVER);
        let notes = Arc::clone(&entry.notes);
        notes.metric("__gauge__", "up");
        notes.target("cluster");
        notes.call(Some("up{job=\"a\"}"));
        notes.samples(240);
        notes.points(12);
        entry.answered(&ok("0123456789"), Outcome("ok"));
    });
    let expected = " INFO requests: request outcome=\"ok\" status=200 duration_ms=0 \
                    client=\"192.0.2.7\" target_name=\"cluster\" kind=\"__gauge__\" metric=\"up\" \
                    promql=\"up{job=\\\"a\\\"}\" calls=1 samples=240 points=12 bytes=10\n";
    assert_eq!(line, expected);
}

#[test]
fn a_request_that_nobody_waits_for_any_more_has_a_line_too() {
    let line = logged(|| drop(entry(0, Duration::ZERO)));
    let expected = " WARN requests: slow request outcome=\"abandoned\" duration_ms=0 \
                    client=\"192.0.2.7\" calls=0 samples=0\n";
    assert_eq!(line, expected);
}

#[test]
fn slow_requests_are_always_logged_and_others_as_often_as_the_document_says() {
    let table = [
        (0, NEVER, 0..=0),
        (100, NEVER, 400..=400),
        (0, Duration::ZERO, 400..=400),
        // Beyond these bounds once in a hundred million times.
        (50, NEVER, 140..=260),
    ];
    for (percent, slow, expected) in table {
        let lines = logged(|| {
            for _ in 0..400 {
                entry(percent, slow).answered(&ok(""), Outcome("ok"));
            }
        });
        let count = lines.lines().count();
        assert!(expected.contains(&count), "{percent} %, {slow:?}: {count}");
    }
}

#[test]
fn text_of_a_user_can_neither_end_a_line_nor_make_it_long() {
    let lines = logged(|| {
        let entry = entry(100, NEVER);
        let notes = Arc::clone(&entry.notes);
        notes.expression(
            "~",
            &format!("up\n\r\u{1b}[31m INFO forged: {}", "x".repeat(1 << 20)),
        );
        notes.target("a\nb");
        entry.answered(&ok(""), Outcome("ok"));
    });
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.len() < 1_300, "{}", lines.len());
    assert!(!lines.trim_end().contains(char::is_control), "{lines}");
    assert!(
        lines.contains(r#"promql="up\n\r\u{1b}[31m INFO forged: xxx"#),
        "{lines}"
    );
}
