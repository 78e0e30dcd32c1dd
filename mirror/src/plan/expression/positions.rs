//! Positions in the messages of stores about expressions.

/// A place in an expression as Prometheus' messages have it: both count from 1, columns in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
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
    /// Those of a message, in its order.
    pub(super) fn all(message: &str) -> Vec<Self> {
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

/// A message with other positions; without those of which nothing is left.
pub(super) fn replace_positions(
    message: &str,
    new: impl Fn(Position) -> Option<Position>,
) -> String {
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
