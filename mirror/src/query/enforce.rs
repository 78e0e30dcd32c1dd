//! Label matchers that every selector gets, whoever wrote it, so that a request never reads series outside them. Pure.
//!
//! What the mirror itself writes gets them as conditions. An expression of a user is parsed, each of its selectors is completed, and
//! the result is written anew; it must then be read as exactly what was written, or it is refused. So is everything that the parser
//! does not know: an expression never goes out as it came.

use promql_parser::label::{MatchOp, Matcher as PromqlMatcher};
use promql_parser::parser::{self, Expr, VectorSelector};

use super::Kind;
use super::selector::{Matcher, Selector};

/// So long may an expression be, in bytes.
pub(super) const MOST_BYTES: usize = 8 << 10;
/// So deep may brackets be nested.
const MOST_NESTED: usize = 64;
/// So many operators may an expression have: each may be a level of the parsed tree, which is walked recursively.
const MOST_OPERATORS: usize = 200;
/// A bracket of this kind within a string counts as so many operators: it may repeat a part of a regular expression, and the parser compiles
/// those, up to ten megabytes each.
const REPETITION: usize = 10;

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

/// Labels and the one value that each must have. Empty: nothing is enforced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enforced(pub Vec<(String, String)>);

impl Enforced {
    /// What is asked for, within these matchers.
    ///
    /// # Errors
    /// If it is an expression that cannot be completed with certainty.
    pub fn kind(&self, kind: Kind) -> Result<Kind, EnforceError> {
        match kind {
            Kind::Expression { promql, matchers } if !self.0.is_empty() => Ok(Kind::Expression {
                promql: self.expression(&promql)?,
                matchers,
            }),
            kind => Ok(self.selected(kind)),
        }
    }

    /// The same for all kinds that have a selector; an expression stays as it is.
    fn selected(&self, kind: Kind) -> Kind {
        match kind {
            Kind::Gauge(selector) => Kind::Gauge(self.selector(selector)),
            Kind::Counter(selector) => Kind::Counter(self.selector(selector)),
            Kind::Histogram(selector) => Kind::Histogram(self.selector(selector)),
            Kind::Summary(selector) => Kind::Summary(self.selector(selector)),
            expression @ Kind::Expression { .. } => expression,
        }
    }

    /// The conditions of a query for fields, of which no expression is ever sent.
    #[must_use]
    pub fn conditions(
        &self,
        kind: Option<Kind>,
        matchers: Vec<Matcher>,
    ) -> (Option<Kind>, Vec<Matcher>) {
        let kind = kind.map(|kind| self.selected(kind));
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
        let pairs = self.0.iter();
        let matchers: Vec<_> = pairs
            .map(|(label, value)| PromqlMatcher::new(MatchOp::Equal, label, value))
            .collect();
        complete(promql, &matchers)
    }
}

fn complete(promql: &str, matchers: &[PromqlMatcher]) -> Result<String, EnforceError> {
    check_size(promql)?;
    let mut expr = parser::parse(promql).map_err(|_| EnforceError::Unreadable)?;
    walk(&mut expr, matchers)?;
    let completed = expr.to_string();
    match parser::parse(&completed) {
        Ok(read) if read == expr => Ok(completed),
        _ => Err(EnforceError::Unreadable),
    }
}

/// Bounds what the parser and the walk get to see: both are recursive.
pub(super) fn check_size(promql: &str) -> Result<(), EnforceError> {
    if promql.len() > MOST_BYTES {
        return Err(EnforceError::TooLong);
    }
    let (mut nested, mut operators) = (0_usize, 0_usize);
    let mut characters = promql.chars();
    while let Some(character) = characters.next() {
        match character {
            '(' | '[' | '{' => nested += 1,
            ')' | ']' | '}' => nested = nested.saturating_sub(1),
            '+' | '-' | '*' | '/' | '%' | '^' | '=' | '<' | '>' | '!' => operators += 1,
            '#' => return Err(EnforceError::Comment),
            '"' | '\'' => {
                while let Some(inside) = characters.next() {
                    match inside {
                        '\\' => drop(characters.next()),
                        '{' => operators += REPETITION,
                        end if end == character => break,
                        _ => {}
                    }
                }
            }
            '`' => {
                let raw = characters.by_ref().take_while(|inside| *inside != '`');
                let raw =
                    raw.inspect(|inside| operators += REPETITION * usize::from(*inside == '{'));
                // The parser takes it for the begin of an escape, Prometheus does not. All of the literal is read, whatever is in it.
                if raw.filter(|inside| *inside == '\\').count() > 0 {
                    return Err(EnforceError::Unreadable);
                }
            }
            // Words that are operators stand after a blank or a bracket; what is in a bracket is bounded by itself.
            c if c.is_whitespace() => operators += usize::from(word_follows(characters.as_str())),
            _ => {}
        }
        if nested > MOST_NESTED {
            return Err(EnforceError::TooDeep);
        }
        if operators > MOST_OPERATORS {
            return Err(EnforceError::TooManyOperators);
        }
    }
    Ok(())
}

fn word_follows(rest: &str) -> bool {
    let word: String = rest
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .take(8)
        .collect();
    ["and", "or", "unless", "atan2"].contains(&word.to_ascii_lowercase().as_str())
}

fn walk(expr: &mut Expr, matchers: &[PromqlMatcher]) -> Result<(), EnforceError> {
    match expr {
        Expr::Aggregate(aggregate) => {
            if let Some(parameter) = &mut aggregate.param {
                walk(parameter, matchers)?;
            }
            walk(&mut aggregate.expr, matchers)
        }
        Expr::Unary(unary) => walk(&mut unary.expr, matchers),
        Expr::Binary(binary) => {
            walk(&mut binary.lhs, matchers)?;
            walk(&mut binary.rhs, matchers)
        }
        Expr::Paren(paren) => walk(&mut paren.expr, matchers),
        Expr::Subquery(subquery) => walk(&mut subquery.expr, matchers),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(()),
        Expr::VectorSelector(selector) => {
            add(selector, matchers);
            Ok(())
        }
        Expr::MatrixSelector(matrix) => {
            add(&mut matrix.vs, matchers);
            Ok(())
        }
        Expr::Call(call) => {
            if call.func.name == "info" {
                return Err(EnforceError::Info);
            }
            call.args
                .args
                .iter_mut()
                .try_for_each(|argument| walk(argument, matchers))
        }
        Expr::Extension(_) => Err(EnforceError::Unreadable),
    }
}

/// VictoriaMetrics' `{a="b" or c="d"}` has alternatives, each of which must get the matchers.
fn add(selector: &mut VectorSelector, matchers: &[PromqlMatcher]) {
    let all = &mut selector.matchers;
    if all.or_matchers.is_empty() {
        all.matchers.extend_from_slice(matchers);
    }
    for alternative in &mut all.or_matchers {
        alternative.extend_from_slice(matchers);
    }
    // They are written in this order, and must be read as they are here.
    all.matchers.sort_by_cached_key(ToString::to_string);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enforced(promql: &str) -> Result<String, EnforceError> {
        Enforced(vec![("team".to_owned(), "a\"b\\".to_owned())]).expression(promql)
    }

    /// The matcher that is enforced, as PromQL.
    const M: &str = r#"team="a\"b\\""#;

    #[test]
    fn every_selector_of_an_expression_gets_the_matchers() {
        let table = [
            ("up", "up{M}"),
            ("up{}", "up{M}"),
            (r#"up{job="x"}"#, r#"up{job="x",M}"#),
            (r#"{__name__=~"a.*"}"#, r#"{__name__=~"a.*",M}"#),
            (r#"up{team="other"}"#, r#"up{M,team="other"}"#),
            (
                r#"up{team!="a",x='y"',z=~`b.d`}"#,
                r#"up{team!="a",M,x="y\"",z=~"b.d"}"#,
            ),
            ("rate(a_total[5m])", "rate(a_total{M}[5m])"),
            ("a[1h30m] offset 5m", "a{M}[1h30m] offset 5m"),
            ("a[500ms] offset -1w", "a{M}[500ms] offset -1w"),
            ("a @ 1700000000.123", "a{M} @ 1700000000.123"),
            ("sum(a) by (x)", "sum by (x) (a{M})"),
            ("sum without (x) (a)", "sum without (x) (a{M})"),
            (
                "sum by (x) (a) / on (x) group_left (y) b",
                "sum by (x) (a{M}) / on (x) group_left (y) b{M}",
            ),
            (
                "max_over_time(rate(a[1m])[1h:10s] @ end())",
                "max_over_time(rate(a{M}[1m])[1h:10s] @ end())",
            ),
            (
                "quantile_over_time(0.95, a[5m:])",
                "quantile_over_time(0.95, a{M}[5m:])",
            ),
            ("topk(scalar(a), b)", "topk(scalar(a{M}), b{M})"),
            (
                "-(a) unless b or c and d",
                "-(a{M}) unless b{M} or c{M} and d{M}",
            ),
            (
                "absent(a) and time() - (a + b) * c",
                "absent(a{M}) and time() - (a{M} + b{M}) * c{M}",
            ),
            (
                "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))",
                "histogram_quantile(0.9, sum by (le) (rate(h_bucket{M}[5m])))",
            ),
            (
                r#"label_replace(a, "b", "$1\n\"", "c", "(.*)\\.")"#,
                r#"label_replace(a{M}, "b", "$1\n\"", "c", "(.*)\\.")"#,
            ),
            (r#"{a="b" or c="d"}"#, r#"{a="b", M or c="d", M}"#),
            (
                r#"{"my.metric", "my.label"="v"}"#,
                r#"{"my.label"="v",__name__="my.metric",M}"#,
            ),
            ("vector(1) > bool 0", "vector(1) > bool 0"),
            ("1e3 + Inf - -2 ^ 2", "1000 + Inf - -2 ^ 2"),
        ];
        for (promql, expected) in table {
            let expected = expected.replace('M', M);
            assert_eq!(enforced(promql), Ok(expected), "{promql}");
        }
    }

    #[test]
    fn what_cannot_be_completed_with_certainty_is_refused() {
        let deep = "(".repeat(65) + "a" + &")".repeat(65);
        let long = "a".repeat(8193);
        let (chain, words) = (vec!["a"; 202].join("+"), vec!["a"; 202].join(" or "));
        let minus = "-".repeat(201) + "1";
        let table = [
            ("info(a)", EnforceError::Info),
            ("sum(info(a, {x=\"y\"}))", EnforceError::Info),
            ("a # comment", EnforceError::Comment),
            ("a{", EnforceError::Unreadable),
            ("", EnforceError::Unreadable),
            ("WITH (x = a) x", EnforceError::Unreadable),
            ("nothing_known(a)", EnforceError::Unreadable),
            (r"a{z=~`b\d`}", EnforceError::Unreadable),
            (&deep, EnforceError::TooDeep),
            (&long, EnforceError::TooLong),
            (&chain, EnforceError::TooManyOperators),
            (&words, EnforceError::TooManyOperators),
            (&minus, EnforceError::TooManyOperators),
        ];
        for (promql, expected) in table {
            assert_eq!(enforced(promql), Err(expected), "{promql}");
        }
    }

    #[test]
    fn regular_expressions_that_take_long_to_compile_are_few() {
        let matchers = |count| vec![r#"a=~"(b{9}c){9}""#; count].join(",");
        assert_eq!(
            enforced(&format!("up{{{}}}", matchers(12))),
            Err(EnforceError::TooManyOperators)
        );
        assert!(enforced(&format!("up{{{}}}", matchers(9))).is_ok());
        let raw = ["a=~`(b{90}){9}`"; 12].join(",");
        assert_eq!(
            enforced(&format!("up{{{raw}}}")),
            Err(EnforceError::TooManyOperators)
        );
    }

    #[test]
    fn the_largest_expressions_within_the_bounds_are_completed() {
        for promql in [
            vec!["a"; 200].join("+"),
            vec!["a"; 200].join(" or "),
            "-".repeat(200) + "a",
            "(".repeat(64) + "a" + &")".repeat(64),
        ] {
            assert!(enforced(&promql).is_ok(), "{promql}");
        }
    }

    #[test]
    fn what_the_mirror_writes_itself_gets_the_matchers_as_conditions() {
        let enforced = Enforced(vec![("team".to_owned(), "a".to_owned())]);
        let kind = Kind::Histogram(Selector::new("h", vec![Matcher::equal("x", "y")]));
        let selectors = enforced.kind(kind).map(|kind| kind.selectors());
        let expected = vec![r#"{__name__=~"h|h_count",x="y",team="a"}"#.to_owned()];
        assert_eq!(selectors, Ok(expected));
        let (_, matchers) = enforced.conditions(None, Vec::new());
        assert_eq!(matchers, [Matcher::equal("team", "a")]);
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_sent_out_names_the_matchers_in_every_selector(promql in "[ab(){}\\[\\]\"'`,=~!<>+\\-*/@ \\\\0-9.ms]{0,40}|(a|b|\\(|\\)|\\+| or |\\{|\\}|x=\"|\"|,){0,14}") {
            if let Ok(completed) = enforced(&promql) {
                let mut expr = parser::parse(&completed).unwrap();
                // Completed once more, each selector has every matcher twice: none was without.
                let matcher = PromqlMatcher::new(MatchOp::Equal, "team", "a\"b\\");
                walk(&mut expr, std::slice::from_ref(&matcher)).unwrap();
                let twice = expr.to_string();
                let count = |text: &str| text.matches(M).count();
                proptest::prop_assert_eq!(count(&twice), 2 * count(&completed), "{} {}", completed, twice);
            }
        }
    }
}
