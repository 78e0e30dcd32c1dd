//! What a store says about an expression that was not sent as the user wrote it, in terms of what
//! the user wrote.

use super::Shape;
use super::positions::{Position, replace_positions};

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

/// A message about an expression that was rewritten: its positions are not those of what the
/// user wrote, and are left out.
#[must_use]
pub fn without_positions(message: &str) -> String {
    let left_out = positions_left_out(message);
    if left_out == message {
        return left_out;
    }
    format!(
        "{left_out} (this target enforces label matchers, so the expression was rewritten: positions are left out)"
    )
}

/// A message without the positions in it.
#[must_use]
pub fn positions_left_out(message: &str) -> String {
    replace_positions(message, |_| None)
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
