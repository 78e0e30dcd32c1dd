//! Expressions whose value at an instant does not change any more once all samples up to it are
//! there: what may be remembered of a store's answers. Pure.
//!
//! Everything is decided by the parsed expression, and what is not known here is refused.

use promql_parser::parser::{AtModifier, BinaryExpr, Call, Expr, Offset, SubqueryExpr};

use super::distribution::{FunctionKind, kind_of};
use super::enforce::{self, MOST_COMPLETED};
use crate::model::time::Millis;

/// How far before an instant a store looks for the last sample of a series; Prometheus' default.
const LOOKBACK: Millis = Millis(300_000);

/// In whose words an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Prometheus and what evaluates as it does.
    PromQl,
    /// VictoriaMetrics. Of many functions the value at an instant depends on the whole range that
    /// is asked for: on the distance of its last samples, and on the resets in it.
    MetricsQl,
}

/// Why the values of an expression do not last.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Passing {
    /// Not PromQL, or newer than the parser, or beyond the bounds of [`enforce`].
    #[error("the mirror cannot read the expression")]
    Unreadable,
    /// `@`
    #[error("@ reads another time than that of the value")]
    At,
    /// `offset -5m`
    #[error("a negative offset reads what comes after the value")]
    Ahead,
    /// A function or an aggregation which is not known to depend on nothing but the samples before.
    #[error("{0} may depend on more than the samples before the value")]
    Function(String),
    /// `fill`
    #[error("fill has a value where there are no samples")]
    Fill,
    /// A selector of an instant, or a subquery, in VictoriaMetrics.
    #[error("VictoriaMetrics answers this by the whole range that is asked for")]
    OfTheRange,
    /// It reads no series.
    #[error("it reads no series, so that nothing proves that there are samples")]
    NoSeries,
}

/// How far before an instant the samples lie that its value is made of, at most. A value, once all
/// of these are there, does not change any more; and that there is one proves that there are
/// samples.
///
/// # Errors
/// Why the values of the expression do not last.
pub fn looks_back(promql: &str, dialect: Dialect) -> Result<Millis, Passing> {
    let read = enforce::read(promql, MOST_COMPLETED).map_err(|_| Passing::Unreadable)?;
    let back = match dialect {
        Dialect::PromQl => of_promql(&read.expr)?,
        Dialect::MetricsQl => of_metricsql(&read.expr)?,
    };
    back.ok_or(Passing::NoSeries)
}

/// None: no series is read.
type Back = Result<Option<Millis>, Passing>;

fn of_promql(expr: &Expr) -> Back {
    match expr {
        Expr::VectorSelector(selector) => {
            reading(LOOKBACK, selector.offset.as_ref(), selector.at.as_ref())
        }
        Expr::Subquery(subquery) => of_subquery(subquery),
        Expr::Call(call) => {
            let is_scalar = matches!(call.func.name, "time" | "pi");
            let is_known = match kind_of(call.func.name) {
                // Without arguments, those of the time have a value where there are no samples.
                FunctionKind::OfEach => !call.args.args.is_empty(),
                FunctionKind::Relabels | FunctionKind::Quantile => true,
                FunctionKind::Orders | FunctionKind::Other => false,
            };
            of_arguments(call, is_scalar || is_known, of_promql)
        }
        other => of_both(other, of_promql),
    }
}

/// Of windows that are written down, and functions that look at nothing but the samples in them.
fn of_metricsql(expr: &Expr) -> Back {
    const OF_A_WINDOW: [&str; 8] = [
        "avg_over_time",
        "count_over_time",
        "last_over_time",
        "max_over_time",
        "min_over_time",
        "present_over_time",
        "quantile_over_time",
        "sum_over_time",
    ];
    match expr {
        Expr::VectorSelector(_) | Expr::Subquery(_) => Err(Passing::OfTheRange),
        Expr::Call(call) => of_arguments(call, OF_A_WINDOW.contains(&call.func.name), of_metricsql),
        other => of_both(other, of_metricsql),
    }
}

/// What both languages evaluate alike. `of` is for what is within.
fn of_both(expr: &Expr, of: fn(&Expr) -> Back) -> Back {
    match expr {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(None),
        Expr::Paren(paren) => of(&paren.expr),
        Expr::Unary(unary) => of(&unary.expr),
        Expr::MatrixSelector(matrix) => {
            let (offset, at) = (matrix.vs.offset.as_ref(), matrix.vs.at.as_ref());
            reading(matrix.range.into(), offset, at)
        }
        Expr::Aggregate(aggregate) => {
            // Of equal elements, topk and the like take those that come first.
            const KNOWN: [&str; 10] = [
                "avg",
                "count",
                "count_values",
                "group",
                "max",
                "min",
                "quantile",
                "stddev",
                "stdvar",
                "sum",
            ];
            let name = aggregate.op.to_string();
            if !KNOWN.contains(&name.as_str()) {
                return Err(Passing::Function(name));
            }
            let parameter = match &aggregate.param {
                Some(parameter) => of(parameter)?,
                None => None,
            };
            Ok(parameter.max(of(&aggregate.expr)?))
        }
        Expr::Binary(binary) => of_operator(binary, of),
        Expr::VectorSelector(_) | Expr::Subquery(_) | Expr::Call(_) | Expr::Extension(_) => {
            Err(Passing::Unreadable)
        }
    }
}

fn of_operator(binary: &BinaryExpr, of: fn(&Expr) -> Back) -> Back {
    let fills = binary.modifier.as_ref().is_some_and(|modifier| {
        modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some()
    });
    if fills {
        return Err(Passing::Fill);
    }
    Ok(of(&binary.lhs)?.max(of(&binary.rhs)?))
}

fn of_arguments(call: &Call, is_known: bool, of: fn(&Expr) -> Back) -> Back {
    if !is_known {
        return Err(Passing::Function(call.func.name.to_owned()));
    }
    let mut longest = None;
    for argument in &call.args.args {
        longest = longest.max(of(argument)?);
    }
    Ok(longest)
}

fn of_subquery(subquery: &SubqueryExpr) -> Back {
    let inner = of_promql(&subquery.expr)?;
    let window = reading(
        subquery.range.into(),
        subquery.offset.as_ref(),
        subquery.at.as_ref(),
    )?;
    Ok(inner
        .zip(window)
        .map(|(inner, window)| longer(inner, window)))
}

/// What a selector reads that looks back so far.
fn reading(window: Millis, offset: Option<&Offset>, at: Option<&AtModifier>) -> Back {
    if at.is_some() {
        return Err(Passing::At);
    }
    match offset {
        None => Ok(Some(window)),
        Some(Offset::Pos(offset)) => Ok(Some(longer(window, (*offset).into()))),
        Some(Offset::Neg(_)) => Err(Passing::Ahead),
    }
}

fn longer(one: Millis, by: Millis) -> Millis {
    Millis(one.0.saturating_add(by.0))
}

#[cfg(test)]
mod tests;
