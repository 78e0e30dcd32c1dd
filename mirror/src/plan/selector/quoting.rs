//! Texts and names as PromQL writes them. The only place that writes user text into PromQL.

use std::fmt::Write as _;

/// A name as an identifier of MetricsQL: every other character than letters, digits and `_` stands
/// behind a backslash.
pub(super) fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len() + 8);
    for (index, c) in name.chars().enumerate() {
        let is_plain = c == '_' || c.is_ascii_alphabetic() || index > 0 && c.is_ascii_digit();
        if c.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "\\u{:04x}", c as u32);
            continue;
        }
        if !is_plain {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A PromQL string literal for any text.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // Prometheus' lexer takes a literal U+FFFD for broken UTF-8.
            '\u{fffd}' => quoted.push_str("\\ufffd"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\x{:02x}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// How many bytes a condition's text takes up in PromQL, at most.
#[must_use]
pub fn written_length(text: &str) -> usize {
    let of_char = |c: char| match c {
        '\\' => 4,
        '\u{fffd}' => 6,
        c if REGEX_OPERATORS.contains(c) => 3,
        '"' => 2,
        c if c.is_ascii_control() => 4,
        c => c.len_utf8(),
    };
    // The quotes, a comma and an operator, or the bar between two texts.
    text.chars().map(of_char).sum::<usize>() + 5
}

/// Characters with a meaning in a regular expression.
const REGEX_OPERATORS: &str = "\\.+*?()|[]{}^$";

/// A regular expression (RE2) that matches exactly `text`.
pub(super) fn quote_regex(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if REGEX_OPERATORS.contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

/// Whether a label's name may stand without quotes: letters, digits and `_`, no digit first.
pub(crate) fn is_legacy_label_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Words that some PromQL parser reads as something else than a metric where a metric may stand.
const RESERVED: [&str; 31] = [
    "and",
    "atan2",
    "avg",
    "bool",
    "bottomk",
    "by",
    "count",
    "count_values",
    "default",
    "end",
    "group",
    "group_left",
    "group_right",
    "if",
    "ifnot",
    "ignoring",
    "inf",
    "limitk",
    "max",
    "min",
    "nan",
    "offset",
    "on",
    "or",
    "quantile",
    "start",
    "stddev",
    "sum",
    "topk",
    "unless",
    "without",
];

/// Whether a metric's name may stand without quotes, for every parser.
pub(super) fn is_plain_metric_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
        && !RESERVED.contains(&name.to_ascii_lowercase().as_str())
}
