//! Conditions become a series selector. Every character that a user wrote and that ends up in
//! PromQL passes [`quote`], unless it belongs to a name of the legacy character set or to a `~`
//! expression.

mod matcher;
mod quoting;
#[cfg(test)]
mod tests;

use std::{fmt, mem};

pub use self::matcher::{Filter, Matcher, texts_of_double};
pub(crate) use self::quoting::is_legacy_label_name;
use self::quoting::is_plain_metric_name;
pub use self::quoting::{quote, written_length};

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
        let (first, second) = matcher.halved()?;
        let with = |matcher: Matcher| {
            let mut half = self.clone();
            half.matchers[index] = matcher;
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
        let names_itself = all().any(|m| m.label() == "__name__");
        let mut before = "{";
        let mut begin_part =
            |f: &mut fmt::Formatter<'_>| f.write_str(mem::replace(&mut before, ","));
        match &self.name {
            // Outside the legacy character set, `__name__="…"` means the same on every version of
            // every store; the newer form {"…"} is not known to Prometheus 2 and older
            // VictoriaMetrics, which do store such names.
            Some(name) if names_itself || !is_plain_metric_name(name) => {
                begin_part(f)?;
                write!(f, "__name__={}", quote(name))?;
            }
            Some(name) => f.write_str(name)?,
            // A selector needs one matcher that does not match the empty string.
            None if !names_itself => {
                begin_part(f)?;
                f.write_str("__name__!=\"\"")?;
            }
            None => {}
        }
        for matcher in all() {
            begin_part(f)?;
            write!(f, "{matcher}")?;
        }
        if before == "{" {
            return Ok(());
        }
        f.write_str("}")
    }
}
