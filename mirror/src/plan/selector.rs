//! Conditions become a series selector. Every character that a user wrote and that ends up in
//! PromQL passes [`quote`], unless it belongs to a name of the legacy character set or to a `~`
//! expression.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use crate::model::series::Labels;

/// A metric name with matchers, for example `up{job="node"}`. Its `Display` is PromQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    name: Option<String>,
    matchers: Vec<Matcher>,
    /// Matchers that hold whatever the conditions are; see [`Selector::within`].
    enforced: Vec<Matcher>,
    /// See [`Selector::in_parts`].
    parts: Vec<Vec<Matcher>>,
}

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    label: String,
    accepted: Accepted,
    /// The label's name is written with escapes, as MetricsQL has it, and not in quotes.
    escapes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Accepted {
    /// One of these texts; never empty.
    OneOf(Vec<String>),
    /// Any text that begins so.
    Prefix(String),
    /// Any text but the empty one, which a missing label has.
    NotEmpty,
}

impl Matcher {
    /// `label` equals `text`. An empty text also holds where the label is absent, as everywhere in
    /// Prometheus.
    #[must_use]
    pub fn equal(label: &str, text: impl Into<String>) -> Self {
        Self::one_of(label, vec![text.into()])
    }

    /// `label` equals one of `texts`, of which there must be at least one.
    #[must_use]
    pub fn one_of(label: &str, texts: Vec<String>) -> Self {
        Self {
            label: label.to_owned(),
            accepted: Accepted::OneOf(texts),
            escapes: false,
        }
    }

    /// `label` begins with `prefix`.
    #[must_use]
    pub fn prefix(label: &str, prefix: &str) -> Self {
        Self {
            label: label.to_owned(),
            accepted: Accepted::Prefix(prefix.to_owned()),
            escapes: false,
        }
    }

    /// How many texts it accepts by name, and how long they are together.
    fn weight(&self) -> (usize, usize) {
        match &self.accepted {
            Accepted::OneOf(texts) => (texts.len(), texts.iter().map(String::len).sum()),
            Accepted::NotEmpty | Accepted::Prefix(_) => (1, 0),
        }
    }

    /// Whether the label's name cannot stand as it is.
    #[must_use]
    pub fn has_quoted_label(&self) -> bool {
        !is_legacy_label_name(&self.label)
    }

    /// The same, as MetricsQL writes it: every version of VictoriaMetrics reads escapes, older ones
    /// no quotes.
    #[must_use]
    pub fn in_metricsql(mut self) -> Self {
        self.escapes = true;
        self
    }

    /// The label that it is about.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// That the label exists.
    #[must_use]
    pub fn any_value(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            accepted: Accepted::NotEmpty,
            escapes: false,
        }
    }
}

/// Matchers made ready to look at many series: the time for each does not grow with the texts that
/// are accepted.
#[derive(Debug)]
pub struct Filter<'a> {
    /// Labels, and what is accepted of each.
    matchers: Vec<(&'a str, Texts<'a>)>,
}

#[derive(Debug)]
enum Texts<'a> {
    OneOf(HashSet<&'a str>),
    Prefix(&'a str),
    NotEmpty,
}

impl<'a> Filter<'a> {
    /// Accepts what all of `matchers` accept.
    #[must_use]
    pub fn new(matchers: &'a [Matcher]) -> Self {
        let ready = |matcher: &'a Matcher| match &matcher.accepted {
            Accepted::OneOf(texts) => Texts::OneOf(texts.iter().map(String::as_str).collect()),
            Accepted::Prefix(prefix) => Texts::Prefix(prefix),
            Accepted::NotEmpty => Texts::NotEmpty,
        };
        let matchers = matchers
            .iter()
            .map(|matcher| (matcher.label(), ready(matcher)));
        Self {
            matchers: matchers.collect(),
        }
    }

    /// Whether a series with these labels satisfies all conditions.
    #[must_use]
    pub fn accepts(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|(label, accepted)| {
            let text = labels.get(*label).map_or("", String::as_str);
            match accepted {
                Texts::OneOf(texts) => texts.contains(text),
                Texts::Prefix(prefix) => text.starts_with(prefix),
                Texts::NotEmpty => !text.is_empty(),
            }
        })
    }
}

/// The texts that a number has as a label value: `2` and `2.0`, and, for large and small ones, Go's
/// `1e+06`. Of very large and small ones nobody writes all digits: then it is only that.
#[must_use]
pub fn texts_of_double(value: f64) -> Vec<String> {
    if value.is_nan() {
        return vec!["NaN".to_owned()];
    }
    if value.is_infinite() {
        return vec![if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()];
    }
    let mut texts = Vec::new();
    // JavaScript's bounds are the widest that a language has for numbers without an exponent.
    if value == 0.0 || (1e-7..1e21).contains(&value.abs()) {
        let plain = value.to_string();
        if !plain.contains('.') {
            texts.push(format!("{plain}.0"));
        }
        texts.insert(0, plain);
    }
    // Go's shortest form, in which Prometheus' client writes the bounds of buckets.
    let scientific = format!("{value:e}");
    if let Some((mantissa, exponent)) = scientific.split_once('e')
        && let Ok(exponent) = exponent.parse::<i32>()
        && !(-4..6).contains(&exponent)
    {
        let sign = if exponent < 0 { '-' } else { '+' };
        texts.push(format!("{mantissa}e{sign}{:02}", exponent.abs()));
    }
    texts
}

impl Selector {
    /// All series of the metric `name` that satisfy every matcher.
    #[must_use]
    pub fn new(name: &str, matchers: Vec<Matcher>) -> Self {
        Self {
            name: Some(name.to_owned()),
            matchers,
            enforced: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// All series, whatever their name, that satisfy every matcher.
    #[must_use]
    pub fn any_name(matchers: Vec<Matcher>) -> Self {
        Self {
            name: None,
            matchers,
            enforced: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// The metric name, or nothing.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The same matchers on the metric `<name><suffix>`.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        Self {
            name: self.name.as_ref().map(|name| format!("{name}{suffix}")),
            ..self.clone()
        }
    }

    /// The same matchers on the metrics `<name><suffix>` of all these suffixes.
    #[must_use]
    pub fn with_any_suffix(&self, suffixes: &[&str]) -> Self {
        let names = suffixes
            .iter()
            .map(|suffix| format!("{}{suffix}", self.name()))
            .collect();
        let mut matchers = vec![Matcher::one_of("__name__", names)];
        matchers.extend(self.matchers.iter().cloned());
        Self {
            enforced: self.enforced.clone(),
            ..Self::any_name(matchers)
        }
    }

    /// Two selectors that together match the same series: the longest set of accepted texts is
    /// divided between them. None if no set can be divided.
    #[must_use]
    pub fn halved(&self) -> Option<(Self, Self)> {
        let divisible = self.matchers.iter().enumerate();
        let (index, matcher) = divisible
            .filter(|(_, matcher)| matcher.weight().0 > 1)
            .max_by_key(|(_, matcher)| matcher.weight().1)?;
        let Accepted::OneOf(texts) = &matcher.accepted else {
            return None;
        };
        let (first, second) = texts.split_at(texts.len() / 2);
        let with = |texts: &[String]| {
            let mut half = self.clone();
            half.matchers[index].accepted = Accepted::OneOf(texts.to_vec());
            half
        };
        Some((with(first), with(second)))
    }

    /// The same with one more condition.
    #[must_use]
    pub fn and(&self, matcher: Matcher) -> Self {
        let mut more = self.clone();
        more.matchers.push(matcher);
        more
    }

    /// The same within one more matcher that is not a condition of the request: it stays when
    /// conditions are taken away.
    #[must_use]
    pub fn within(&self, matcher: Matcher) -> Self {
        let mut within = self.clone();
        within.enforced.push(matcher);
        within
    }

    /// The same series in parts, one for each list of matchers, none of which may overlap: see
    /// [`Selector::each`].
    #[must_use]
    pub fn in_parts(&self, parts: Vec<Vec<Matcher>>) -> Self {
        Self {
            parts,
            ..self.clone()
        }
    }

    /// An expression that has the same labels as the series but the name, such as a rate, over all
    /// series. In parts, each part's result gets a label of its own, so that series whose results
    /// would have the same labels stay apart.
    #[must_use]
    pub fn each(&self, expression: impl Fn(&Self) -> String) -> String {
        if self.parts.is_empty() {
            return expression(self);
        }
        let whole = self.in_parts(Vec::new());
        let parts = self.parts.iter().enumerate().map(|(index, matchers)| {
            let part = matchers
                .iter()
                .fold(whole.clone(), |part, matcher| part.within(matcher.clone()));
            let result = expression(&part);
            format!("label_replace({result}, \"__type__\", \"{index}\", \"\", \"\")")
        });
        parts.collect::<Vec<_>>().join(" or ")
    }

    /// A label's name that cannot stand as it is, if there is one.
    #[must_use]
    pub fn quoted_label(&self) -> Option<&str> {
        let mut all = self.matchers.iter().chain(&self.enforced);
        all.find(|matcher| matcher.has_quoted_label())
            .map(Matcher::label)
    }

    /// The same, as MetricsQL writes it.
    #[must_use]
    pub fn in_metricsql(self) -> Self {
        let all =
            |matchers: Vec<Matcher>| matchers.into_iter().map(Matcher::in_metricsql).collect();
        Self {
            matchers: all(self.matchers),
            enforced: all(self.enforced),
            ..self
        }
    }

    /// The conditions of the request.
    #[must_use]
    pub fn conditions(&self) -> &[Matcher] {
        &self.matchers
    }

    /// The same with these conditions instead.
    #[must_use]
    pub fn with_conditions(&self, conditions: Vec<Matcher>) -> Self {
        Self {
            matchers: conditions,
            ..self.clone()
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = || self.matchers.iter().chain(&self.enforced);
        let names_itself = all().any(|m| m.label == "__name__");
        let mut parts: Vec<String> = Vec::with_capacity(all().count() + 1);
        match &self.name {
            // Outside the legacy character set, `__name__="…"` means the same on every version of
            // every store; the newer form {"…"} is not known to Prometheus 2 and older
            // VictoriaMetrics, which do store such names.
            Some(name) if names_itself || !is_plain_metric_name(name) => {
                parts.push(format!("__name__={}", quote(name)));
            }
            Some(name) => f.write_str(name)?,
            // A selector needs one matcher that does not match the empty string.
            None if !names_itself => parts.push("__name__!=\"\"".to_owned()),
            None => {}
        }
        parts.extend(all().map(ToString::to_string));
        if parts.is_empty() {
            return Ok(());
        }
        write!(f, "{{{}}}", parts.join(","))
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_legacy_label_name(&self.label) {
            f.write_str(&self.label)?;
        } else if self.escapes {
            f.write_str(&escaped(&self.label))?;
        } else {
            f.write_str(&quote(&self.label))?;
        }
        match &self.accepted {
            Accepted::OneOf(texts) => match texts.as_slice() {
                [text] => write!(f, "={}", quote(text)),
                texts => {
                    let alternatives: Vec<String> =
                        texts.iter().map(|text| quote_regex(text)).collect();
                    write!(f, "=~{}", quote(&alternatives.join("|")))
                }
            },
            // Not `.*`: in Prometheus 2 a dot does not match a line break.
            Accepted::NotEmpty => f.write_str("!=\"\""),
            Accepted::Prefix(prefix) => {
                write!(f, "=~{}", quote(&format!("{}(?s:.*)", quote_regex(prefix))))
            }
        }
    }
}

/// A name as an identifier of MetricsQL: every other character than letters, digits and `_` stands
/// behind a backslash.
fn escaped(name: &str) -> String {
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
fn quote_regex(text: &str) -> String {
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

fn is_plain_metric_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
        && !RESERVED.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case::a_name_alone("up", vec![], "up")]
    #[case::matchers_in_order(
        "up", vec![Matcher::equal("job", "node"), Matcher::equal("zone", "")], r#"up{job="node",zone=""}"#
    )]
    #[case::any_of_several(
        "up", vec![Matcher::one_of("job", vec!["a.b".into(), "c|d".into()])], r#"up{job=~"a\\.b|c\\|d"}"#
    )]
    #[case::a_prefix("up", vec![Matcher::prefix("job", "a.")], r#"up{job=~"a\\.(?s:.*)"}"#)]
    #[case::quotes_and_breaks(
        "up", vec![Matcher::equal("path", "C:\\\"x\"\n\u{1}\u{fffd}ü")], r#"up{path="C:\\\"x\"\n\x01\ufffdü"}"#
    )]
    #[case::a_name_outside_the_legacy_set("my.metric", vec![], r#"{__name__="my.metric"}"#)]
    #[case::a_label_outside_the_legacy_set(
        "up", vec![Matcher::equal("my.label", "v")], r#"up{"my.label"="v"}"#
    )]
    #[case::a_reserved_word("Inf", vec![], r#"{__name__="Inf"}"#)]
    #[case::a_condition_on_the_name_itself(
        "up", vec![Matcher::equal("__name__", "down")], r#"{__name__="up",__name__="down"}"#
    )]
    fn a_selector_is_written_as_promql(
        #[case] name: &str,
        #[case] matchers: Vec<Matcher>,
        #[case] promql: &str,
    ) {
        assert_eq!(Selector::new(name, matchers).to_string(), promql);
    }

    #[test]
    fn the_longest_set_is_halved_until_nothing_can_be() {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let selector = Selector::any_name(vec![
            Matcher::equal("a", "x".repeat(100)),
            Matcher::one_of("b", texts(&["1", "22", "333"])),
            Matcher::prefix("c", "p"),
        ]);
        let halves = selector.halved().expect("a set");
        assert_eq!(
            (halves.0.matchers[1].clone(), halves.1.matchers[1].clone()),
            (
                Matcher::equal("b", "1"),
                Matcher::one_of("b", texts(&["22", "333"]))
            )
        );
        assert_eq!(halves.0.halved(), None);
        let quarters = halves.1.halved().expect("a set");
        assert_eq!(quarters.1.matchers[1], Matcher::equal("b", "333"));
        assert_eq!(quarters.1.halved(), None);
    }

    #[test]
    fn taking_conditions_away_leaves_what_is_enforced() {
        let selector = Selector::new("up", vec![Matcher::equal("job", "a")])
            .within(Matcher::equal("team", "pay"));
        assert_eq!(selector.to_string(), r#"up{job="a",team="pay"}"#);
        let bare = selector.with_conditions(vec![Matcher::any_value("job")]);
        assert_eq!(bare.to_string(), r#"up{job!="",team="pay"}"#);
        let both = bare.with_any_suffix(&["", "_count"]);
        assert_eq!(
            both.to_string(),
            r#"{__name__=~"up|up_count",job!="",team="pay"}"#
        );
    }

    #[test]
    fn metricsql_has_names_with_escapes() {
        let selector = Selector::new("up", vec![Matcher::equal("app.kubernetes.io/na-me", "v")])
            .within(Matcher::equal("1größe\"\n", "x"))
            .in_metricsql();
        assert_eq!(
            selector.to_string(),
            r#"up{app\.kubernetes\.io\/na\-me="v",\1gr\ö\ße\"\u000a="x"}"#
        );
        assert_eq!(selector.quoted_label(), Some("app.kubernetes.io/na-me"));
    }

    #[test]
    fn a_selector_of_any_name_has_a_matcher_that_is_never_empty() {
        let selector = Selector::any_name(vec![Matcher::equal("job", "")]);
        assert_eq!(selector.to_string(), r#"{__name__!="",job=""}"#);
    }

    #[rstest]
    #[case(2.0, &["2", "2.0"])]
    #[case(2.5, &["2.5"])]
    #[case(-0.25, &["-0.25"])]
    #[case(1e6, &["1000000", "1000000.0", "1e+06"])]
    #[case(1e-7, &["0.0000001", "1e-07"])]
    #[case(-1e20, &["-100000000000000000000", "-100000000000000000000.0", "-1e+20"])]
    #[case(0.0, &["0", "0.0"])]
    #[case(1e21, &["1e+21"])]
    #[case(-1e308, &["-1e+308"])]
    #[case(5e-324, &["5e-324"])]
    #[case(2.5e-8, &["2.5e-08"])]
    fn a_double_has_the_texts_that_labels_usually_have(#[case] value: f64, #[case] texts: &[&str]) {
        assert_eq!(texts_of_double(value), texts);
    }

    /// Reads a PromQL string literal the way Prometheus' lexer does, and answers its text and what
    /// stands behind it.
    fn unquote(promql: &str) -> Option<(String, &str)> {
        let body = promql.strip_prefix('"')?;
        let mut text = String::new();
        let mut chars = body.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Some((text, &body[at + 1..])),
                '\n' => return None,
                '\\' => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    'r' => text.push('\r'),
                    't' => text.push('\t'),
                    c @ ('"' | '\\') => text.push(c),
                    'x' => {
                        let digits: String = [chars.next()?.1, chars.next()?.1].iter().collect();
                        text.push(char::from(u8::from_str_radix(&digits, 16).ok()?));
                    }
                    'u' => {
                        let digits: String =
                            (0..4).filter_map(|_| chars.next().map(|c| c.1)).collect();
                        text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                    }
                    _ => return None,
                },
                c => text.push(c),
            }
        }
        None
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_string_literal(text in any::<String>()) {
            let quoted = quote(&text);
            prop_assert_eq!(unquote(&quoted), Some((text, "")));
        }

        #[test]
        fn no_condition_takes_up_more_than_is_counted(label in any::<String>(), texts in proptest::collection::vec(any::<String>(), 1..4)) {
            let counted: usize = texts.iter().chain([&label]).map(|text| written_length(text)).sum();
            let written = Matcher::one_of(&label, texts).to_string();
            prop_assert!(written.len() <= counted, "{} > {}: {}", written.len(), counted, written);
        }

        #[test]
        fn no_double_has_long_texts(value in any::<f64>()) {
            let texts = texts_of_double(value);
            prop_assert!((1..=3).contains(&texts.len()));
            prop_assert!(texts.iter().all(|text| text.len() <= 28 && text.trim_end_matches(".0").parse() == Ok(value) || value.is_nan()), "{:?}", texts);
        }

        #[test]
        fn no_name_label_or_value_changes_the_shape_of_a_selector(name in any::<String>(), label in any::<String>(), value in any::<String>()) {
            let promql = Selector::new(&name, vec![Matcher::equal(&label, value.clone())]).to_string();
            // Taking the selector apart again gives the three texts back, and nothing else is
            // there.
            let rest = if is_plain_metric_name(&name) && label != "__name__" {
                promql.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('{')).map(str::to_owned)
            } else {
                let (read, rest) = unquote(promql.strip_prefix("{__name__=").unwrap_or_default()).unwrap_or_default();
                prop_assert_eq!(read, name);
                rest.strip_prefix(',').map(str::to_owned)
            };
            let rest = rest.unwrap_or_default();
            let after_label = if is_legacy_label_name(&label) {
                rest.strip_prefix(label.as_str()).map(str::to_owned)
            } else {
                let (read, after) = unquote(&rest).unwrap_or_default();
                prop_assert_eq!(read, label);
                Some(after.to_owned())
            };
            let after_label = after_label.unwrap_or_default();
            prop_assert_eq!(unquote(after_label.strip_prefix('=').unwrap_or_default()), Some((value, "}")));
        }

        #[test]
        fn a_quoted_regular_expression_has_no_operator_left(text in any::<String>()) {
            let quoted = quote_regex(&text);
            let mut chars = quoted.chars();
            let mut read = String::new();
            while let Some(c) = chars.next() {
                if c == '\\' {
                    read.extend(chars.next());
                } else {
                    prop_assert!(!".+*?()|[]{}^$".contains(c), "{:?} stands bare", c);
                    read.push(c);
                }
            }
            prop_assert_eq!(read, text);
        }
    }
}
