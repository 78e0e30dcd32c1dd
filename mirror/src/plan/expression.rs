//! What a `~` expression evaluates to, and how it stands in the text that is sent. Pure.
//!
//! Two things must be known of an expression before it is aggregated: whether it is a number, which
//! no subquery takes, and whether it has a value at an instant at all. The parser says so where it
//! can read the expression; where it cannot (MetricsQL, newer PromQL), the store's own complaint
//! does: see [`shape_in_complaint`].

mod complaint;
mod positions;
#[cfg(test)]
mod tests;

use promql_parser::parser::value::ValueType;

pub use self::complaint::{Wrapping, positions_left_out, shape_in_complaint, without_positions};
use super::aggregation::Method;
use super::distribution::is_put_together;
use super::selector::Matcher;
use super::source::{InnerQuery, MatchingSeries, Pooling, Source};
use super::windowing::Windows;
use super::{PlanError, enforce};

/// What an expression evaluates to at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One number without labels, such as `time()` or `scalar(up)`.
    Scalar,
    /// Series with a value each.
    Vector,
    /// Several samples of each series: `up[5m]`.
    Range,
    /// A text.
    Text,
    /// Nothing but blanks and comments.
    Empty,
    /// The parser cannot read it.
    Unknown,
}

impl Shape {
    /// Why an expression of this shape has no points, and what to do; none where it has.
    #[must_use]
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Range => Some(
                "a range vector has no single value per instant: wrap it in rate(…), avg_over_time(…) or another function that makes one value of a range",
            ),
            Self::Text => {
                Some("a string has no numeric value: write an expression that evaluates to numbers")
            }
            Self::Empty => Some("the expression is empty: write PromQL, such as up"),
            Self::Scalar | Self::Vector | Self::Unknown => None,
        }
    }
}

/// The shape of an expression. Expressions beyond the bounds of [`enforce`] are not parsed, and
/// their shape is unknown.
#[must_use]
pub fn shape(promql: &str) -> Shape {
    let Some(bare) = bare(promql) else {
        return Shape::Unknown;
    };
    if bare.trim().is_empty() {
        return Shape::Empty;
    }
    match enforce::value_type(&bare) {
        Ok(ValueType::Scalar) => Shape::Scalar,
        Ok(ValueType::Vector) => Shape::Vector,
        Ok(ValueType::Matrix) => Shape::Range,
        Ok(ValueType::String) => Shape::Text,
        Err(_) => Shape::Unknown,
    }
}

/// The expression without comments, with `"x"` for each string and without regular expressions:
/// none of these changes the shape. None: it is too long, or a string does not end.
fn bare(promql: &str) -> Option<String> {
    if promql.len() > enforce::MOST_BYTES {
        return None;
    }
    let mut bare = String::with_capacity(promql.len());
    let mut characters = promql.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '#' => {
                while characters.next_if(|inside| *inside != '\n').is_some() {}
                bare.push(' ');
            }
            '"' | '\'' | '`' => {
                loop {
                    match characters.next()? {
                        '\\' if character != '`' => drop(characters.next()?),
                        end if end == character => break,
                        _ => {}
                    }
                }
                bare.push_str("\"x\"");
            }
            '=' | '!' if characters.next_if_eq(&'~').is_some() => {
                bare.push_str(if character == '=' { "=" } else { "!=" });
            }
            other => bare.push(other),
        }
    }
    Some(bare)
}

/// The shape of an expression that may have points.
///
/// # Errors
/// [`PlanError::NoValue`] for the others.
pub(super) fn numeric(promql: &str) -> Result<Shape, PlanError> {
    let shape = shape(promql);
    match shape.refusal() {
        Some(why) => Err(PlanError::NoValue(why)),
        None => Ok(shape),
    }
}

/// The source of the points of an expression of this shape under an aggregation: its values at the
/// target's scrapes, pooled.
pub(super) fn source(
    promql: &str,
    matchers: &[Matcher],
    method: Method,
    windows: &Windows,
    shape: Shape,
) -> Source {
    let scrape = windows.scrape;
    // Several shards put its value at an instant together, and so none of them knows those of a
    // bucket.
    let is_put_together = windows.is_sharded && is_put_together(promql);
    let Some(w) = windows.bucket.filter(|_| !is_put_together) else {
        return Source::Pooled(Pooling {
            inner: InnerQuery::Evaluated {
                promql: promql.to_owned(),
                step: scrape,
            },
            reduce: method.reduce(),
            one_of: Some(matchers.to_vec()),
        });
    };
    let function = method.over_time();
    // Prometheus has no subquery of a number.
    let inner = match shape {
        Shape::Scalar => "vector(",
        _ => "(",
    };
    // The line break ends a comment that the expression may end with.
    Source::Range {
        promql: format!("{function}{inner}{promql}\n)[{w}:{scrape}])"),
        before: function.len() + inner.len(),
        matching: MatchingSeries::Refused(matchers.to_vec()),
    }
}

/// Whether the expression means something else when its range is split, because it names the bounds
/// of the query.
#[must_use]
pub fn is_bound_to_its_range(promql: &str) -> bool {
    let mut dense = bare(promql).unwrap_or_else(|| promql.to_owned());
    dense.retain(|c| !c.is_whitespace());
    dense.contains("@start(") || dense.contains("@end(")
}
