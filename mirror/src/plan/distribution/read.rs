//! An expression becomes a tree of what shards compute and what the gateway does.

mod functions;
mod reads;

use promql_parser::parser::value::ValueType;
use promql_parser::parser::{
    AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, SubqueryExpr, VectorMatchCardinality,
    VectorSelector,
};

pub(in crate::plan) use self::functions::{FunctionKind, kind_of};
use super::{Across, Grouping, Leaf, Node, Operation, Operator, Reason, Set, Sign};
use crate::plan::enforce::{self, EnforceError, Read};

/// How the shards of a target answer `promql`, of at most `most_bytes`.
///
/// # Errors
/// If the expression is beyond the bounds of [`enforce`], or the parser cannot read it.
pub fn distribute(promql: &str, most_bytes: usize) -> Result<Node, EnforceError> {
    let reader = NodeReader {
        read: enforce::read(promql, most_bytes)?,
    };
    let node = match reader.class(&reader.read.expr)? {
        Class::Node(node) => node,
        class => reader.node(&reader.read.expr, class)?,
    };
    Ok(match node {
        // All of it: as it was written, so that a shard's complaint speaks of the same text.
        Node::Leaf(leaf) => Node::Leaf(Leaf {
            promql: promql.to_owned(),
            ..leaf
        }),
        node => node,
    })
}

/// Whether the value of an expression is put together from those of several shards. Not if it
/// cannot be read: then a shard says what is wrong with it.
#[must_use]
pub fn is_put_together(promql: &str) -> bool {
    match distribute(promql, enforce::MOST_BYTES) {
        Ok(Node::Leaf(leaf)) => {
            !matches!(leaf.across, Across::SideBySide { .. } | Across::Anywhere)
        }
        Ok(_) => true,
        Err(_) => false,
    }
}

/// What is known of a part of an expression.
enum Class {
    /// It reads no series.
    Constant,
    /// Each element is computed of one series. The selector, if all of them are of one metric and
    /// elements have all labels of the series but the name: then no two are alike.
    OfEach(Option<String>),
    /// Anything else.
    Node(Node),
}

/// What parts of an expression read.
struct NodeReader {
    read: Read,
}

type Classified = Result<Class, EnforceError>;

impl NodeReader {
    /// A part as a tree of its own.
    fn node(&self, expr: &Expr, class: Class) -> Result<Node, EnforceError> {
        let across = match class {
            Class::Node(node) => return Ok(node),
            Class::Constant => match expr {
                Expr::NumberLiteral(number) => return Ok(Node::Number(number.val)),
                _ => Across::Anywhere,
            },
            Class::OfEach(selector) => Across::SideBySide {
                are_one: selector.is_some()
                    || matches!(
                        bare(expr),
                        Expr::VectorSelector(_) | Expr::MatrixSelector(_)
                    ),
            },
        };
        Ok(Node::Leaf(self.leaf(expr, across)?))
    }

    fn leaf(&self, expr: &Expr, across: Across) -> Result<Leaf, EnforceError> {
        Ok(Leaf {
            promql: self.read.written(expr)?,
            across,
            is_scalar: expr.value_type() == ValueType::Scalar,
            reads: self.reads(expr)?,
        })
    }

    /// A part that needs all of its series in one place.
    fn alone(&self, expr: &Expr, reason: Reason) -> Classified {
        let leaf = self.leaf(expr, Across::Alone(reason))?;
        Ok(Class::Node(Node::Leaf(leaf)))
    }

    fn class(&self, expr: &Expr) -> Classified {
        if is_constant(expr) {
            return Ok(Class::Constant);
        }
        match expr {
            Expr::Paren(paren) => self.class(&paren.expr),
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs),
            Expr::Subquery(subquery) => self.subquery(expr, subquery),
            Expr::Unary(unary) => match self.class(&unary.expr)? {
                Class::Node(node) => Ok(Class::Node(Node::Binary {
                    operation: Operation {
                        sign: Sign::Multiply,
                        is_bool: false,
                    },
                    matching: Grouping::AllBut(Vec::new()),
                    sides: Box::new((Node::Number(-1.0), node)),
                })),
                class => Ok(class),
            },
            Expr::Call(call) => self.call(expr, call),
            Expr::Aggregate(aggregate) => self.aggregate(expr, aggregate),
            Expr::Binary(binary) => self.binary(expr, binary),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(Class::Constant),
            Expr::Extension(_) => Err(EnforceError::Unreadable),
        }
    }

    fn selector(&self, selector: &VectorSelector) -> Classified {
        let matchers = &selector.matchers;
        let is_named = selector.name.is_some()
            || matchers
                .matchers
                .iter()
                .any(|one| one.name == "__name__" && self.read.is_equality(&one.value));
        let of_one_metric = is_named && matchers.or_matchers.is_empty();
        Ok(Class::OfEach(match of_one_metric {
            true => Some(self.series(selector)?),
            false => None,
        }))
    }

    fn subquery(&self, expr: &Expr, subquery: &SubqueryExpr) -> Classified {
        match self.class(&subquery.expr)? {
            Class::Node(_) => self.alone(expr, Reason::Subquery),
            class => Ok(class),
        }
    }

    fn call(&self, expr: &Expr, call: &Call) -> Classified {
        let name = call.func.name;
        let refused = || self.alone(expr, Reason::Function(name.to_owned()));
        let mut over = call.args.args.iter().filter(|arg| !is_constant(arg));
        let (Some(inner), None) = (over.next(), over.next()) else {
            return refused();
        };
        let kind = kind_of(name);
        let class = match kind {
            FunctionKind::Other => return refused(),
            _ => self.class(inner)?,
        };
        match (kind, class) {
            (FunctionKind::OfEach, class @ (Class::OfEach(_) | Class::Constant)) => Ok(class),
            (FunctionKind::Relabels, Class::OfEach(_)) => Ok(Class::OfEach(None)),
            (FunctionKind::Orders, class) => Ok(class),
            (FunctionKind::Quantile, class) => {
                let Some(rank) = call.args.args.first().and_then(|rank| number(rank)) else {
                    return refused();
                };
                Ok(Class::Node(Node::Quantile {
                    rank,
                    inner: Box::new(self.node(inner, class)?),
                    alone: self.leaf(expr, Across::Alone(Reason::NativeHistograms))?,
                }))
            }
            // The sum of histograms has their observations in sum.
            (FunctionKind::OfEach, Class::Node(Node::Leaf(leaf)))
                if functions::is_linear(name)
                    && leaf.promql.starts_with("sum")
                    && matches!(leaf.across, Across::Folded(super::Fold::Sum)) =>
            {
                Ok(Class::Node(Node::Leaf(Leaf {
                    promql: format!("{name}({})", leaf.promql),
                    ..leaf
                })))
            }
            (FunctionKind::Relabels, Class::Node(node)) => match self.fixed_label(call) {
                Some((label, value)) => Ok(Class::Node(Node::Labelled {
                    label,
                    value,
                    inner: Box::new(node),
                })),
                None => refused(),
            },
            // The alone part within is refused with its own reason.
            (_, Class::Node(Node::Leaf(leaf))) if matches!(leaf.across, Across::Alone(_)) => {
                let leaf = self.leaf(expr, leaf.across)?;
                Ok(Class::Node(Node::Leaf(leaf)))
            }
            _ => refused(),
        }
    }

    /// The label that `label_replace(…, "label", "value", "", "")` adds whatever there is.
    fn fixed_label(&self, call: &Call) -> Option<(String, String)> {
        let text = |index: usize| match call.args.args.get(index).map(|arg| &**arg) {
            Some(Expr::StringLiteral(literal)) => Some(self.read.text(&literal.val).to_owned()),
            _ => None,
        };
        let is_fixed =
            call.func.name == "label_replace" && text(3)?.is_empty() && text(4)?.is_empty();
        let (label, value) = (text(1)?, text(2)?);
        (is_fixed && !value.is_empty() && !value.contains('$')).then_some((label, value))
    }

    fn aggregate(&self, expr: &Expr, aggregate: &AggregateExpr) -> Classified {
        let name = aggregate.op.to_string();
        let operator = match name.as_str() {
            "sum" => Operator::Sum,
            "min" => Operator::Min,
            "max" => Operator::Max,
            "count" => Operator::Count,
            "avg" => Operator::Avg,
            "group" => Operator::Group,
            _ => return self.alone(expr, Reason::Function(name)),
        };
        let grouping = self.grouping(aggregate.modifier.as_ref(), true);
        let class = self.class(&aggregate.expr)?;
        let inner = self.node(&aggregate.expr, class)?;
        Ok(Class::Node(Node::aggregated(operator, grouping, inner)))
    }

    /// Which labels count. An aggregation without any puts all elements together, and an operator
    /// matches all labels.
    fn grouping(&self, modifier: Option<&LabelModifier>, of_aggregation: bool) -> Grouping {
        let texts = |labels: &promql_parser::label::Labels| {
            let labels = labels.labels.iter();
            labels
                .map(|label| self.read.text(label).to_owned())
                .collect()
        };
        match modifier {
            Some(LabelModifier::Include(labels)) => Grouping::Of(texts(labels)),
            Some(LabelModifier::Exclude(labels)) => Grouping::AllBut(texts(labels)),
            None if of_aggregation => Grouping::Of(Vec::new()),
            None => Grouping::AllBut(Vec::new()),
        }
    }

    fn binary(&self, expr: &Expr, binary: &BinaryExpr) -> Classified {
        let (left, right) = (self.class(&binary.lhs)?, self.class(&binary.rhs)?);
        let modifier = binary.modifier.as_ref();
        let matching = modifier.and_then(|modifier| modifier.matching.as_ref());
        let is_scalar = |expr: &Expr| expr.value_type() == ValueType::Scalar;
        match (&left, &right) {
            (Class::OfEach(selector), Class::Constant) if is_scalar(&binary.rhs) => {
                return Ok(Class::OfEach(selector.clone()));
            }
            (Class::Constant, Class::OfEach(selector)) if is_scalar(&binary.lhs) => {
                return Ok(Class::OfEach(selector.clone()));
            }
            // Elements of the same series find each other wherever it is.
            (Class::OfEach(Some(one)), Class::OfEach(Some(other)))
                if one == other && matching.is_none() =>
            {
                return Ok(left);
            }
            _ => {}
        }
        let fills = modifier.is_some_and(|modifier| {
            modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some()
        });
        let is_many = modifier.is_some_and(|modifier| {
            matches!(
                modifier.card,
                VectorMatchCardinality::ManyToOne(_) | VectorMatchCardinality::OneToMany(_)
            )
        });
        let name = binary.op.to_string();
        let set = match name.as_str() {
            "and" => Some(Set::And),
            "or" => Some(Set::Or),
            "unless" => Some(Set::Unless),
            _ => None,
        };
        let sign = sign(&name);
        if is_many || fills {
            return self.alone(expr, Reason::ManyToOne);
        }
        if set.is_none() && sign.is_none() {
            return self.alone(expr, Reason::Operator(name));
        }
        let matching = self.grouping(matching, false);
        let sides = Box::new((
            self.node(&binary.lhs, left)?,
            self.node(&binary.rhs, right)?,
        ));
        Ok(Class::Node(match (set, sign) {
            (Some(set), _) => Node::Set {
                set,
                matching,
                sides,
            },
            (None, Some(sign)) => Node::Binary {
                operation: Operation {
                    sign,
                    is_bool: binary.return_bool(),
                },
                matching,
                sides,
            },
            (None, None) => return Err(EnforceError::Unreadable),
        }))
    }
}

/// Whether it reads no series.
fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::VectorSelector(_) | Expr::MatrixSelector(_) | Expr::Extension(_) => false,
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => true,
        Expr::Paren(paren) => is_constant(&paren.expr),
        Expr::Unary(unary) => is_constant(&unary.expr),
        Expr::Subquery(subquery) => is_constant(&subquery.expr),
        Expr::Binary(binary) => is_constant(&binary.lhs) && is_constant(&binary.rhs),
        Expr::Call(call) => call.args.args.iter().all(|arg| is_constant(arg)),
        Expr::Aggregate(aggregate) => {
            is_constant(&aggregate.expr) && aggregate.param.iter().all(|one| is_constant(one))
        }
    }
}

/// Without brackets around it.
fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => bare(&paren.expr),
        other => other,
    }
}

/// A number as it is written.
fn number(expr: &Expr) -> Option<f64> {
    match bare(expr) {
        Expr::NumberLiteral(number) => Some(number.val),
        Expr::Unary(unary) => number(&unary.expr).map(|number| -number),
        _ => None,
    }
}

fn sign(name: &str) -> Option<Sign> {
    Some(match name {
        "+" => Sign::Add,
        "-" => Sign::Subtract,
        "*" => Sign::Multiply,
        "/" => Sign::Divide,
        "%" => Sign::Modulo,
        "^" => Sign::Power,
        "==" => Sign::Equal,
        "!=" => Sign::NotEqual,
        "<" => Sign::Less,
        "<=" => Sign::LessOrEqual,
        ">" => Sign::Greater,
        ">=" => Sign::GreaterOrEqual,
        _ => return None,
    })
}
