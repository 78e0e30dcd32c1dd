//! What an answer says, put together from its values.

use super::grammar::Container;
use super::place::{Key, Place};
use super::token::Token;
use super::{Decoded, MOST_REMARKS, allocated, number};
use crate::model::series::{HistogramSample, Series};
use crate::model::time::Timestamp;
use crate::prometheus::remarks::Remark;
use crate::prometheus::{Answer, Arrival, Data, Held};

/// No series has more labels. The stores that have a limit of their own have a far lower one.
const MOST_LABELS: u32 = 1_000;

const LABEL_TWICE: &str = "it has a series with the same label twice";

const OUT_OF_ORDER: &str = "it has samples that are not in the order of time";

const OTHER_TYPE: &str = "it has a value of another type than Prometheus has there";

/// The answer as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Parts {
    status: Option<String>,
    error_kind: String,
    error: String,
    remarks: Vec<Remark>,
    is_partial: bool,
    result_type: Option<String>,
    has_result: bool,
    series: Vec<Series>,
    /// What is allocated for `series`, in bytes.
    pub(super) allocated: u64,
    /// The series whose object is open.
    pub(super) open: Series,
    pub(super) open_has: Has,
    /// The name of the label whose value comes next.
    pub(super) label: String,
    /// The timestamp of the pair that is open.
    at: Option<Timestamp>,
    /// `count` and `sum` of the native histogram that is open.
    count: Option<f64>,
    sum: Option<f64>,
    /// A result that is a pair itself, a scalar or a string: its timestamp, then all of it.
    pub(super) pair_at: Option<Timestamp>,
    pair: Option<(Timestamp, String)>,
}

/// What came of the series whose object is open.
#[derive(Debug)]
pub(super) struct Has {
    metric: bool,
    /// `value`, `values`, `histogram` or `histograms`
    samples: bool,
    labels: u32,
    /// What is allocated for the labels, in bytes.
    allocated: u64,
    /// The latest sample's and histogram's timestamps.
    pub(super) latest: Timestamp,
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

impl Parts {
    /// An array or object begins.
    pub(super) fn opened(&mut self, place: Place) {
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

    /// An array or object ends.
    pub(super) fn closed(&mut self, container: Container) -> Result<(), &'static str> {
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

    /// A value comes that is no array and no object.
    pub(super) fn scalar(
        &mut self,
        Container {
            place, key, index, ..
        }: Container,
        scalar: Token<'_>,
    ) -> Result<(), &'static str> {
        match (place, key, scalar) {
            (Place::Ignored, ..) => Ok(()),
            (Place::Root, _, scalar) => self.of_root(key, scalar),
            (Place::Data, _, scalar) => self.of_data(key, scalar),
            (Place::Metric, _, Token::String(value)) => self.label(&value),
            (Place::Warnings | Place::Infos, ..) if index >= MOST_REMARKS => {
                Err("it has more than 10000 warnings or infos")
            }
            (Place::Warnings, _, Token::String(text)) => {
                Remark::warning(&text).keep_in(&mut self.remarks);
                Ok(())
            }
            (Place::Infos, _, Token::String(text)) => {
                Remark::info(&text).keep_in(&mut self.remarks);
                Ok(())
            }
            (Place::Sample | Place::HistogramPair, _, Token::Number(text)) if index == 0 => {
                self.at = Some(timestamp(text)?);
                Ok(())
            }
            (Place::Sample, _, Token::String(text)) if index == 1 => self.sample(&text),
            (Place::Result, _, Token::Number(text)) if index == 0 => {
                self.pair_at = Some(timestamp(text)?);
                Ok(())
            }
            (Place::Result, _, Token::String(text)) if index == 1 => {
                let at = self.pair_at.ok_or("it has a scalar without a timestamp")?;
                self.pair = Some((at, text.into_owned()));
                Ok(())
            }
            (Place::Histogram, Key::Count, Token::String(text)) => {
                self.count = Some(float(&text)?);
                Ok(())
            }
            (Place::Histogram, Key::Sum, Token::String(text)) => {
                self.sum = Some(float(&text)?);
                Ok(())
            }
            (
                Place::Element,
                Key::Value | Key::Values | Key::Histogram | Key::Histograms,
                Token::Null,
            ) => {
                self.open_has.samples = true;
                Ok(())
            }
            (Place::Infos, ..) | (Place::Element | Place::Histogram, Key::Unknown, _) => Ok(()),
            _ => Err(OTHER_TYPE),
        }
    }

    fn of_root(&mut self, key: Key, scalar: Token<'_>) -> Result<(), &'static str> {
        match (key, scalar) {
            (Key::Status, Token::String(text)) => self.status = Some(text.into_owned()),
            (Key::ErrorType, Token::String(text)) => self.error_kind = text.into_owned(),
            (Key::Error, Token::String(text)) => self.error = text.into_owned(),
            (Key::IsPartial, Token::Bool(is_partial)) => self.is_partial = is_partial,
            (Key::Unknown, _)
            | (
                Key::Data
                | Key::Warnings
                | Key::Infos
                | Key::IsPartial
                | Key::ErrorType
                | Key::Error,
                Token::Null,
            ) => {}
            _ => return Err(OTHER_TYPE),
        }
        Ok(())
    }

    fn of_data(&mut self, key: Key, scalar: Token<'_>) -> Result<(), &'static str> {
        match (key, scalar) {
            (Key::ResultType, Token::String(text)) => self.result_type = Some(text.into_owned()),
            // Go writes an empty list that was never made as null.
            (Key::Result, Token::Null) => self.has_result = true,
            (Key::Unknown, _) => {}
            _ => return Err(OTHER_TYPE),
        }
        Ok(())
    }

    /// The value of the label whose name came last.
    fn label(&mut self, value: &str) -> Result<(), &'static str> {
        let has = &mut self.open_has;
        has.labels += 1;
        if has.labels > MOST_LABELS {
            return Err("it has a series with more than 1000 labels");
        }
        has.allocated += allocated::label(has.labels, &self.label, value);
        let name = std::mem::take(&mut self.label);
        match self.open.labels.insert(name, value.to_owned()) {
            None => Ok(()),
            Some(_) => Err(LABEL_TWICE),
        }
    }

    /// The value of the sample whose time came last.
    fn sample(&mut self, value: &str) -> Result<(), &'static str> {
        let at = self.at.ok_or("it has a sample without a timestamp")?;
        number::check_value(value.as_bytes())?;
        // The same time twice is what VictoriaMetrics has where a sample was written twice.
        if at < self.open_has.latest {
            return Err(OUT_OF_ORDER);
        }
        self.open_has.latest = at;
        self.open.samples.push(at, value);
        Ok(())
    }

    /// What is allocated for the series whose object is open, in bytes.
    pub(super) fn of_open(&self) -> u64 {
        self.open_has.allocated + allocated::samples(&self.open)
    }

    /// The answer, if it is one.
    pub(super) fn into_decoded(mut self) -> Result<Decoded, &'static str> {
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
            data: Data::Series(self.series),
            must_not_be_kept: false,
            held: Held::default(),
            arrival: Arrival::default(),
        }))
    }
}

fn timestamp(text: &[u8]) -> Result<Timestamp, &'static str> {
    number::timestamp(text).ok_or("it has a timestamp out of range")
}

fn float(text: &str) -> Result<f64, &'static str> {
    const REASON: &str = "it has a native histogram whose count or sum is not a number";
    number::check_value(text.as_bytes()).map_err(|_| REASON)?;
    text.parse().map_err(|_| REASON)
}
