//! Which kinds of result a query can have. A store that answers with another kind has not
//! understood what it was asked, however well its numbers can be read.

use crate::prometheus::Call;

/// The kinds of result that are the answer to a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::prometheus) enum Expected {
    /// Whatever Prometheus has: what was asked is not known.
    #[default]
    Any,
    /// A matrix: of an expression over a range of time, and of a range selector.
    Matrix,
    /// A vector, a scalar or a string: of any other expression at one instant.
    Vector,
}

impl Expected {
    /// What `call` can be answered with.
    pub(in crate::prometheus) fn of(call: &Call) -> Self {
        match call {
            Call::Range { .. } | Call::Samples { .. } => Self::Matrix,
            Call::Instant { promql, .. } if selects_range(promql) => Self::Matrix,
            Call::Instant { .. } => Self::Vector,
            _ => Self::Any,
        }
    }

    /// Whether the series of the result may have one value.
    pub(super) fn is_vector(self) -> bool {
        self != Self::Matrix
    }

    /// Whether the series of the result may have a list of values.
    pub(super) fn is_matrix(self) -> bool {
        self != Self::Vector
    }

    /// Whether a result may have this `resultType`. One that Prometheus does not have is found
    /// elsewhere.
    pub(super) fn check_kind(self, result_type: &str) -> Result<(), &'static str> {
        match (self, result_type) {
            (Self::Matrix, "vector" | "scalar" | "string") => {
                Err("its resultType is not matrix, which is the only one that this query has")
            }
            (Self::Vector, "matrix") => {
                Err("its resultType is matrix, which this query at one instant cannot have")
            }
            _ => Ok(()),
        }
    }
}

/// Whether an expression is a range selector or a subquery: square brackets stand outside all
/// others and outside strings. The expression is valid, or the store answers no result.
fn selects_range(promql: &str) -> bool {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut is_escaped = false;
    for byte in promql.bytes() {
        match (quote, byte) {
            (Some(_), _) if is_escaped => is_escaped = false,
            // Nothing is escaped between back quotes.
            (Some(b'"' | b'\''), b'\\') => is_escaped = true,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'' | b'`') => quote = Some(byte),
            (None, b'[') if depth == 0 => return true,
            (None, b'(' | b'{') => depth += 1,
            (None, b')' | b'}') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_outside_all_others_select_a_range() {
        for selector in [
            "up[5m]",
            r#"{"a.b",c="[",d='\'',e=`\`}[300001ms]"#,
            "up[5m] offset 1m",
            "sum(up)[1h:5m] @ end()",
        ] {
            assert!(selects_range(selector), "{selector}");
        }
        for vector in [
            "vector(1)",
            "up",
            r#"up{a="x[5m]"}"#,
            r#"up{a="\"[5m]"}"#,
            "rate(up[5m])",
            "sum(rate(up[5m])) by (a)",
            "1",
            r#""[5m]""#,
        ] {
            assert!(!selects_range(vector), "{vector}");
        }
    }
}
