//! Conditions: at most one says what kind of metric is meant, the others become matchers.

use serde_json::Value;

use super::DecodeError;
use super::object::{Object, beginning};
use crate::query::selector::{Matcher, Selector, texts_of_double};
use crate::query::{KIND_KEYS, Kind};

/// What kind of metric a query is about, if it says so, and its other conditions.
pub(super) fn conditions(query: &Object<'_>) -> Result<(Option<Kind>, Vec<Matcher>), DecodeError> {
    let mut named: Option<(&str, String)> = None;
    let mut matchers = Vec::new();
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
        if !KIND_KEYS.contains(&key) {
            if key.is_empty() {
                return Err(condition.fault("key", "must not be empty"));
            }
            matchers.push(Matcher::one_of(key, texts(&value)?));
        } else if let Some((other, _)) = &named {
            return Err(condition.fault(
                "key",
                &format!("{key} says which metric is meant, but {other} does already"),
            ));
        } else {
            match value_type(&value)? {
                "StringValue" => named = Some((key, value.string("value")?.to_owned())),
                unsupported => return Err(DecodeError::Unsupported(beginning(unsupported))),
            }
        }
    }
    let kind = named.map(|(key, name)| {
        let selector = || Selector::new(&name, matchers.clone());
        match key {
            "__counter__" => Kind::Counter(selector()),
            "__gauge__" => Kind::Gauge(selector()),
            "__histogram__" => Kind::Histogram(selector()),
            "__summary__" => Kind::Summary(selector()),
            _ => Kind::Expression {
                promql: name,
                matchers: matchers.clone(),
            },
        }
    });
    Ok((kind, matchers))
}

/// The `_type` of a condition's value; where it is left out, the one that fits the JSON.
fn value_type<'a>(value: &Object<'a>) -> Result<&'a str, DecodeError> {
    if let Some(said) = value.optional_string("_type")? {
        return Ok(said);
    }
    match value.required("value")? {
        Value::String(_) => Ok("StringValue"),
        Value::Number(_) => Ok("DoubleValue"),
        Value::Bool(_) => Ok("BooleanValue"),
        Value::Array(_) => Ok("InSetValue"),
        Value::Null | Value::Object(_) => Err(value.fault(
            "value",
            "must be a text, a number, true, false, or an array",
        )),
    }
}

/// The label texts that satisfy a condition's value.
fn texts(value: &Object<'_>) -> Result<Vec<String>, DecodeError> {
    match value_type(value)? {
        "StringValue" => Ok(vec![value.string("value")?.to_owned()]),
        "DoubleValue" => match value.required("value")? {
            Value::Number(number) => Ok(texts_of_double(number.as_f64().unwrap_or(f64::NAN))),
            _ => Err(value.fault("value", "must be a number")),
        },
        "BooleanValue" => match value.required("value")? {
            Value::Bool(truth) => Ok(vec![truth.to_string()]),
            _ => Err(value.fault("value", "must be true or false")),
        },
        "InSetValue" => {
            let Value::Array(elements) = value.required("value")? else {
                return Err(value.fault("value", "must be an array"));
            };
            if elements.is_empty() {
                return Err(value.fault("value", "must have at least one element"));
            }
            let mut all = Vec::with_capacity(elements.len());
            for (index, element) in elements.iter().enumerate() {
                match element {
                    Value::String(text) => all.push(text.clone()),
                    Value::Bool(truth) => all.push(truth.to_string()),
                    Value::Number(number) => {
                        all.extend(texts_of_double(number.as_f64().unwrap_or(f64::NAN)))
                    }
                    // A value with its type, as conditions have one.
                    _ => all.extend(texts(&Object::of(
                        value.path_of(&format!("value[{index}]")),
                        element,
                    )?)?),
                }
            }
            Ok(all)
        }
        unknown => Err(DecodeError::Unsupported(beginning(unknown))),
    }
}
