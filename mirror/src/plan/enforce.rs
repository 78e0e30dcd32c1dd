//! Label matchers that every selector gets, the user's and the mirror's, so that a request never
//! reads series outside them. Pure.
//!
//! What the mirror itself writes gets them as conditions. An expression of a user is parsed, each
//! of its selectors is completed, and the expression is written again; it must then be read as
//! exactly what was written, or it is refused. So is everything that the parser does not know: an
//! expression never goes out as it came.

mod lex;
mod stand_in;
#[cfg(test)]
mod tests;

use promql_parser::label::{MatchOp, Matcher as PromqlMatcher};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{self, Expr, VectorSelector};

use self::lex::{Token, TokenKind};
use self::stand_in::stand_in;
use super::kind::QueryKind;
use super::selector::{Matcher, Selector};
use crate::model::enforced::Enforced;

/// So long may an expression be, in bytes.
pub(super) const MOST_BYTES: usize = 8 << 10;
/// So deep may brackets be nested.
const MOST_NESTED: usize = 64;
/// So many operators may an expression have: each may be a level of the parsed tree, which is
/// walked recursively.
const MOST_OPERATORS: usize = 200;
/// So many matchers may it have.
const MOST_MATCHERS: usize = 1000;
/// So many selectors may it have. Alternatives within one count, each gets all that is enforced.
const MOST_SELECTORS: usize = 256;
/// So long may it be with all that is enforced, in bytes.
pub(super) const MOST_COMPLETED: usize = 256 << 10;

/// Why an expression cannot be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnforceError {
    /// See [`MOST_BYTES`].
    #[error("it is longer than {MOST_BYTES} bytes")]
    TooLong,
    /// See [`MOST_NESTED`].
    #[error("its brackets are nested more than {MOST_NESTED} deep")]
    TooDeep,
    /// See [`MOST_OPERATORS`].
    #[error("it has more than {MOST_OPERATORS} operators")]
    TooManyOperators,
    /// See [`MOST_MATCHERS`].
    #[error("it has more than {MOST_MATCHERS} label matchers")]
    TooManyMatchers,
    /// See [`MOST_SELECTORS`].
    #[error("it has more than {MOST_SELECTORS} selectors")]
    TooManySelectors,
    /// See [`MOST_COMPLETED`].
    #[error("it is longer than {MOST_COMPLETED} bytes with the matchers in each of its selectors")]
    CompletedTooLong,
    /// The parser, or Prometheus, has no value for it.
    #[error("a number, duration or time in it is beyond what PromQL can hold")]
    OutOfRange,
    /// A comment, where a parser could begin to read otherwise.
    #[error("it has a comment; leave it out")]
    Comment,
    /// Not PromQL, or newer than the parser, or of another language.
    #[error("it is not PromQL that this mirror can read")]
    Unreadable,
    /// A function that reads series which no selector names.
    #[error("it calls info(), which reads series that no selector names")]
    Info,
}

impl Enforced {
    /// What is asked for, within these matchers.
    ///
    /// # Errors
    /// If it is an expression that cannot be completed with certainty.
    pub fn kind(&self, kind: QueryKind) -> Result<QueryKind, EnforceError> {
        match kind {
            QueryKind::Expression { promql, matchers } if !self.0.is_empty() => {
                Ok(QueryKind::Expression {
                    promql: self.expression(&promql)?,
                    matchers,
                })
            }
            kind => Ok(kind.map(|selector| self.selector(selector))),
        }
    }

    /// The conditions of a query for fields, of which no expression is ever sent.
    #[must_use]
    pub fn conditions(
        &self,
        kind: Option<QueryKind>,
        matchers: Vec<Matcher>,
    ) -> (Option<QueryKind>, Vec<Matcher>) {
        let kind = kind.map(|kind| kind.map(|selector| self.selector(selector)));
        (kind, matchers.into_iter().chain(self.matchers()).collect())
    }

    fn matchers(&self) -> impl Iterator<Item = Matcher> {
        let pairs = self.0.iter();
        pairs.map(|(label, value)| Matcher::equal(label, value.as_str()))
    }

    fn selector(&self, selector: Selector) -> Selector {
        self.matchers()
            .fold(selector, |selector, matcher| selector.within(matcher))
    }

    fn expression(&self, promql: &str) -> Result<String, EnforceError> {
        let tokens = lex::tokens(checked(promql)?)?;
        check_counts(promql, &tokens)?;
        let stood_in = stand_in(promql, &tokens)?;
        let mut expr = parse(&stood_in.promql)?;
        let pairs = self.0.iter().enumerate();
        let matchers: Vec<_> = pairs
            .map(|(index, (label, _))| {
                PromqlMatcher::new(MatchOp::Equal, label, &stand_in::enforced(index))
            })
            .collect();
        let mut selectors = 0;
        walk(&mut expr, &matchers, &mut selectors)?;
        let printed = expr.to_string();
        if parse(&printed)? != expr {
            return Err(EnforceError::Unreadable);
        }
        let values: Vec<_> = self.0.iter().map(|(_, value)| value.as_str()).collect();
        stood_in.restore(&printed, &values)
    }
}

/// What `promql` evaluates to. Its strings are not read, nor are regular expressions compiled.
///
/// # Errors
/// If it is beyond the bounds, or the parser does not know it.
pub(super) fn value_type(promql: &str) -> Result<ValueType, EnforceError> {
    let tokens = lex::tokens(checked(promql)?)?;
    check_counts(promql, &tokens)?;
    Ok(parse(&stand_in(promql, &tokens)?.promql)?.value_type())
}

/// An expression that the parser has read, without the strings of the user.
pub(super) struct Read {
    /// What it is.
    pub(super) expr: Expr,
    stood_in: stand_in::StoodIn,
}

/// Reads an expression of at most `most_bytes`. Everything in it counts: nothing is refused but
/// what the parser or this module cannot read.
///
/// # Errors
/// If it is beyond the bounds, or the parser does not know it.
pub(super) fn read(promql: &str, most_bytes: usize) -> Result<Read, EnforceError> {
    if promql.len() > most_bytes {
        return Err(EnforceError::TooLong);
    }
    let tokens = lex::tokens(promql)?;
    check_counts(promql, &tokens)?;
    let stood_in = stand_in(promql, &tokens)?;
    let mut expr = parse(&stood_in.promql)?;
    // The order of matchers that they are printed in.
    walk(&mut expr, &[], &mut 0)?;
    Ok(Read { expr, stood_in })
}

impl Read {
    /// A part of the expression as PromQL, with the user's strings.
    ///
    /// # Errors
    /// If what is written would not be read as that part.
    pub(super) fn written(&self, part: &Expr) -> Result<String, EnforceError> {
        let printed = part.to_string();
        if parse(&printed)? != *part {
            return Err(EnforceError::Unreadable);
        }
        self.stood_in.restore_part(&printed)
    }

    /// Whether a matcher's value that the parser saw is compared for equality: to the parser, every
    /// matcher is.
    pub(super) fn is_equality(&self, seen: &str) -> bool {
        self.stood_in.is_equality(seen)
    }

    /// The string that the parser saw a stand-in of.
    pub(super) fn text<'a>(&'a self, seen: &'a str) -> &'a str {
        self.stood_in.text(seen)
    }
}

/// The parser, which must have seen neither regular expressions nor durations that it cannot hold:
/// it compiles the ones and panics at the others. That it cannot is the work of [`lex`]; to catch a
/// panic is the net below, for one that nobody knows yet.
fn parse(promql: &str) -> Result<Expr, EnforceError> {
    match std::panic::catch_unwind(|| parser::parse(promql)) {
        Ok(Ok(expr)) => Ok(expr),
        _ => Err(EnforceError::Unreadable),
    }
}

/// Bounds what is read at all.
fn checked(promql: &str) -> Result<&str, EnforceError> {
    match promql.len() > MOST_BYTES {
        true => Err(EnforceError::TooLong),
        false => Ok(promql),
    }
}

/// Bounds what the parser and the walk get to see: both are recursive.
fn check_counts(promql: &str, tokens: &[Token]) -> Result<(), EnforceError> {
    let (mut nested, mut operators, mut matchers) = (0_usize, 0_usize, 0_usize);
    for token in tokens {
        match token.kind {
            TokenKind::Open => nested += 1,
            TokenKind::Close => nested = nested.saturating_sub(1),
            TokenKind::Operator => operators += 1,
            TokenKind::Match(_) => matchers += 1,
            TokenKind::Word if lex::is_word_operator(&promql[token.start..token.end]) => {
                operators += 1;
            }
            _ => {}
        }
        if nested > MOST_NESTED {
            return Err(EnforceError::TooDeep);
        }
        if operators > MOST_OPERATORS {
            return Err(EnforceError::TooManyOperators);
        }
        if matchers > MOST_MATCHERS {
            return Err(EnforceError::TooManyMatchers);
        }
    }
    Ok(())
}

/// Adds `matchers` to every selector, and counts the selectors.
fn walk(
    expr: &mut Expr,
    matchers: &[PromqlMatcher],
    selectors: &mut usize,
) -> Result<(), EnforceError> {
    match expr {
        Expr::Aggregate(aggregate) => {
            if let Some(parameter) = &mut aggregate.param {
                walk(parameter, matchers, selectors)?;
            }
            walk(&mut aggregate.expr, matchers, selectors)
        }
        Expr::Unary(unary) => walk(&mut unary.expr, matchers, selectors),
        Expr::Binary(binary) => {
            walk(&mut binary.lhs, matchers, selectors)?;
            walk(&mut binary.rhs, matchers, selectors)
        }
        Expr::Paren(paren) => walk(&mut paren.expr, matchers, selectors),
        Expr::Subquery(subquery) => walk(&mut subquery.expr, matchers, selectors),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(()),
        Expr::VectorSelector(selector) => add(selector, matchers, selectors),
        Expr::MatrixSelector(matrix) => add(&mut matrix.vs, matchers, selectors),
        Expr::Call(call) => {
            if call.func.name == "info" {
                return Err(EnforceError::Info);
            }
            call.args
                .args
                .iter_mut()
                .try_for_each(|argument| walk(argument, matchers, selectors))
        }
        Expr::Extension(_) => Err(EnforceError::Unreadable),
    }
}

/// VictoriaMetrics' `{a="b" or c="d"}` has alternatives, each of which must get the matchers.
fn add(
    selector: &mut VectorSelector,
    matchers: &[PromqlMatcher],
    selectors: &mut usize,
) -> Result<(), EnforceError> {
    let all = &mut selector.matchers;
    *selectors += all.or_matchers.len().max(1);
    if *selectors > MOST_SELECTORS {
        return Err(EnforceError::TooManySelectors);
    }
    if all.or_matchers.is_empty() {
        all.matchers.extend_from_slice(matchers);
    }
    for alternative in &mut all.or_matchers {
        alternative.extend_from_slice(matchers);
    }
    // They are written in this order, and must be read as they are here.
    all.matchers.sort_by_cached_key(ToString::to_string);
    Ok(())
}
