//! Which series an expression reads, and when.

use promql_parser::parser::{AtModifier, Expr, Offset, VectorSelector};

use super::NodeReader;
use crate::model::time::Millis;
use crate::plan::distribution::Reads;
use crate::plan::enforce::EnforceError;

/// How far Prometheus looks back for a sample.
const LOOKBACK: Millis = Millis(300_000);

impl NodeReader {
    /// The series that a part reads, each once.
    pub(super) fn reads(&self, expr: &Expr) -> Result<Vec<Reads>, EnforceError> {
        let mut reads = Vec::new();
        self.gather(expr, Some(Millis(0)), Millis(0), &mut reads)?;
        Ok(reads)
    }

    /// The series of a selector, at any time.
    pub(super) fn series(&self, selector: &VectorSelector) -> Result<String, EnforceError> {
        self.read.written(&Expr::VectorSelector(VectorSelector {
            offset: None,
            at: None,
            ..selector.clone()
        }))
    }

    fn gather(
        &self,
        expr: &Expr,
        before: Option<Millis>,
        after: Millis,
        reads: &mut Vec<Reads>,
    ) -> Result<(), EnforceError> {
        match expr {
            Expr::Paren(paren) => self.gather(&paren.expr, before, after, reads),
            Expr::Unary(unary) => self.gather(&unary.expr, before, after, reads),
            Expr::Binary(binary) => {
                self.gather(&binary.lhs, before, after, reads)?;
                self.gather(&binary.rhs, before, after, reads)
            }
            Expr::Aggregate(aggregate) => {
                if let Some(parameter) = &aggregate.param {
                    self.gather(parameter, before, after, reads)?;
                }
                self.gather(&aggregate.expr, before, after, reads)
            }
            Expr::Call(call) => call
                .args
                .args
                .iter()
                .try_for_each(|arg| self.gather(arg, before, after, reads)),
            Expr::Subquery(subquery) => {
                let range = Millis::from(subquery.range);
                let (before, after) = moved(
                    (before, after),
                    range,
                    subquery.offset.as_ref(),
                    subquery.at.as_ref(),
                );
                self.gather(&subquery.expr, before, after, reads)
            }
            Expr::MatrixSelector(matrix) => {
                let range = Millis::from(matrix.range);
                self.gather_selector(&matrix.vs, range, (before, after), reads)
            }
            Expr::VectorSelector(selector) => {
                self.gather_selector(selector, LOOKBACK, (before, after), reads)
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(()),
            Expr::Extension(_) => Err(EnforceError::Unreadable),
        }
    }

    fn gather_selector(
        &self,
        selector: &VectorSelector,
        range: Millis,
        reach: (Option<Millis>, Millis),
        reads: &mut Vec<Reads>,
    ) -> Result<(), EnforceError> {
        let (before, after) = moved(reach, range, selector.offset.as_ref(), selector.at.as_ref());
        let found = Reads {
            selector: self.series(selector)?,
            before,
            after,
        };
        if !reads.contains(&found) {
            reads.push(found);
        }
        Ok(())
    }
}

/// From how long before to how long after an evaluation something reads, with one more range,
/// offset and instant.
fn moved(
    (before, after): (Option<Millis>, Millis),
    range: Millis,
    offset: Option<&Offset>,
    at: Option<&AtModifier>,
) -> (Option<Millis>, Millis) {
    let (back, ahead) = match offset {
        Some(Offset::Pos(back)) => (Millis::from(*back), Millis(0)),
        Some(Offset::Neg(ahead)) => (Millis(0), Millis::from(*ahead)),
        None => (Millis(0), Millis(0)),
    };
    let longer = |a: Millis, b: Millis| Millis(a.0.saturating_add(b.0));
    let before = before.filter(|_| at.is_none());
    (
        before.map(|before| longer(longer(before, range), back)),
        longer(after, ahead),
    )
}
