//! A tree in words: for `explain`.

use std::fmt;

use super::{Across, Fold, Grouping, Leaf, Node, Set, Sign};

impl Across {
    /// What becomes of the answers of several shards, in words.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Self::Anywhere => "any shard's",
            Self::SideBySide { .. } => "side by side",
            Self::Folded(Fold::Sum) => "added",
            Self::Folded(Fold::Min) => "the smallest",
            Self::Folded(Fold::Max) => "the largest",
            Self::Alone(_) => "one shard's alone",
        }
    }
}

impl Node {
    /// What the gateway computes of the leaves, which are `$1`, `$2` and so on in the order of
    /// [`Node::leaves`].
    #[must_use]
    pub fn formula(&self) -> String {
        self.formula_of(&self.leaves())
    }

    fn formula_of(&self, leaves: &[&Leaf]) -> String {
        let operand = |node: &Self| match node {
            Self::Binary { .. } | Self::Set { .. } => format!("({})", node.formula_of(leaves)),
            node => node.formula_of(leaves),
        };
        match self {
            Self::Leaf(leaf) => {
                let place = leaves.iter().position(|known| *known == leaf);
                format!("${}", place.map_or(0, |place| place + 1))
            }
            Self::Number(number) => number.to_string(),
            Self::Empty => "nothing".to_owned(),
            Self::Aggregated {
                operator,
                grouping,
                inner,
            } => format!(
                "{}{grouping}({})",
                operator.name(),
                inner.formula_of(leaves)
            ),
            Self::Binary {
                operation,
                matching,
                sides,
            } => {
                let is_bool = if operation.is_bool { " bool" } else { "" };
                format!(
                    "{} {}{is_bool}{} {}",
                    operand(&sides.0),
                    operation.sign,
                    OfOperator(matching),
                    operand(&sides.1)
                )
            }
            Self::Set {
                set,
                matching,
                sides,
            } => format!(
                "{} {set}{} {}",
                operand(&sides.0),
                OfOperator(matching),
                operand(&sides.1)
            ),
            Self::Quantile { rank, inner, .. } => {
                format!("histogram_quantile({rank}, {})", inner.formula_of(leaves))
            }
            Self::Labelled {
                label,
                value,
                inner,
            } => format!(
                "label_replace({}, {label:?}, {value:?}, \"\", \"\")",
                inner.formula_of(leaves)
            ),
        }
    }
}

/// Which labels an operator matches.
struct OfOperator<'a>(&'a Grouping);

impl fmt::Display for OfOperator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Grouping::Of(labels) => write!(f, " on({})", labels.join(", ")),
            Grouping::AllBut(labels) if labels.is_empty() => Ok(()),
            Grouping::AllBut(labels) => write!(f, " ignoring({})", labels.join(", ")),
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "^",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        })
    }
}
