//! Points as a table.

use std::fmt::Write as _;

use crate::model::time::Timestamp;

/// One point of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Its value.
    pub value: f64,
    /// When; a bucket's start.
    pub at: Timestamp,
    /// A bucket's end.
    pub end: Option<Timestamp>,
}

/// One line a point under a heading, times first.
#[must_use]
pub fn render(points: &[Point]) -> String {
    let aggregated = points.iter().any(|point| point.end.is_some());
    let width = points
        .iter()
        .map(|point| point.at.rfc3339().len())
        .max()
        .unwrap_or(4);
    let end_width = points
        .iter()
        .filter_map(|point| point.end)
        .map(|end| end.rfc3339().len())
        .max()
        .unwrap_or(0);
    let mut text = if aggregated {
        format!("{:width$}  {:end_width$}  VALUE\n", "START", "END")
    } else {
        format!("{:width$}  VALUE\n", "TIME")
    };
    for point in points {
        // Writing into a String cannot fail.
        let _ = match point.end {
            Some(end) => writeln!(
                text,
                "{:width$}  {:end_width$}  {}",
                point.at.rfc3339(),
                end.rfc3339(),
                point.value
            ),
            None => writeln!(text, "{:width$}  {}", point.at.rfc3339(), point.value),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_points_have_a_time_and_buckets_have_two() {
        let raw = |value, at| Point {
            value,
            at: Timestamp(at),
            end: None,
        };
        assert_eq!(
            render(&[raw(1.5, 1_700_000_000_000), raw(-2.0, 1_700_000_000_250)]),
            "TIME                     VALUE\n\
             2023-11-14T22:13:20Z     1.5\n\
             2023-11-14T22:13:20.25Z  -2\n"
        );
        let bucket = Point {
            value: 0.5,
            at: Timestamp(0),
            end: Some(Timestamp(60_000)),
        };
        assert_eq!(
            render(&[bucket]),
            "START                 END                   VALUE\n1970-01-01T00:00:00Z  1970-01-01T00:01:00Z  0.5\n"
        );
        assert_eq!(render(&[]), "TIME  VALUE\n");
    }
}
