//! Conditions on one label each.

use std::collections::HashSet;
use std::fmt;

use super::quoting::{escaped, is_legacy_label_name, quote, quote_regex};
use crate::model::series::Labels;

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

    /// Two that together accept the same; none if it cannot be divided.
    pub(super) fn halved(&self) -> Option<(Self, Self)> {
        let Accepted::OneOf(texts) = &self.accepted else {
            return None;
        };
        let (first, second) = texts.split_at(texts.len() / 2);
        let with = |texts: &[String]| Self {
            accepted: Accepted::OneOf(texts.to_vec()),
            ..self.clone()
        };
        Some((with(first), with(second)))
    }

    /// How many texts it accepts by name, and how long they are together.
    pub(super) fn weight(&self) -> (usize, usize) {
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
/// `1e+06`. Very large and small ones have only that: their digits are never written out.
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
