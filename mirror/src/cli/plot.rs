//! Points as a line chart of braille dots: two dots a column, four a row.

mod dots;

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use self::dots::Dots;
use super::table::Point;
use crate::model::time::Timestamp;

/// How a chart is drawn.
#[derive(Clone, Debug)]
pub struct Canvas {
    /// Characters in a line.
    pub width: usize,
    /// Lines of the chart proper.
    pub height: usize,
    /// The time axis' zone.
    pub zone: TimeZone,
}

/// Draws `points` (ascending) over the time from `from` to `to`. Where points are missing, so is
/// the line.
#[must_use]
pub fn render(points: &[Point], from: Timestamp, to: Timestamp, canvas: &Canvas) -> String {
    let finite: Vec<Point> = points
        .iter()
        .copied()
        .filter(|point| point.value.is_finite())
        .collect();
    let Some(last) = finite.last() else {
        return if points.is_empty() {
            "no points\n".into()
        } else {
            "no finite points\n".into()
        };
    };
    let (low, high) = finite
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
            (low.min(point.value), high.max(point.value))
        });
    let labels: Vec<String> = (0..canvas.height)
        .map(|row| label_of_row(row, canvas.height, low, high))
        .collect();
    let label_width = labels.iter().map(String::len).max().unwrap_or(0);
    let columns = canvas.width.saturating_sub(label_width + 2).max(8);

    let (from, to) = (from.min(finite[0].at), to.max(last.at));
    let dots = dots(&finite, (from, to), (low, high), (columns, canvas.height));
    let mut text = String::new();
    // Writing into a String cannot fail.
    for (label, line) in labels.iter().zip(dots.lines()) {
        let _ = writeln!(
            text,
            "{label:>label_width$} ┤{}",
            line.trim_end_matches('\u{2800}')
        );
    }
    let (left, right) = (
        clock(from, to, from, &canvas.zone),
        clock(from, to, to, &canvas.zone),
    );
    let between = columns.saturating_sub(left.chars().count() + right.chars().count());
    let _ = writeln!(text, "{:label_width$} └{}", "", "─".repeat(columns));
    let _ = writeln!(
        text,
        "{:label_width$}  {left}{}{right}",
        "",
        " ".repeat(between)
    );
    text + &summary(points.len(), finite.len(), (low, high), last.value)
}

/// The line through `points`, each with the one before unless there is a gap.
fn dots(
    points: &[Point],
    (from, to): (Timestamp, Timestamp),
    (low, high): (f64, f64),
    (columns, height): (usize, usize),
) -> Dots {
    let mut dots = Dots::new(columns, height);
    let span = (to.since(from).0 as f64).max(1.0);
    let place = |point: &Point| {
        let x = point.at.since(from).0 as f64 / span * (columns * 2 - 1) as f64;
        // Halves first: the whole range of two huge values may overflow.
        let part = if high > low {
            (point.value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0)
        } else {
            0.5
        };
        (
            x.round() as i64,
            ((1.0 - part) * (height * 4 - 1) as f64).round() as i64,
        )
    };
    let gap = gap_from(points);
    for (index, point) in points.iter().enumerate() {
        match index
            .checked_sub(1)
            .map(|before| &points[before])
            .filter(|before| point.at.since(before.at).0 <= gap)
        {
            Some(before) => dots.line(place(before), place(point)),
            None => dots.line(place(point), place(point)),
        }
    }
    dots
}

/// The line below the chart.
fn summary(points: usize, finite: usize, (low, high): (f64, f64), last: f64) -> String {
    let note = match points - finite {
        0 => String::new(),
        left_out => format!(", {left_out} not finite"),
    };
    format!(
        "min {}  max {}  last {}  ({points} points{note})\n",
        short(low),
        short(high),
        short(last),
    )
}

/// Points further apart than this (ms) are not joined: twice the usual distance.
fn gap_from(points: &[Point]) -> i64 {
    let mut distances: Vec<i64> = points
        .windows(2)
        .map(|pair| pair[1].at.since(pair[0].at).0)
        .collect();
    distances.sort_unstable();
    distances
        .get(distances.len() / 2)
        .map_or(0, |usual| usual.saturating_mul(2))
}

/// The value at a row's middle, on the top, middle and bottom rows; others have none.
fn label_of_row(row: usize, height: usize, low: f64, high: f64) -> String {
    let last = height.saturating_sub(1);
    if low == high {
        return if row == height / 2 {
            short(low)
        } else {
            String::new()
        };
    }
    match row {
        0 => short(high),
        _ if row == last => short(low),
        _ if row * 2 == last => short(low / 2.0 + high / 2.0),
        _ => String::new(),
    }
}

/// At most five significant digits, with a power of ten where plain digits would be long.
fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e9).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = (4 - size.log10().floor() as i32).clamp(0, 8) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').into()
    } else {
        text
    }
}

/// An end of the time axis: with the date when the axis spans more than a day, the zone always.
fn clock(from: Timestamp, to: Timestamp, at: Timestamp, zone: &TimeZone) -> String {
    const DAY_MS: i64 = 86_400_000;
    let format = if to.since(from).0 < DAY_MS {
        "%H:%M:%S %Z"
    } else {
        "%m-%d %H:%M %Z"
    };
    jiff::Timestamp::from_millisecond(at.0).map_or_else(
        |_| at.to_string(),
        |instant| instant.to_zoned(zone.clone()).strftime(format).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[(i64, f64)]) -> String {
        let points: Vec<Point> = values
            .iter()
            .map(|(second, value)| Point {
                value: *value,
                at: Timestamp(second * 1000),
                end: None,
            })
            .collect();
        render(
            &points,
            Timestamp(0),
            Timestamp(60_000),
            &Canvas {
                width: 30,
                height: 3,
                zone: TimeZone::UTC,
            },
        )
    }

    #[test]
    fn a_rising_line_goes_from_the_lower_left_to_the_upper_right() {
        let values: Vec<(i64, f64)> = (0..=6).map(|step| (step * 10, step as f64)).collect();
        let drawn = chart(&values);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(
            lines[3..],
            [
                "  └───────────────────────────",
                "   00:00:00 UTC   00:01:00 UTC",
                "min 0  max 6  last 6  (7 points)"
            ]
        );
        assert!(
            lines[0].starts_with("6 ┤")
                && lines[1].starts_with("3 ┤")
                && lines[2].starts_with("0 ┤"),
            "{drawn}"
        );
        assert!(
            lines[0].contains("┤\u{2800}") && lines[0].chars().count() == 30,
            "{drawn}"
        );
        assert!(
            !lines[2].contains("┤\u{2800}") && lines[2].chars().count() < 16,
            "{drawn}"
        );
    }

    #[test]
    fn where_points_are_missing_so_is_the_line() {
        let drawn = chart(&[
            (0, 1.0),
            (5, 1.0),
            (10, 1.0),
            (50, 1.0),
            (55, 1.0),
            (60, 1.0),
        ]);
        let line = drawn.lines().nth(1).unwrap();
        let cells: Vec<char> = line.chars().skip(3).collect();
        assert!(cells[..5].iter().all(|cell| *cell != '\u{2800}'), "{drawn}");
        assert!(
            cells[6..20].iter().all(|cell| *cell == '\u{2800}'),
            "{drawn}"
        );
        assert!(
            cells[24..].iter().all(|cell| *cell != '\u{2800}'),
            "{drawn}"
        );
    }

    #[test]
    fn charts_of_nothing_one_point_and_extremes_are_drawn_too() {
        assert_eq!(chart(&[]), "no points\n");
        assert_eq!(chart(&[(1, f64::NAN)]), "no finite points\n");
        assert!(
            chart(&[(30, 7.0), (40, f64::INFINITY)])
                .ends_with("min 7  max 7  last 7  (2 points, 1 not finite)\n")
        );
        assert!(chart(&[(0, f64::MIN), (60, f64::MAX)]).contains("1.798e308"));
    }

    #[test]
    fn numbers_are_short() {
        let written = [0.0, 1.0, 0.123_456, 1234.567, 123_456_789.0, 1e12, -1.5e-7].map(short);
        assert_eq!(
            written,
            [
                "0",
                "1",
                "0.12346",
                "1234.6",
                "123456789",
                "1.000e12",
                "-1.500e-7"
            ]
        );
    }
}
