//! What a `~` expression evaluates to, and how it stands in the text that is sent. Pure.
//!
//! Two things must be known of an expression before it is aggregated: whether it is a number, which
//! no subquery takes, and whether it has a value at an instant at all. The parser says so where it
//! can read the expression; where it cannot (MetricsQL, newer PromQL), the store's own complaint
//! does: see [`shape_in_complaint`].

use promql_parser::parser::value::ValueType;

use super::aggregation::Method;
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
    let Some(w) = windows.bucket else {
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

/// What the store says the whole expression is, where it complains about that: Prometheus' words
/// for an expression that a range query or a subquery does not take. `before` as in [`Wrapping`];
/// what an expression has inside is not meant.
#[must_use]
pub fn shape_in_complaint(message: &str, before: usize) -> Option<Shape> {
    if message.contains("invalid expression type \"string\"") {
        return Some(Shape::Text);
    }
    if message.contains("invalid expression type \"range vector\"") {
        return Some(Shape::Range);
    }
    let (place, got) = message.split_once("subquery is only allowed on instant vector, got ")?;
    let inside = Position::all(place)
        .last()
        .is_some_and(|position| position.line > 1 || position.column > before);
    if inside {
        return None;
    }
    match got.split([' ', ',']).next()? {
        "scalar" => Some(Shape::Scalar),
        "string" => Some(Shape::Text),
        "matrix" | "range" => Some(Shape::Range),
        _ => None,
    }
}

/// The text around an expression of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrapping<'a> {
    /// All that was sent.
    pub sent: &'a str,
    /// The user's own expression, which stands in it unchanged.
    pub user: &'a str,
    /// How many bytes of ours stand before it, all of them in the first line and in ASCII.
    pub before: usize,
}

impl Wrapping<'_> {
    /// A message of the store with its positions as those of the user's expression, and that
    /// expression in place of what was sent.
    #[must_use]
    pub fn unwrapped(&self, message: &str) -> String {
        if self.before == 0 {
            return message.to_owned();
        }
        let end = Position {
            line: self.user.split('\n').count(),
            column: self.user.rsplit('\n').next().unwrap_or_default().len() + 1,
        };
        let moved = replace_positions(message, |position| Some(self.moved(position).min(end)));
        let spaced = |text: &str| text.replace(char::is_control, " ");
        moved
            .replace(self.sent, self.user)
            .replace(&spaced(self.sent), &spaced(self.user))
            .replace(&go_quoted(self.sent), &go_quoted(self.user))
    }

    /// What lies before the user's text becomes its start.
    fn moved(&self, position: Position) -> Position {
        let column = if position.line == 1 {
            position.column.saturating_sub(self.before).max(1)
        } else {
            position.column
        };
        Position {
            line: position.line,
            column,
        }
    }
}

/// A message about an expression that was written anew: its positions are not those of what the
/// user wrote, and are left out.
#[must_use]
pub fn without_positions(message: &str) -> String {
    let left_out = replace_positions(message, |_| None);
    if left_out == message {
        return left_out;
    }
    format!(
        "{left_out} (this target enforces label matchers, so the expression was written anew: positions are left out)"
    )
}

/// A place in an expression as Prometheus' messages have it: both count from 1, columns in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    line: usize,
    column: usize,
}

/// A position in a message: where it stands, and how it is written.
struct Found {
    /// Bytes of the message, without what surrounds it.
    at: std::ops::Range<usize>,
    /// The same with the brackets and colons that only a position has.
    whole: std::ops::Range<usize>,
    position: Position,
    form: Form,
}

#[derive(Clone, Copy)]
enum Form {
    /// `3:14`
    Pair,
    /// `line 3, char 14`, of Prometheus before 2.16
    Words,
    /// `char 14`, the same in the first line
    Char,
}

impl Position {
    fn all(message: &str) -> Vec<Self> {
        find(message).iter().map(|found| found.position).collect()
    }
}

/// `1:6: parse error: …`, `… (1:6)`, `parse error at line 1, char 6: …`, `parse error at char 6:
/// …`.
fn find(message: &str) -> Vec<Found> {
    let mut all = Vec::new();
    let mut from = 0;
    while let Some(start) = message[from..]
        .find(|c: char| c.is_ascii_digit())
        .map(|offset| from + offset)
    {
        let (first, end) = number(message, start);
        from = end;
        let (before, after) = (&message[..start], &message[end..]);
        let second = |text: &str, skipped: usize| {
            let at = end + skipped;
            (text.starts_with(|c: char| c.is_ascii_digit())).then(|| number(message, at))
        };
        let pair = || {
            let (column, end) = second(after.strip_prefix(':')?, 1)?;
            let after = &message[end..];
            let in_brackets = before.ends_with('(') && after.starts_with(')');
            let before_error = (before.is_empty() || before.ends_with([' ', '"']))
                && after.starts_with(": parse error");
            let whole = match (in_brackets, before_error) {
                (true, _) => start - 1 - usize::from(before.ends_with(" ("))..end + 1,
                (_, true) => start..end + 2,
                _ => return None,
            };
            Some((start..end, whole, first, column, Form::Pair))
        };
        let words = || {
            let begins = before.strip_suffix(" at line ")?.len();
            let (column, end) = second(after.strip_prefix(", char ")?, 7)?;
            Some((begins + 4..end, begins..end, first, column, Form::Words))
        };
        let found = if before.ends_with(" at char ") {
            Some((start - 5..end, start - 9..end, 1, first, Form::Char))
        } else {
            pair().or_else(words)
        };
        if let Some((at, whole, line, column, form)) = found {
            from = at.end;
            all.push(Found {
                at,
                whole,
                position: Position { line, column },
                form,
            });
        }
    }
    all
}

/// The number that begins at `start`, and where it ends.
fn number(message: &str, start: usize) -> (usize, usize) {
    let digits = message[start..]
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(message.len() - start);
    let end = start + digits;
    (message[start..end].parse().unwrap_or(usize::MAX), end)
}

fn replace_positions(message: &str, new: impl Fn(Position) -> Option<Position>) -> String {
    let mut replaced = String::with_capacity(message.len());
    let mut from = 0;
    for found in find(message) {
        match new(found.position) {
            Some(Position { line, column }) => {
                replaced.push_str(&message[from..found.at.start]);
                replaced.push_str(&match (found.form, line) {
                    (Form::Pair, _) => format!("{line}:{column}"),
                    (Form::Char, 1) => format!("char {column}"),
                    (Form::Words | Form::Char, _) => format!("line {line}, char {column}"),
                });
                from = found.at.end;
            }
            None => {
                replaced.push_str(&message[from..found.whole.start]);
                from = found.whole.end;
            }
        }
    }
    replaced.push_str(&message[from..]);
    replaced
}

/// A text as Go's `%q` writes it, which VictoriaMetrics quotes queries with.
fn go_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[test]
    fn the_shape_of_an_expression_is_what_the_parser_says() {
        let table = [
            ("scalar(sum(up))", Shape::Scalar),
            ("1+1", Shape::Scalar),
            ("-1", Shape::Scalar),
            ("time()", Shape::Scalar),
            ("pi() * 2 ^ 3", Shape::Scalar),
            ("((1))", Shape::Scalar),
            ("Inf", Shape::Scalar),
            ("0x1F", Shape::Scalar),
            ("time() > bool 3", Shape::Scalar),
            ("1 # one\n+ 1 # two", Shape::Scalar),
            ("\r\n 1\r\n", Shape::Scalar),
            ("vector(1)", Shape::Vector),
            ("up", Shape::Vector),
            ("hour()", Shape::Vector),
            ("1 + up", Shape::Vector),
            ("up{job=~\"(((\"}", Shape::Vector),
            (r"up{job!~`\d`, a='\'#'} # c", Shape::Vector),
            ("{\"größe.m\", \"ü.ü\"=\"ü\"}", Shape::Vector),
            (
                "label_replace(a, \"b\", \"$1\", \"c\", \"(\")",
                Shape::Vector,
            ),
            ("up @ start()", Shape::Vector),
            ("up[5m]", Shape::Range),
            ("(up[5m] offset 1h)", Shape::Range),
            ("up[5m:1m] @ end()", Shape::Range),
            ("(rate(up[1m]))[5m:]", Shape::Range),
            ("\"up\"", Shape::Text),
            ("'#' # c", Shape::Text),
            ("(`a\\`)", Shape::Text),
            ("", Shape::Empty),
            (" \t\n", Shape::Empty),
            ("# up", Shape::Empty),
            ("\"up", Shape::Unknown),
            ("WITH (x = 1) x", Shape::Unknown),
            ("now()", Shape::Unknown),
        ];
        for (promql, expected) in table {
            assert_eq!(shape(promql), expected, "{promql}");
        }
    }

    #[test]
    fn what_is_too_large_for_the_parser_has_no_known_shape() {
        for promql in [
            "(".repeat(100_000) + "1" + &")".repeat(100_000),
            "-".repeat(100_000) + "1",
            "(".repeat(65) + "1" + &")".repeat(65),
            vec!["1"; 300].join("+"),
            "a[1e30]".to_owned(),
            "mem offset -1e30".to_owned(),
            "mem[5m:1e300]".to_owned(),
            vec!["up{a=~\"(\\\\pL{900}){900}\"}"; 300].join(" or "),
        ] {
            let began = std::time::Instant::now();
            assert_eq!(shape(&promql), Shape::Unknown);
            assert!(began.elapsed().as_millis() < 500);
        }
    }

    #[test]
    fn a_regular_expression_costs_nothing_to_look_at() {
        let selectors = vec![r#"up{a=~"(\\pL{900}){900}",b!~"(\\w{99}){99}"}"#; 40].join("+");
        let began = std::time::Instant::now();
        assert_eq!(shape(&selectors), Shape::Vector);
        assert!(began.elapsed().as_millis() < 500, "{:?}", began.elapsed());
    }

    #[test]
    fn only_code_binds_an_expression_to_its_range() {
        assert!(is_bound_to_its_range("m @ end ( )"));
        assert!(is_bound_to_its_range("m @ # the start\n start()"));
        assert!(!is_bound_to_its_range("m # @ end()"));
        assert!(!is_bound_to_its_range(r#"m{a="@ end()"}"#));
    }

    #[rstest]
    #[case(
        "1:15: parse error: subquery is only allowed on instant vector, got scalar instead",
        Some(Shape::Scalar)
    )]
    #[case(
        "invalid parameter \"query\": 1:15: parse error: subquery is only allowed on instant vector, got string instead",
        Some(Shape::Text)
    )]
    #[case(
        "1:15: parse error: subquery is only allowed on instant vector, got matrix instead",
        Some(Shape::Range)
    )]
    #[case(
        "1:30: parse error: subquery is only allowed on instant vector, got scalar instead",
        None
    )]
    #[case(
        "2:3: parse error: subquery is only allowed on instant vector, got scalar instead",
        None
    )]
    #[case(
        "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
        Some(Shape::Range)
    )]
    #[case(
        "invalid parameter \"query\": invalid expression type \"string\" for range query, must be Scalar or instant Vector",
        Some(Shape::Text)
    )]
    #[case("1:4: parse error: unexpected end of input", None)]
    fn a_store_says_of_what_shape_an_expression_is(
        #[case] message: &str,
        #[case] expected: Option<Shape>,
    ) {
        assert_eq!(shape_in_complaint(message, 15), expected);
    }

    /// As it is sent for the mean.
    fn wrapped(user: &str) -> (String, usize) {
        (format!("avg_over_time(({user}\n)[5m:15s])"), 15)
    }

    #[rstest]
    #[case::at_the_start(
        "foo(up)",
        "1:16: parse error: unknown function",
        "1:1: parse error: unknown function"
    )]
    #[case::behind_a_prefix(
        "x y",
        "invalid parameter \"query\": 1:18: parse error: z",
        "invalid parameter \"query\": 1:3: parse error: z"
    )]
    #[case::in_a_later_line("up +\n foo(up)", "2:2: parse error: z", "2:2: parse error: z")]
    #[case::behind_the_end("up)", "2:11: parse error: z", "1:4: parse error: z")]
    #[case::behind_the_end_of_the_last_line(
        "up\r\n+ (up",
        "3:1: parse error: z",
        "2:6: parse error: z"
    )]
    #[case::before_the_start("1", "1:15: parse error: z", "1:1: parse error: z")]
    #[case::after_letters_of_two_bytes(
        "{a=\"ü\"} + foo(x)",
        "1:27: parse error: z",
        "1:12: parse error: z"
    )]
    #[case::of_an_info(
        "rate(a[1m])",
        "PromQL info: z: \"a\" (1:21)",
        "PromQL info: z: \"a\" (1:6)"
    )]
    #[case::of_two_places(
        "a / b",
        "PromQL info: z (1:16), y (1:20)",
        "PromQL info: z (1:1), y (1:5)"
    )]
    #[case::of_an_old_store("foo(up)", "parse error at char 16: z", "parse error at char 1: z")]
    #[case::of_an_old_store_in_lines(
        "a\nfoo(up)",
        "parse error at line 2, char 1: z",
        "parse error at line 2, char 1: z"
    )]
    #[case::of_an_old_store_behind_the_end(
        "a\nb",
        "parse error at line 3, char 1: z",
        "parse error at line 2, char 2: z"
    )]
    #[case::no_position("a", "found 12:30 and (1:2 in 3:4", "found 12:30 and (1:2 in 3:4")]
    #[case::a_quoted_query(
        "up{",
        "error when executing query=\"avg_over_time((up{\\n)[5m:15s])\" on 1",
        "error when executing query=\"up{\" on 1"
    )]
    #[case::a_quoted_query_in_one_line(
        "up{",
        "query: avg_over_time((up{ )[5m:15s]) is bad",
        "query: up{ is bad"
    )]
    fn a_message_speaks_of_the_users_text(
        #[case] user: &str,
        #[case] message: &str,
        #[case] expected: &str,
    ) {
        let (sent, before) = wrapped(user);
        let wrapping = Wrapping {
            sent: &sent,
            user,
            before,
        };
        assert_eq!(wrapping.unwrapped(message), expected);
    }

    #[rstest]
    #[case("1:16: parse error: z", "parse error: z")]
    #[case("PromQL info: z: \"a\" (1:21)", "PromQL info: z: \"a\"")]
    #[case("parse error at line 2, char 1: z", "parse error: z")]
    #[case("parse error at char 1: z", "parse error: z")]
    fn an_expression_written_anew_has_no_positions(#[case] message: &str, #[case] left: &str) {
        let expected = format!(
            "{left} (this target enforces label matchers, so the expression was written anew: positions are left out)"
        );
        assert_eq!(without_positions(message), expected);
        assert_eq!(without_positions("no place"), "no place");
    }

    proptest! {
        #[test]
        fn every_place_in_a_text_is_found_again_behind_what_was_put_before_it(user in "[a-zü\n +]{0,40}", place in 0usize..60) {
            let place = (0..=place.min(user.len())).rev().find(|at| user.is_char_boundary(*at)).unwrap_or(0);
            // Prometheus' own way to tell a line and a column of an offset.
            let position = |text: &str, at: usize| {
                let before = &text[..at];
                let line_start = before.rfind('\n').map_or(0, |at| at + 1);
                format!("{}:{}: parse error: z", before.matches('\n').count() + 1, at - line_start + 1)
            };
            let (sent, before) = wrapped(&user);
            let wrapping = Wrapping { sent: &sent, user: &user, before };
            prop_assert_eq!(wrapping.unwrapped(&position(&sent, before + place)), position(&user, place));
        }

        #[test]
        fn no_message_and_no_expression_breaks_it(message in any::<String>(), user in any::<String>()) {
            let (sent, before) = wrapped(&user);
            let _ = Wrapping { sent: &sent, user: &user, before }.unwrapped(&message);
            let _ = (without_positions(&message), shape(&user), shape_in_complaint(&message, before));
        }

        #[test]
        fn digits_and_marks_break_it_neither(message in "[0-9:() ]{0,20}(at (line )?[0-9]{0,22}(, char [0-9]{0,3})?)?:? ?") {
            let _ = (without_positions(&message), shape_in_complaint(&message, 15));
        }
    }
}
