//! Operators between elements: which belong together, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Uncombinable, fold, numbers};
use crate::model::series::{Labels, Samples, Series};
use crate::model::time::Timestamp;
use crate::plan::distribution::{Grouping, Operation, Set, Sign};
use crate::plan::value;

/// An operand.
pub(super) enum Side {
    /// The same number at every instant.
    Number(f64),
    /// A number at each instant.
    Scalar(BTreeMap<Timestamp, f64>),
    /// Elements.
    Vector(Vec<Series>),
}

/// Whether an operand's elements are those of the left or the right side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Left,
    Right,
}

/// The result of arithmetic or a comparison.
pub(super) fn binary(
    operation: Operation,
    matching: &Grouping,
    sides: (Side, Side),
    drops_nan: bool,
) -> Result<Vec<Series>, Uncombinable> {
    let computing = Computing {
        operation,
        drops_nan,
    };
    let sides = match sides {
        (Side::Vector(left), Side::Vector(right))
            if drops_nan && *matching == Grouping::AllBut(Vec::new()) =>
        {
            let (left, right) = as_metricsql_matches(left, right);
            (Side::Vector(left), Side::Vector(right))
        }
        sides => sides,
    };
    match sides {
        (Side::Vector(left), Side::Vector(right)) => computing.vectors(matching, &left, &right),
        (Side::Vector(all), number) => {
            fold::distinct(&computing.with_number(all, &number, Place::Left))
        }
        (number, Side::Vector(all)) => {
            fold::distinct(&computing.with_number(all, &number, Place::Right))
        }
        (left, right) => Ok(computing.scalars(&left, &right)),
    }
}

/// VictoriaMetrics takes a single element without labels for a number, which goes with each element
/// of the other side.
fn as_metricsql_matches(left: Vec<Series>, right: Vec<Series>) -> (Vec<Series>, Vec<Series>) {
    let is_number = |all: &[Series]| matches!(all, [only] if only.labels.is_empty());
    let for_each = |number: &[Series], others: &[Series]| -> Vec<Series> {
        let with_labels = |other: &Series| Series {
            labels: other.labels.clone(),
            ..number[0].clone()
        };
        others.iter().map(with_labels).collect()
    };
    match (is_number(&left), is_number(&right)) {
        (true, false) => (for_each(&left, &right), right),
        (false, true) => {
            let numbers = for_each(&right, &left);
            (left, numbers)
        }
        _ => (left, right),
    }
}

/// What is computed, and what counts as a result.
struct Computing {
    operation: Operation,
    drops_nan: bool,
}

impl Computing {
    /// The text of a result; none where there is none. `kept` is what a comparison leaves.
    fn result(&self, left: f64, right: f64, kept: &str) -> Option<String> {
        let sign = self.operation.sign;
        if !sign.is_comparison() {
            let result = arithmetic(sign, left, right);
            return (!(self.drops_nan && result.is_nan())).then(|| value::write(result));
        }
        match (compares(sign, left, right), self.operation.is_bool) {
            (true, true) => Some("1".to_owned()),
            (false, true) => Some("0".to_owned()),
            (true, false) => Some(kept.to_owned()),
            (false, false) => None,
        }
    }

    /// Whether elements keep their name.
    fn keeps_name(&self) -> bool {
        self.operation.sign.is_comparison() && !self.operation.is_bool
    }

    fn with_number(&self, all: Vec<Series>, number: &Side, place: Place) -> Vec<Series> {
        let at = |instant: Timestamp| match number {
            Side::Number(number) => Some(*number),
            Side::Scalar(numbers) => numbers.get(&instant).copied(),
            Side::Vector(_) => None,
        };
        let series = all.into_iter().map(|mut one| {
            let mut samples = Samples::default();
            for (instant, text) in one.samples.iter() {
                let Some(number) = at(instant) else { continue };
                let own = value::parse(text);
                let result = match place {
                    Place::Left => self.result(own, number, text),
                    Place::Right => self.result(number, own, text),
                };
                if let Some(result) = result {
                    samples.push(instant, &result);
                }
            }
            if !self.keeps_name() {
                one.labels.remove("__name__");
            }
            Series { samples, ..one }
        });
        series.filter(|one| !one.samples.is_empty()).collect()
    }

    /// Two numbers: there is a result where one of them is known for each instant.
    fn scalars(&self, left: &Side, right: &Side) -> Vec<Series> {
        let instants: BTreeSet<Timestamp> = match (left, right) {
            (Side::Scalar(one), _) | (_, Side::Scalar(one)) => one.keys().copied().collect(),
            _ => BTreeSet::new(),
        };
        let at = |side: &Side, instant| match side {
            Side::Number(number) => Some(*number),
            Side::Scalar(numbers) => numbers.get(&instant).copied(),
            Side::Vector(_) => None,
        };
        let mut samples = Samples::default();
        for instant in instants {
            if let (Some(left), Some(right)) = (at(left, instant), at(right, instant))
                && let Some(result) = self.result(left, right, "")
            {
                samples.push(instant, &result);
            }
        }
        vec![Series {
            samples,
            ..Series::default()
        }]
    }

    /// One element of each side belongs together, at each instant.
    fn vectors(
        &self,
        matching: &Grouping,
        left: &[Series],
        right: &[Series],
    ) -> Result<Vec<Series>, Uncombinable> {
        // Where one side has nothing at all, PromQL does not look at the other.
        let compared: BTreeSet<Timestamp> = left
            .iter()
            .flat_map(|one| one.samples.iter().map(|(at, _)| at))
            .collect();
        let mut others: BTreeMap<Labels, BTreeMap<Timestamp, f64>> = BTreeMap::new();
        for one in right {
            let group = others.entry(matching.of(&one.labels)).or_default();
            for (at, value) in numbers(&one.samples) {
                if group.insert(at, value).is_some() && compared.contains(&at) {
                    return Err(several("right"));
                }
            }
        }
        let mut taken: BTreeMap<Labels, BTreeSet<Timestamp>> = BTreeMap::new();
        let mut results = Vec::new();
        for one in left {
            let group = matching.of(&one.labels);
            let Some(other) = others.get(&group) else {
                continue;
            };
            let taken = taken.entry(group).or_default();
            let mut samples = Samples::default();
            for (at, text) in one.samples.iter() {
                let Some(value) = other.get(&at) else {
                    continue;
                };
                if !taken.insert(at) {
                    return Err(several("left"));
                }
                if let Some(result) = self.result(value::parse(text), *value, text) {
                    samples.push(at, &result);
                }
            }
            if !samples.is_empty() {
                results.push(Series {
                    labels: self.labels(matching, &one.labels),
                    samples,
                    ..Series::default()
                });
            }
        }
        Ok(fold::united(&results))
    }

    /// The labels of a result of elements that were matched one to one.
    fn labels(&self, matching: &Grouping, labels: &Labels) -> Labels {
        let mut kept = matching.of(labels);
        if !self.keeps_name() {
            kept.remove("__name__");
        } else if matches!(matching, Grouping::AllBut(_))
            && let Some(name) = labels.get("__name__")
        {
            kept.insert("__name__".to_owned(), name.clone());
        }
        kept
    }
}

fn several(side: &str) -> Uncombinable {
    Uncombinable::Refused(format!(
        "found duplicate series for the match group on the {side} hand-side of the operation"
    ))
}

fn arithmetic(sign: Sign, left: f64, right: f64) -> f64 {
    match sign {
        Sign::Add => left + right,
        Sign::Subtract => left - right,
        Sign::Multiply => left * right,
        Sign::Divide => left / right,
        Sign::Modulo => left % right,
        Sign::Power => left.powf(right),
        _ => f64::NAN,
    }
}

#[expect(clippy::float_cmp, reason = "as PromQL compares")]
fn compares(sign: Sign, left: f64, right: f64) -> bool {
    match sign {
        Sign::Equal => left == right,
        Sign::NotEqual => left != right,
        Sign::Less => left < right,
        Sign::LessOrEqual => left <= right,
        Sign::Greater => left > right,
        Sign::GreaterOrEqual => left >= right,
        _ => false,
    }
}

/// The result of a set operation.
pub(super) fn set(
    set: Set,
    matching: &Grouping,
    left: Vec<Series>,
    right: Vec<Series>,
) -> Vec<Series> {
    match set {
        Set::And => only(left, &instants(&right, matching), matching, true),
        Set::Unless => only(left, &instants(&right, matching), matching, false),
        Set::Or => {
            let right = only(right, &instants(&left, matching), matching, false);
            fold::united(&left.into_iter().chain(right).collect::<Vec<_>>())
        }
    }
}

type Instants = BTreeMap<Labels, BTreeSet<Timestamp>>;

/// When there is an element in each group.
fn instants(all: &[Series], matching: &Grouping) -> Instants {
    let mut instants = Instants::new();
    for one in all {
        let group = instants.entry(matching.of(&one.labels)).or_default();
        group.extend(one.samples.iter().map(|(at, _)| at));
        group.extend(one.histograms.iter().map(|histogram| histogram.at));
    }
    instants
}

/// What of these elements is at instants at which their group has others, or has none.
fn only(
    all: Vec<Series>,
    instants: &Instants,
    matching: &Grouping,
    with_others: bool,
) -> Vec<Series> {
    let none = BTreeSet::new();
    let series = all.into_iter().map(|mut one| {
        let others = instants.get(&matching.of(&one.labels)).unwrap_or(&none);
        let stays = |at: Timestamp| others.contains(&at) == with_others;
        let mut samples = Samples::default();
        for (at, text) in one.samples.iter().filter(|(at, _)| stays(*at)) {
            samples.push(at, text);
        }
        one.histograms.retain(|histogram| stays(histogram.at));
        Series { samples, ..one }
    });
    let has_any = |one: &Series| !one.samples.is_empty() || !one.histograms.is_empty();
    series.filter(has_any).collect()
}
