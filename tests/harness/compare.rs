//! Holds points against the truth.

use anyhow::{Result, ensure};

use crate::client::{Answer, Telemetry, telemetry};
use crate::oracle::{Expected, Point};

/// How far an answer is from the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Points compared.
    pub points: usize,
    /// The largest relative deviation of a value.
    pub deviation: f64,
}

impl Agreement {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            points: self.points + other.points,
            deviation: self.deviation.max(other.deviation),
        }
    }
}

/// Compares an answer with what was expected.
///
/// # Errors
/// Says what differs: another error, a point too many or too few, another bucket, or a value that
/// deviates by more than `tolerance`.
pub fn compare(expected: &Expected, answer: &Answer, tolerance: f64) -> Result<Agreement> {
    match expected {
        Expected::Error { kind, status } => {
            let body = answer.json();
            ensure!(
                body["_type"] == *kind && answer.status == *status,
                "expected {kind} with {status}, got {}: {}",
                answer.status,
                answer.body.chars().take(300).collect::<String>()
            );
            Ok(Agreement::default())
        }
        Expected::Points { points, partial } => {
            let telemetry = telemetry(answer)?;
            let agreement = compare_points(points, &telemetry, tolerance)?;
            ensure!(
                telemetry.partial == *partial,
                "isPartial is {}, expected {partial}",
                telemetry.partial
            );
            Ok(agreement)
        }
        Expected::NotRepresentable(_) => Ok(Agreement::default()),
    }
}

fn compare_points(expected: &[Point], telemetry: &Telemetry, tolerance: f64) -> Result<Agreement> {
    let mut got = telemetry.points.iter().peekable();
    let mut deviation: f64 = 0.0;
    for (index, point) in expected.iter().enumerate() {
        let Some((text, start, end)) = got.next() else {
            anyhow::bail!(
                "{} points, expected {}; the first missing one is {point:?}",
                index,
                expected.len()
            );
        };
        ensure!(
            (*start, *end) == (point.start, point.end),
            "point {index} is at [{start}, {end}) with {text}, expected {point:?} ({} points, expected {})",
            telemetry.points.len(),
            expected.len()
        );
        let value: f64 = text.parse()?;
        let distance = |truth: f64| {
            if value == truth {
                0.0
            } else {
                (value - truth).abs() / truth.abs().max(point.scale).max(f64::MIN_POSITIVE)
            }
        };
        let here = point
            .or
            .map_or(f64::INFINITY, distance)
            .min(distance(point.value));
        ensure!(
            here <= tolerance,
            "point {index} is {text}, expected {point:?} (relative deviation {here:e})"
        );
        deviation = deviation.max(here);
    }
    ensure!(
        got.next().is_none(),
        "{} points, expected {}",
        telemetry.points.len(),
        expected.len()
    );
    Ok(Agreement {
        points: expected.len(),
        deviation,
    })
}
