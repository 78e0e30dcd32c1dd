//! The fields of spans in lines of JSON. Every request has a span, so that the lines on its behalf
//! carry its id; most requests have no line. The library's own writer takes nine times as long: it
//! puts the fields into a map first.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, FormattedFields};

/// The fields of most spans have fewer bytes.
const USUAL: usize = 160;

/// Writes them as an object. A field that is recorded again is there twice, and the last one
/// counts, as for every reader of JSON here.
#[derive(Debug)]
pub(super) struct SpanFields;

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut object = String::with_capacity(USUAL);
        append(&mut object, fields)?;
        writer.write_str(&object)
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        append(&mut current.fields, fields)
    }
}

/// Adds fields to an object, or begins one.
fn append(object: &mut String, fields: impl RecordFields) -> fmt::Result {
    match object.pop() {
        None => object.push('{'),
        // The end of it.
        Some(_) if object.len() > 1 => object.push(','),
        Some(_) => {}
    }
    fields.record(&mut Members(object));
    if object.ends_with(',') {
        object.pop();
    }
    object.push('}');
    Ok(())
}

/// The members of an object, each with a comma behind it.
struct Members<'a>(&'a mut String);

impl Members<'_> {
    fn add(&mut self, field: &Field, write: impl FnOnce(&mut String)) {
        let Self(object) = self;
        let name = field.name();
        string(object, name.strip_prefix("r#").unwrap_or(name));
        object.push(':');
        write(object);
        object.push(',');
    }
}

impl Visit for Members<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, |object| string(object, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, |object| object.push_str(&value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, |object| object.push_str(&value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, |object| object.push_str(&value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let value = serde_json::Value::from(value);
        self.add(field, |object| object.push_str(&value.to_string()));
    }
}

/// A JSON string. Names, ids and the like need no escapes.
fn string(text: &mut String, value: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if value.bytes().all(is_plain) {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        text.push_str(&serde_json::Value::from(value).to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn read(&self) -> String {
            let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8(written.clone()).expect("a text")
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// The span in the line of an event within it.
    fn span_of(subscriber: impl tracing::Subscriber + Send + Sync, lines: &Lines) -> Value {
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::error_span!(
                "request",
                id = "a \"b\"\n\u{1}ä",
                plain = "metric",
                count = 3_u64,
                less = -4_i64,
                share = 0.5,
                none = f64::NAN,
                is_late = true,
                found = ?Some("x"),
                r#type = "t",
                later = tracing::field::Empty,
                otel.kind = "server",
            );
            span.record("later", "ERROR");
            span.record("plain", "again");
            span.in_scope(|| tracing::error!("an event"));
        });
        let line: Value = serde_json::from_str(&lines.read()).expect("JSON");
        line["span"].clone()
    }

    #[test]
    fn fields_are_those_that_the_library_writes() {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt().with_writer(lines.clone()).json();
        let ours = span_of(layer.fmt_fields(SpanFields).finish(), &lines);
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt().with_writer(lines.clone()).json();
        assert_eq!(ours, span_of(layer.finish(), &lines));
        assert_eq!(ours["later"], json!("ERROR"));
    }

    #[test]
    fn a_span_may_have_no_fields_at_first() {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt().with_writer(lines.clone()).json();
        tracing::subscriber::with_default(layer.fmt_fields(SpanFields).finish(), || {
            let span = tracing::error_span!("request", one = tracing::field::Empty, two = true);
            span.record("one", 1);
            span.in_scope(|| tracing::error!("an event"));
        });
        let line: Value = serde_json::from_str(&lines.read()).expect("JSON");
        let expected = json!({"name": "request", "one": 1, "two": true});
        assert_eq!(line["span"], expected);
    }
}
