//! Prometheus' JSON, decoded.
//!
//! Answers of instant and range queries may be large, so [`Decoder`] takes them as they arrive, in
//! chunks cut anywhere, and keeps no more of the text than the token that the last chunk ended in.
//! It is a small state machine over JSON's tokens with one short cut: a sample
//! `[1700000000.059,"1.5"]` that lies within a chunk as a whole is read in one go. Keys may come in
//! any order and unknown ones anywhere, because the stores that speak Prometheus' API differ in
//! that.
//!
//! All other answers are small; [`small`] reads them whole.

mod allocated;
mod expected;
mod number;
pub(super) mod small;
mod token;

use std::fmt;

pub(super) use self::expected::Expected;
use self::token::{Token, TokenError};
use super::remarks::Remark;
use super::{Answer, Data};
use crate::model::series::{HistogramSample, Series};
use crate::model::time::Timestamp;

/// What decoding one byte allocates at most, in bytes: an element with one empty label takes the
/// most.
pub(super) const ALLOCATED_PER_BYTE: u64 = 32;

/// No series has more labels. The stores that have a limit of their own have a far lower one.
const MOST_LABELS: u32 = 1_000;

/// No store says more about one answer.
const MOST_REMARKS: u32 = 10_000;

/// Deeper nesting than any answer has (native histogram buckets are at 8).
const MAX_DEPTH: usize = 32;

/// What an answer's body says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decoded {
    /// `status: success`
    Success(Answer),
    /// `status: error`, with Prometheus' `errorType` and `error`.
    Failure {
        /// `errorType`
        kind: String,
        /// `error`
        message: String,
    },
}

/// Why a body is not an answer of Prometheus: the reason, and after how many bytes it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DecodeError {
    reason: String,
    at: usize,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.reason, self.at)
    }
}

impl std::error::Error for DecodeError {}

/// Decodes the body of an instant or range query's answer as it arrives.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// What arrived and could not be decoded yet: the start of a token.
    rest: Vec<u8>,
    /// How far the string at the start of `rest` is known not to end.
    scanned: usize,
    /// How many bytes were decoded.
    decoded: usize,
    expected: Expected,
    /// The containers around the next token, outermost first.
    containers: Vec<Container>,
    expect: Expect,
    parts: Parts,
}

/// What the grammar allows next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

/// A container that is open.
#[derive(Clone, Copy, Debug)]
struct Container {
    place: Place,
    is_object: bool,
    /// Of an object: the key whose value comes next.
    key: Key,
    /// Of an array: how many elements came.
    index: u32,
}

/// What a container means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Root,
    Data,
    /// `result`: series, or the pair that a scalar or a string is.
    Result,
    Element,
    Metric,
    Samples,
    Sample,
    Histograms,
    HistogramPair,
    Histogram,
    Warnings,
    Infos,
    /// Something the mirror does not read.
    Ignored,
}

impl Place {
    fn is_object(self) -> Option<bool> {
        match self {
            Self::Root | Self::Data | Self::Element | Self::Metric | Self::Histogram => Some(true),
            Self::Result
            | Self::Samples
            | Self::Sample
            | Self::Histograms
            | Self::HistogramPair
            | Self::Warnings
            | Self::Infos => Some(false),
            Self::Ignored => None,
        }
    }
}

/// A key that the mirror reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Key {
    Status,
    ErrorType,
    Error,
    Data,
    Warnings,
    Infos,
    IsPartial,
    ResultType,
    Result,
    Metric,
    Value,
    Values,
    Histogram,
    Histograms,
    Count,
    Sum,
    Label,
    #[default]
    Unknown,
}

impl Key {
    fn of(place: Place, name: &str) -> Self {
        match (place, name) {
            (Place::Metric, _) => Self::Label,
            (Place::Root, "status") => Self::Status,
            (Place::Root, "errorType") => Self::ErrorType,
            (Place::Root, "error") => Self::Error,
            (Place::Root, "data") => Self::Data,
            (Place::Root, "warnings") => Self::Warnings,
            (Place::Root, "infos") => Self::Infos,
            (Place::Root, "isPartial") => Self::IsPartial,
            (Place::Data, "resultType") => Self::ResultType,
            (Place::Data, "result") => Self::Result,
            (Place::Element, "metric") => Self::Metric,
            (Place::Element, "value") => Self::Value,
            (Place::Element, "values") => Self::Values,
            (Place::Element, "histogram") => Self::Histogram,
            (Place::Element, "histograms") => Self::Histograms,
            (Place::Histogram, "count") => Self::Count,
            (Place::Histogram, "sum") => Self::Sum,
            _ => Self::Unknown,
        }
    }
}

/// The answer as far as it is known.
#[derive(Debug, Default)]
struct Parts {
    status: Option<String>,
    error_kind: String,
    error: String,
    remarks: Vec<Remark>,
    is_partial: bool,
    result_type: Option<String>,
    has_result: bool,
    series: Vec<Series>,
    /// What is allocated for `series`, in bytes.
    allocated: u64,
    /// The series whose object is open.
    open: Series,
    open_has: Has,
    /// The name of the label whose value comes next.
    label: String,
    /// The timestamp of the pair that is open.
    at: Option<Timestamp>,
    /// `count` and `sum` of the native histogram that is open.
    count: Option<f64>,
    sum: Option<f64>,
    /// A result that is a pair itself, a scalar or a string: its timestamp, then all of it.
    pair_at: Option<Timestamp>,
    pair: Option<(Timestamp, String)>,
}

/// What came of the series whose object is open.
#[derive(Debug)]
struct Has {
    metric: bool,
    /// `value`, `values`, `histogram` or `histograms`
    samples: bool,
    labels: u32,
    /// What is allocated for the labels, in bytes.
    allocated: u64,
    /// The latest sample's and histogram's timestamps.
    latest: Timestamp,
    latest_histogram: Timestamp,
}

impl Default for Has {
    fn default() -> Self {
        Self {
            metric: false,
            samples: false,
            labels: 0,
            allocated: 0,
            latest: Timestamp(i64::MIN),
            latest_histogram: Timestamp(i64::MIN),
        }
    }
}

impl Decoder {
    /// A decoder of an answer that must be of the expected kind.
    pub(super) fn new(expected: Expected) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    /// How many bytes are allocated for what was decoded so far.
    pub(super) fn allocated(&self) -> u64 {
        self.parts.allocated + self.parts.of_open() + self.rest.capacity() as u64
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// What came so far cannot be the beginning of an answer of Prometheus.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            let used = self.decode(chunk, false)?;
            self.rest.extend_from_slice(&chunk[used..]);
        } else {
            let mut bytes = std::mem::take(&mut self.rest);
            bytes.extend_from_slice(chunk);
            let used = self.decode(&bytes, false)?;
            bytes.drain(..used);
            self.rest = bytes;
        }
        Ok(())
    }

    /// Says that the body is over.
    ///
    /// # Errors
    /// The body is not an answer of Prometheus.
    pub(super) fn finish(mut self) -> Result<Decoded, DecodeError> {
        let bytes = std::mem::take(&mut self.rest);
        let used = self.decode(&bytes, true)?;
        if self.containers.is_empty() && self.expect == Expect::Value && used == bytes.len() {
            return Err(self.malformed("it is empty"));
        }
        if used < bytes.len() || self.expect != Expect::Nothing {
            return Err(self.malformed("it ends too early"));
        }
        let at = self.decoded;
        self.parts.into_decoded().map_err(|reason| DecodeError {
            reason: reason.to_owned(),
            at,
        })
    }

    fn malformed(&self, reason: impl Into<String>) -> DecodeError {
        DecodeError {
            reason: reason.into(),
            at: self.decoded,
        }
    }

    /// Decodes every token that is complete in `bytes`. Answers how many bytes that took.
    fn decode(&mut self, bytes: &[u8], last: bool) -> Result<usize, DecodeError> {
        let before = self.decoded;
        let mut at = 0;
        loop {
            let scanned = std::mem::take(&mut self.scanned);
            if scanned == 0 {
                at += blanks(&bytes[at..]);
                at += self.samples(&bytes[at..]);
                at += blanks(&bytes[at..]);
            }
            self.decoded = before + at;
            match token::read(&bytes[at..], scanned, last) {
                Ok((token, length)) => {
                    self.token(token).map_err(|reason| self.malformed(reason))?;
                    at += length;
                }
                Err(TokenError::Incomplete { scanned }) => {
                    self.scanned = scanned;
                    return Ok(at);
                }
                Err(error) => return Err(self.malformed(describe(error))),
            }
        }
    }

    /// The short cut: samples of `values` as Prometheus writes them, as many as `bytes` begins
    /// with. Answers how many bytes they took.
    fn samples(&mut self, bytes: &[u8]) -> usize {
        let Some(Container {
            place: Place::Samples,
            index,
            ..
        }) = self.containers.last_mut()
        else {
            return 0;
        };
        let mut used = 0;
        // A sample is taken with the comma before it, so that the state between two samples is
        // always "comma or end".
        loop {
            let mut at = used;
            match self.expect {
                Expect::ValueOrEnd | Expect::Value => {}
                Expect::CommaOrEnd if bytes.get(at) == Some(&b',') => at += 1,
                _ => return used,
            }
            let Some((time, value, length)) = sample(&bytes[at..]) else {
                return used;
            };
            if time < self.parts.open_has.latest {
                // The long way says what is wrong.
                return used;
            }
            self.parts.open_has.latest = time;
            self.parts.open.samples.push(time, value);
            *index = index.saturating_add(1);
            self.expect = Expect::CommaOrEnd;
            used = at + length;
        }
    }

    fn token(&mut self, token: Token<'_>) -> Result<(), &'static str> {
        match (self.expect, token) {
            (Expect::Key | Expect::KeyOrEnd, Token::String(name)) => self.key(&name),
            (Expect::Colon, Token::Colon) => {
                self.expect = Expect::Value;
                Ok(())
            }
            (Expect::CommaOrEnd, Token::Comma) => {
                self.expect = if self.in_object() {
                    Expect::Key
                } else {
                    Expect::Value
                };
                Ok(())
            }
            (Expect::CommaOrEnd | Expect::KeyOrEnd, Token::ObjectEnd) if self.in_object() => {
                self.close()
            }
            (Expect::CommaOrEnd | Expect::ValueOrEnd, Token::ArrayEnd) if !self.in_object() => {
                self.close()
            }
            (Expect::Value | Expect::ValueOrEnd, Token::ObjectStart) => self.open(true),
            (Expect::Value | Expect::ValueOrEnd, Token::ArrayStart) => self.open(false),
            (
                Expect::Value | Expect::ValueOrEnd,
                scalar @ (Token::String(_) | Token::Number(_) | Token::Bool(_) | Token::Null),
            ) => {
                let container = *self.containers.last().ok_or("it is not an object")?;
                if let (Place::Data, Key::ResultType, Token::String(kind)) =
                    (container.place, container.key, &scalar)
                {
                    self.expected.check_kind(kind)?;
                }
                self.parts.scalar(container, scalar)?;
                self.value_ended();
                Ok(())
            }
            (Expect::Nothing, _) => Err("it goes on after its end"),
            _ => Err("it is not JSON"),
        }
    }

    fn in_object(&self) -> bool {
        self.containers
            .last()
            .is_some_and(|container| container.is_object)
    }

    fn key(&mut self, name: &str) -> Result<(), &'static str> {
        let container = self.containers.last_mut().ok_or("it is not an object")?;
        container.key = Key::of(container.place, name);
        if container.key == Key::Label {
            name.clone_into(&mut self.parts.label);
        }
        self.expect = Expect::Colon;
        Ok(())
    }

    fn open(&mut self, is_object: bool) -> Result<(), &'static str> {
        if self.containers.len() >= MAX_DEPTH {
            return Err("it is nested too deeply");
        }
        let place = match self.containers.last() {
            None => Place::Root,
            Some(Container {
                place, key, index, ..
            }) => match (place, key, index) {
                (Place::Root, Key::Data, _) => Place::Data,
                (Place::Root, Key::Warnings, _) => Place::Warnings,
                (Place::Root, Key::Infos, _) => Place::Infos,
                (Place::Data, Key::Result, _) => Place::Result,
                (Place::Result, _, _) if self.parts.pair_at.is_none() => Place::Element,
                (Place::Element, Key::Metric, _) => Place::Metric,
                (Place::Element, Key::Value | Key::Histogram, _) if !self.expected.is_vector() => {
                    return Err("it has a series with one value where it must have a list");
                }
                (Place::Element, Key::Values | Key::Histograms, _)
                    if !self.expected.is_matrix() =>
                {
                    return Err("it has a series with a list where it must have one value");
                }
                (Place::Element, Key::Values, _) => Place::Samples,
                (Place::Element, Key::Value, _) | (Place::Samples, _, _) => Place::Sample,
                (Place::Element, Key::Histograms, _) => Place::Histograms,
                (Place::Element, Key::Histogram, _) | (Place::Histograms, _, _) => {
                    Place::HistogramPair
                }
                (Place::HistogramPair, _, 1) => Place::Histogram,
                (Place::Ignored | Place::Infos, _, _) => Place::Ignored,
                (_, Key::Unknown, _) if self.in_object() => Place::Ignored,
                _ => return Err("it has an array or object where Prometheus has none"),
            },
        };
        if place
            .is_object()
            .is_some_and(|expected| expected != is_object)
        {
            return Err("it has an array where Prometheus has an object, or the other way round");
        }
        self.parts.opened(place);
        self.containers.push(Container {
            place,
            is_object,
            key: Key::Unknown,
            index: 0,
        });
        self.expect = if is_object {
            Expect::KeyOrEnd
        } else {
            Expect::ValueOrEnd
        };
        Ok(())
    }

    fn close(&mut self) -> Result<(), &'static str> {
        let Some(container) = self.containers.pop() else {
            return Err("it is not JSON");
        };
        self.parts.closed(container)?;
        self.value_ended();
        Ok(())
    }

    fn value_ended(&mut self) {
        match self.containers.last_mut() {
            None => self.expect = Expect::Nothing,
            Some(container) => {
                container.index = container.index.saturating_add(1);
                self.expect = Expect::CommaOrEnd;
            }
        }
    }
}

impl Parts {
    fn opened(&mut self, place: Place) {
        match place {
            Place::Result => self.has_result = true,
            Place::Element => {
                (self.open, self.open_has) = (Series::default(), Has::default());
            }
            Place::Metric => self.open_has.metric = true,
            Place::Samples | Place::Histograms => self.open_has.samples = true,
            Place::Sample | Place::HistogramPair => {
                self.open_has.samples = true;
                self.at = None;
            }
            Place::Histogram => (self.count, self.sum) = (None, None),
            _ => {}
        }
    }

    fn closed(&mut self, container: Container) -> Result<(), &'static str> {
        match container.place {
            Place::Element => {
                if !self.open_has.metric {
                    return Err("it has a series without metric");
                }
                if !self.open_has.samples {
                    return Err("it has a series without value and values");
                }
                self.allocated += self.of_open() + allocated::SERIES;
                self.series.push(std::mem::take(&mut self.open));
                self.open_has = Has::default();
            }
            Place::Sample | Place::HistogramPair if container.index != 2 => {
                return Err("it has a sample that is not a pair");
            }
            Place::Result if self.pair_at.is_some() && container.index != 2 => {
                return Err("it has a scalar that is not a pair");
            }
            Place::Histogram => {
                let (Some(at), Some(count), Some(sum)) = (self.at, self.count, self.sum) else {
                    return Err("it has a native histogram without count or sum");
                };
                if at < self.open_has.latest_histogram {
                    return Err(OUT_OF_ORDER);
                }
                self.open_has.latest_histogram = at;
                self.open
                    .histograms
                    .push(HistogramSample { at, count, sum });
            }
            _ => {}
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        Container {
            place, key, index, ..
        }: Container,
        scalar: Token<'_>,
    ) -> Result<(), &'static str> {
        match (place, key, scalar) {
            (Place::Root, Key::Status, Token::String(text)) => {
                self.status = Some(text.into_owned())
            }
            (Place::Root, Key::ErrorType, Token::String(text)) => {
                self.error_kind = text.into_owned()
            }
            (Place::Root, Key::Error, Token::String(text)) => self.error = text.into_owned(),
            (Place::Root, Key::IsPartial, Token::Bool(is_partial)) => self.is_partial = is_partial,
            (Place::Data, Key::ResultType, Token::String(text)) => {
                self.result_type = Some(text.into_owned())
            }
            (Place::Metric, _, Token::String(text)) => {
                let has = &mut self.open_has;
                has.labels += 1;
                if has.labels > MOST_LABELS {
                    return Err("it has a series with more than 1000 labels");
                }
                has.allocated += allocated::label(has.labels, &self.label, &text);
                let name = std::mem::take(&mut self.label);
                if self.open.labels.insert(name, text.into_owned()).is_some() {
                    return Err(LABEL_TWICE);
                }
            }
            (Place::Warnings | Place::Infos, _, _) if index >= MOST_REMARKS => {
                return Err("it has more than 10000 warnings or infos");
            }
            (Place::Warnings, _, Token::String(text)) => {
                Remark::warning(&text).keep_in(&mut self.remarks)
            }
            (Place::Infos, _, Token::String(text)) => {
                Remark::info(&text).keep_in(&mut self.remarks)
            }
            (Place::Sample | Place::HistogramPair | Place::Result, _, Token::Number(text))
                if index == 0 =>
            {
                let at = Some(number::timestamp(text).ok_or("it has a timestamp out of range")?);
                if place == Place::Result {
                    self.pair_at = at;
                } else {
                    self.at = at;
                }
            }
            (Place::Sample, _, Token::String(text)) if index == 1 => {
                let at = self.at.ok_or("it has a sample without a timestamp")?;
                number::check_value(text.as_bytes())?;
                // The same time twice is what VictoriaMetrics has where a sample was written twice.
                if at < self.open_has.latest {
                    return Err(OUT_OF_ORDER);
                }
                self.open_has.latest = at;
                self.open.samples.push(at, &text);
            }
            (Place::Result, _, Token::String(text)) if index == 1 => {
                let at = self.pair_at.ok_or("it has a scalar without a timestamp")?;
                self.pair = Some((at, text.into_owned()));
            }
            (Place::Histogram, Key::Count, Token::String(text)) => self.count = Some(float(&text)?),
            (Place::Histogram, Key::Sum, Token::String(text)) => self.sum = Some(float(&text)?),
            // Go writes an empty list that was never made as null.
            (Place::Data, Key::Result, Token::Null) => self.has_result = true,
            (
                Place::Element,
                Key::Value | Key::Values | Key::Histogram | Key::Histograms,
                Token::Null,
            ) => self.open_has.samples = true,
            (
                Place::Root,
                Key::Data
                | Key::Warnings
                | Key::Infos
                | Key::IsPartial
                | Key::ErrorType
                | Key::Error,
                Token::Null,
            )
            | (Place::Ignored | Place::Infos, _, _)
            | (Place::Root | Place::Data | Place::Element | Place::Histogram, Key::Unknown, _) => {}
            _ => return Err("it has a value of another type than Prometheus has there"),
        }
        Ok(())
    }

    /// What is allocated for the series whose object is open, in bytes.
    fn of_open(&self) -> u64 {
        self.open_has.allocated + allocated::samples(&self.open)
    }

    fn into_decoded(mut self) -> Result<Decoded, &'static str> {
        match self.status.as_deref() {
            Some("success") => {}
            Some("error") => {
                return Ok(Decoded::Failure {
                    kind: self.error_kind,
                    message: self.error,
                });
            }
            _ => return Err("it has no status"),
        }
        if !self.has_result {
            return Err("it has no result");
        }
        match (self.result_type.as_deref(), self.pair) {
            (Some("matrix" | "vector"), None) | (Some("string"), Some(_)) => {}
            (Some("scalar"), Some((at, value)))
                if number::check_value(value.as_bytes()).is_ok() =>
            {
                let mut series = Series::default();
                series.samples.push(at, &value);
                self.series.push(series);
            }
            (None, _) => return Err("it has no resultType"),
            _ => return Err("its result is not of its resultType"),
        }
        Ok(Decoded::Success(Answer {
            remarks: self.remarks,
            is_partial: self.is_partial,
            ..Answer::of(Data::Series(self.series))
        }))
    }
}

/// Reads the sample that `bytes` begins with, in the form that Prometheus gives nearly all of them:
/// its time, its value, its length. `None` if it is written in any other way or is not all there.
#[inline]
fn sample(bytes: &[u8]) -> Option<(Timestamp, &str, usize)> {
    let time = bytes.strip_prefix(b"[")?;
    let (at, time_length) = number::plain_timestamp(time)?;
    let value = time[time_length..].strip_prefix(b",\"")?;
    let value_length = number::plain_number_length(value)?;
    let text = std::str::from_utf8(&value[..value_length]).ok()?;
    value[value_length..].starts_with(b"\"]").then_some((
        at,
        text,
        1 + time_length + 2 + value_length + 2,
    ))
}

fn float(text: &str) -> Result<f64, &'static str> {
    const REASON: &str = "it has a native histogram whose count or sum is not a number";
    number::check_value(text.as_bytes()).map_err(|_| REASON)?;
    text.parse().map_err(|_| REASON)
}

const LABEL_TWICE: &str = "it has a series with the same label twice";

const OUT_OF_ORDER: &str = "it has samples that are not in the order of time";

/// How many bytes of white space `bytes` begins with.
fn blanks(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'))
        .count()
}

fn describe(error: TokenError) -> String {
    match error {
        TokenError::Incomplete { .. } => "it ends too early".to_owned(),
        TokenError::TooLong => "it has a string or number of more than 1 MiB".to_owned(),
        TokenError::InvalidUtf8 => "it has a string that is not UTF-8".to_owned(),
        TokenError::InvalidString => "it has a string that is not JSON's".to_owned(),
        TokenError::InvalidNumber => "it has a number that is not JSON's".to_owned(),
        TokenError::InvalidLiteral => "it has a word that is not JSON's".to_owned(),
        TokenError::Unexpected(byte) => {
            format!("it has {:?} where a value is due", char::from(byte))
        }
    }
}

#[cfg(test)]
mod tests;
