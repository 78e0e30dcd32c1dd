//! Conditions: at most one says what kind of metric is meant, the others become matchers.

use serde_json::Number;

use super::DecodeError;
use super::object::{Object, beginning};
use super::pruned::Json;
use crate::execute::counted::MOST_PROMQL_BYTES;
use crate::plan::kind::{QueryKind, QueryKindName};
use crate::plan::selector::{Matcher, texts_of_double, written_length};

/// The most conditions of a query: each is looked at for each series.
const MOST_CONDITIONS: usize = 200;

/// The most elements of a set.
const MOST_ELEMENTS: usize = 10_000;

/// What all conditions together may take up in PromQL, in bytes. An expression has a selector
/// several times.
const MOST_WRITTEN: usize = 128 << 10;

/// What is left of [`MOST_WRITTEN`].
struct Room(usize);

impl Room {
    fn take(&mut self, value: &Object<'_>, text: &str) -> Result<(), DecodeError> {
        self.0 = self.0.checked_sub(written_length(text)).ok_or_else(|| {
            let problem = format!(
                "the conditions take up more than {MOST_WRITTEN} bytes in a query: ask for fewer or shorter values"
            );
            value.fault("value", &problem)
        })?;
        Ok(())
    }
}

/// What kind of metric a query is about, if it says so, and its other conditions.
pub(super) fn conditions(
    query: &Object<'_>,
) -> Result<(Option<QueryKind>, Vec<Matcher>), DecodeError> {
    let mut named: Option<(QueryKindName, String)> = None;
    let mut matchers = Vec::new();
    let mut room = Room(MOST_WRITTEN);
    if let Some(Json::List(all)) = query.optional("conditions")
        && all.len() > MOST_CONDITIONS
    {
        let problem = format!("must have at most {MOST_CONDITIONS} entries");
        return Err(query.fault("conditions", &problem));
    }
    for condition in query.list("conditions")? {
        if let Some(said) = condition.optional_string("_type")?
            && said != "EqualityCondition"
        {
            let problem = format!(
                "EqualityCondition is the only one there is, not {:?}",
                beginning(said)
            );
            return Err(condition.fault("_type", &problem));
        }
        let key = condition.string("key")?;
        let value = condition.object("value")?;
        let Some(kind) = QueryKindName::parse(key) else {
            if key.is_empty() {
                return Err(condition.fault("key", "must not be empty"));
            }
            room.take(&value, key)?;
            let mut all = Vec::new();
            texts(&value, &mut room, &mut all)?;
            matchers.push(Matcher::one_of(key, all));
            continue;
        };
        if let Some((other, _)) = &named {
            let problem = format!(
                "{key} says which metric is meant, but {} does already",
                other.key()
            );
            return Err(condition.fault("key", &problem));
        }
        named = Some((kind, metric(kind, &value, &mut room)?));
    }
    let kind = named.map(|(kind, text)| QueryKind::new(kind, text, matchers.clone()));
    Ok((kind, matchers))
}

/// The name of a metric, or an expression.
fn metric(kind: QueryKindName, value: &Object<'_>, room: &mut Room) -> Result<String, DecodeError> {
    match value_type(value)? {
        "StringValue" => {}
        unsupported => return Err(DecodeError::Unsupported(beginning(unsupported))),
    }
    let text = value.string("value")?;
    if kind != QueryKindName::Expression {
        room.take(value, text)?;
    } else if text.len() > MOST_PROMQL_BYTES {
        let problem = format!("must have at most {MOST_PROMQL_BYTES} bytes");
        return Err(value.fault("value", &problem));
    }
    Ok(text.to_owned())
}

/// The `_type` of a condition's value; where it is left out, the one that fits the JSON.
fn value_type<'a>(value: &Object<'a>) -> Result<&'a str, DecodeError> {
    if let Some(said) = value.optional_string("_type")? {
        return Ok(said);
    }
    match value.required("value")? {
        Json::Text(_) => Ok("StringValue"),
        Json::Number(_) => Ok("DoubleValue"),
        Json::Bool(_) => Ok("BooleanValue"),
        Json::List(_) => Ok("InSetValue"),
        Json::Null | Json::Object(_) => Err(value.fault(
            "value",
            "must be a text, a number, true, false, or an array",
        )),
    }
}

/// Adds the label texts that satisfy a condition's value.
fn texts(value: &Object<'_>, room: &mut Room, all: &mut Vec<String>) -> Result<(), DecodeError> {
    let mut add = |text: String| {
        room.take(value, &text)?;
        all.push(text);
        Ok(())
    };
    match value_type(value)? {
        "StringValue" => add(value.string("value")?.to_owned()),
        "DoubleValue" => match value.required("value")? {
            Json::Number(number) => of_number(number).into_iter().try_for_each(add),
            _ => Err(value.fault("value", "must be a number")),
        },
        "BooleanValue" => match value.required("value")? {
            Json::Bool(truth) => add(truth.to_string()),
            _ => Err(value.fault("value", "must be true or false")),
        },
        "InSetValue" => {
            let Json::List(elements) = value.required("value")? else {
                return Err(value.fault("value", "must be an array"));
            };
            if elements.is_empty() {
                return Err(value.fault("value", "must have at least one element"));
            }
            if elements.len() > MOST_ELEMENTS {
                let problem = format!("must have at most {MOST_ELEMENTS} elements");
                return Err(value.fault("value", &problem));
            }
            for (index, element) in elements.iter().enumerate() {
                let mut add = |text: String| {
                    room.take(value, &text)?;
                    all.push(text);
                    Ok(())
                };
                match element {
                    Json::Text(text) => add(text.clone().into_owned())?,
                    Json::Bool(truth) => add(truth.to_string())?,
                    Json::Number(number) => of_number(number).into_iter().try_for_each(add)?,
                    // A value with its type, as conditions have one.
                    _ => {
                        let path = value.path_of(&format!("value[{index}]"));
                        texts(&Object::of(path, element)?, room, all)?;
                    }
                }
            }
            Ok(())
        }
        unknown => Err(DecodeError::Unsupported(beginning(unknown))),
    }
}

fn of_number(number: &Number) -> Vec<String> {
    texts_of_double(number.as_f64().unwrap_or(f64::NAN))
}
