//! The five query kinds: what a metric query is about.

use super::selector::{Matcher, Selector};

/// The five query kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryKind {
    /// `__gauge__`: the samples themselves.
    Gauge(Selector),
    /// `__counter__`: the per-second rate.
    Counter(Selector),
    /// `__histogram__`: a distribution, native or as `_bucket`, `_sum`, `_count`. The selector
    /// names the base.
    Histogram(Selector),
    /// `__summary__`: a distribution as the client computed it. The selector names the base.
    Summary(Selector),
    /// `~`: any PromQL, and which of the resulting series are meant.
    Expression {
        /// The expression as the user wrote it.
        promql: String,
        /// Every resulting series whose labels match.
        matchers: Vec<Matcher>,
    },
}

/// The name of a query kind: the condition key that says which one is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKindName {
    /// `__counter__`
    Counter,
    /// `__gauge__`
    Gauge,
    /// `__histogram__`
    Histogram,
    /// `__summary__`
    Summary,
    /// `~`
    Expression,
}

impl QueryKindName {
    /// All of them, in the order in which field names list them.
    pub const ALL: [Self; 5] = [
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::Summary,
        Self::Expression,
    ];

    /// The condition key.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Counter => "__counter__",
            Self::Gauge => "__gauge__",
            Self::Histogram => "__histogram__",
            Self::Summary => "__summary__",
            Self::Expression => "~",
        }
    }

    /// The kind of that key.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.key() == key)
    }

    /// All keys, with commas between them: for messages.
    #[must_use]
    pub fn listed() -> String {
        Self::ALL.map(Self::key).join(", ")
    }
}

impl QueryKind {
    /// The name that the user gave: a metric's, or the expression.
    #[must_use]
    pub fn metric(&self) -> &str {
        match self {
            Self::Gauge(s) | Self::Counter(s) | Self::Histogram(s) | Self::Summary(s) => s.name(),
            Self::Expression { promql, .. } => promql,
        }
    }

    /// The kind of this name: `text` is a metric's name, or an expression.
    #[must_use]
    pub fn new(name: QueryKindName, text: String, matchers: Vec<Matcher>) -> Self {
        let selector = |matchers| Selector::new(&text, matchers);
        match name {
            QueryKindName::Counter => Self::Counter(selector(matchers)),
            QueryKindName::Gauge => Self::Gauge(selector(matchers)),
            QueryKindName::Histogram => Self::Histogram(selector(matchers)),
            QueryKindName::Summary => Self::Summary(selector(matchers)),
            QueryKindName::Expression => Self::Expression {
                promql: text,
                matchers,
            },
        }
    }

    /// The name of this kind.
    #[must_use]
    pub fn name(&self) -> QueryKindName {
        match self {
            Self::Counter(_) => QueryKindName::Counter,
            Self::Gauge(_) => QueryKindName::Gauge,
            Self::Histogram(_) => QueryKindName::Histogram,
            Self::Summary(_) => QueryKindName::Summary,
            Self::Expression { .. } => QueryKindName::Expression,
        }
    }

    /// The conditions beside the kind; none of an expression, whose conditions choose among its
    /// results.
    #[must_use]
    pub fn conditions(&self) -> &[Matcher] {
        match self {
            Self::Gauge(s) | Self::Counter(s) | Self::Histogram(s) | Self::Summary(s) => {
                s.conditions()
            }
            Self::Expression { .. } => &[],
        }
    }

    /// The same of another selector; an expression has none of ours and stays as it is.
    #[must_use]
    pub(super) fn map(self, selector: impl FnOnce(Selector) -> Selector) -> Self {
        match self {
            Self::Gauge(s) => Self::Gauge(selector(s)),
            Self::Counter(s) => Self::Counter(selector(s)),
            Self::Histogram(s) => Self::Histogram(selector(s)),
            Self::Summary(s) => Self::Summary(selector(s)),
            expression @ Self::Expression { .. } => expression,
        }
    }

    /// The same with these conditions instead; an expression stays as it is.
    #[must_use]
    pub fn with_conditions(&self, conditions: Vec<Matcher>) -> Self {
        self.clone().map(|s| s.with_conditions(conditions))
    }

    /// The same series in parts; see [`Selector::in_parts`]. None for a kind that is not read in
    /// parts.
    #[must_use]
    pub fn in_parts(&self, parts: Vec<Vec<Matcher>>) -> Option<Self> {
        match self {
            Self::Gauge(s) => Some(Self::Gauge(s.in_parts(parts))),
            Self::Counter(s) => Some(Self::Counter(s.in_parts(parts))),
            Self::Histogram(_) | Self::Summary(_) | Self::Expression { .. } => None,
        }
    }

    /// A label's name among the conditions that cannot stand as it is, if there is one. An
    /// expression has none of ours.
    #[must_use]
    pub fn quoted_label(&self) -> Option<&str> {
        match self {
            Self::Gauge(s) | Self::Counter(s) | Self::Histogram(s) | Self::Summary(s) => {
                s.quoted_label()
            }
            Self::Expression { .. } => None,
        }
    }

    /// The same, with selectors as MetricsQL writes them.
    #[must_use]
    pub fn in_metricsql(self) -> Self {
        self.map(Selector::in_metricsql)
    }

    /// Selectors of every series that this kind may read; none for an expression, which may read
    /// anything.
    #[must_use]
    pub fn selectors(&self) -> Vec<String> {
        match self {
            Self::Gauge(s) | Self::Counter(s) => vec![s.to_string()],
            Self::Histogram(s) | Self::Summary(s) => {
                vec![s.with_any_suffix(&["", "_count"]).to_string()]
            }
            Self::Expression { .. } => Vec::new(),
        }
    }
}
