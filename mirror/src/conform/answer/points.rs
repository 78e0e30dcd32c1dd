//! The points of a metric's answer.

use super::Findings;
use super::members::{array, has_type, members, partial};
use crate::conform::finding::{Fault, Note};
use crate::conform::json::Json;
use crate::conform::report::clipped;

/// A point: where it starts, in epoch milliseconds, and for a bucket where it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::conform) struct Point {
    pub value: f64,
    pub start: i64,
    pub end: i64,
}

/// Points of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::conform) struct Telemetry {
    /// As they came, without those that are no points.
    pub points: Vec<Point>,
    pub is_partial: bool,
    /// Nothing is wrong with the answer, so that others can be compared with it.
    pub is_sound: bool,
}

/// The points of a metric, aggregated or raw.
pub(in crate::conform) fn telemetry(
    json: &Json,
    aggregated: bool,
    found: &mut Findings,
) -> Option<Telemetry> {
    members(json, "", &["telemetry", "_type"], found);
    let inner = json.member("telemetry")?;
    let names = ["points", "dataFormat", "isPartial", "_type"];
    members(inner, "telemetry", &names, found);
    let (due, format): (_, &[&str]) = if aggregated {
        (
            "AggregatedMetricTelemetry",
            &["value", "startTimestamp", "endTimestamp"],
        )
    } else {
        ("RawMetricTelemetry", &["value", "timestamp"])
    };
    has_type(inner, "telemetry", due, found);
    let is_partial = partial(inner, "telemetry", found);
    let mut is_known_format = true;
    if let Some(said) = inner.member("dataFormat") {
        let said = array(said, "telemetry.dataFormat", found)?;
        is_known_format = said
            .iter()
            .map(Json::text)
            .eq(format.iter().map(|&name| Some(name)));
        if !is_known_format {
            let said: Vec<String> = (said.iter().take(4))
                .map(|name| name.text().map_or(name.kind().to_owned(), clipped))
                .collect();
            found.add(Fault::DataFormat, || {
                format!("{} is due, not {}", format.join(", "), said.join(", "))
            });
        }
    }
    let elements = array(inner.member("points")?, "telemetry.points", found)?;
    let points = if is_known_format {
        let points = elements.iter().enumerate();
        points
            .filter_map(|(index, element)| point(element, index, format.len(), found))
            .collect()
    } else {
        // They mean something else.
        Vec::new()
    };
    Some(Telemetry {
        points,
        is_partial,
        is_sound: found.is_sound(),
    })
}

fn point(json: &Json, index: usize, fields: usize, found: &mut Findings) -> Option<Point> {
    let here = || format!("telemetry.points[{index}]");
    let Json::Array(elements) = json else {
        found.add(Fault::PointShape, || {
            format!("{} is {}, not an array", here(), json.kind())
        });
        return None;
    };
    let (value, times) = match elements.split_first() {
        Some(parts) if elements.len() == fields => parts,
        _ => {
            found.add(Fault::PointShape, || {
                format!("{} has {} elements, not {fields}", here(), elements.len())
            });
            return None;
        }
    };
    let mut time = |json: &Json| match json {
        Json::Number(_, Some(whole)) => Some(*whole),
        Json::Number(number, None) if number.fract() == 0.0 && number.abs() < 9e15 => {
            found.add(Note::TimestampAsFloat, || format!("{number:?}"));
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            Some(*number as i64)
        }
        other => {
            found.add(Fault::PointShape, || {
                format!(
                    "a timestamp of {} is {}, not a whole number",
                    here(),
                    other.kind()
                )
            });
            None
        }
    };
    let start = time(times.first()?)?;
    let end = time(times.last()?)?;
    match value {
        Json::Number(value, _) => Some(Point {
            value: *value,
            start,
            end,
        }),
        other => {
            found.add(Fault::ValueNotANumber, || {
                format!("the value of {} is {}", here(), other.kind())
            });
            None
        }
    }
}
