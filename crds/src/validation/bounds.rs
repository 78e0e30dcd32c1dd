//! What the schema says about one value: type, enum, length, range, pattern, format.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use regex_lite::Regex;
use serde_json::Value;

use super::suggest::closest;
use crate::{Fault, patterns};

/// A value that is not what it must be.
pub(super) fn wrong_type(path: &str, expected: &str, found: &Value) -> Fault {
    Fault::new(path, format!("must be {expected}, is {}", describe(found)))
}

/// Whether the value has the type of the schema.
pub(super) fn check_type(path: &str, value: &Value, schema: &Value) -> Result<(), Fault> {
    if schema["x-kubernetes-int-or-string"] == Value::Bool(true) {
        let fits = is_integer(value) || value.is_string();
        return if fits {
            Ok(())
        } else {
            Err(wrong_type(path, "a whole number or text", value))
        };
    }
    let (expected, fits) = match schema["type"].as_str() {
        Some("object") => ("an object (fields and their values)", value.is_object()),
        Some("array") => ("a list", value.is_array()),
        Some("string") => ("text", value.is_string()),
        Some("integer") => ("a whole number", is_integer(value)),
        Some("boolean") => ("true or false", value.is_boolean()),
        _ => return Ok(()),
    };
    if fits {
        return Ok(());
    }
    let fault = wrong_type(path, expected, value);
    Err(match (schema["type"].as_str(), value) {
        (Some("integer"), Value::String(text)) if text.parse::<i64>().is_ok() => {
            fault.hint(format!("write {text} without quotes"))
        }
        (Some("boolean"), Value::String(text)) if ["true", "false"].contains(&text.as_str()) => {
            fault.hint(format!("write {text} without quotes"))
        }
        (Some("string"), Value::Number(_) | Value::Bool(_)) => {
            fault.hint(format!("write it in quotes: \"{value}\""))
        }
        (Some("array"), _) => fault.hint("start each entry with a dash"),
        _ => fault,
    })
}

/// Checks everything but the type.
pub(super) fn check(path: &str, value: &Value, schema: &Value, faults: &mut Vec<Fault>) {
    let fault = match value {
        Value::String(text) => check_text(path, text, schema),
        Value::Number(_) => value
            .as_i64()
            .and_then(|number| check_number(path, number, schema)),
        Value::Array(items) => check_size(
            path,
            items.len(),
            ["minItems", "maxItems"],
            ["entry", "entries"],
            schema,
        ),
        Value::Object(fields) => check_size(
            path,
            fields.len(),
            ["minProperties", "maxProperties"],
            ["entry", "entries"],
            schema,
        ),
        _ => None,
    };
    faults.extend(fault);
}

fn check_text(path: &str, text: &str, schema: &Value) -> Option<Fault> {
    if let Some(allowed) = schema["enum"].as_array() {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        if !allowed.contains(&text) {
            let fault = Fault::new(
                path,
                format!("must be {}, is {}", one_of(&allowed), shorten(text)),
            );
            return Some(match closest(text, allowed.iter().copied()) {
                Some(meant) => fault.hint(format!("did you mean {meant}?")),
                None => fault,
            });
        }
    }
    if text.is_empty() && schema["minLength"].as_u64().is_some_and(|least| least > 0) {
        return Some(Fault::new(path, "must not be empty"));
    }
    let units = ["character", "characters"];
    if let Some(fault) = check_size(
        path,
        text.chars().count(),
        ["minLength", "maxLength"],
        units,
        schema,
    ) {
        return Some(fault);
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && !Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))
    {
        return Some(
            match patterns::ALL.iter().find(|known| known.regex == pattern) {
                Some(known) => Fault::new(
                    path,
                    format!("must be {}, is {}", known.meaning, shorten(text)),
                )
                .hint(format!("for example {}", known.example)),
                None => Fault::new(path, format!("must match {pattern}, is {}", shorten(text))),
            },
        );
    }
    let bad_time =
        schema["format"] == "date-time" && serde_json::from_value::<Time>(text.into()).is_err();
    bad_time.then(|| {
        Fault::new(path, format!("must be a time, is {}", shorten(text)))
            .hint("for example 2026-01-31T12:00:00Z")
    })
}

fn check_number(path: &str, number: i64, schema: &Value) -> Option<Fault> {
    let least = schema["minimum"].as_i64();
    let most = schema["maximum"].as_i64();
    let (low, high) = if schema["format"] == "int32" {
        (i32::MIN.into(), i32::MAX.into())
    } else {
        (i64::MIN, i64::MAX)
    };
    if (least.unwrap_or(low)..=most.unwrap_or(high)).contains(&number) {
        return None;
    }
    Some(Fault::new(
        path,
        match (least, most) {
            (Some(least), Some(most)) => format!("must be from {least} to {most}, is {number}"),
            (Some(least), None) if number < least => {
                format!("must be at least {least}, is {number}")
            }
            (None, Some(most)) if number > most => format!("must be at most {most}, is {number}"),
            _ => format!("must be from {low} to {high}, is {number}"),
        },
    ))
}

fn check_size(
    path: &str,
    size: usize,
    [least, most]: [&str; 2],
    units: [&str; 2],
    schema: &Value,
) -> Option<Fault> {
    let bound = |name: &str| {
        schema[name]
            .as_u64()
            .and_then(|bound| usize::try_from(bound).ok())
    };
    let count = |n: usize| format!("{n} {}", if n == 1 { units[0] } else { units[1] });
    let too_few = bound(least)
        .filter(|least| size < *least)
        .map(|least| format!("at least {}", count(least)));
    let too_many = bound(most)
        .filter(|most| size > *most)
        .map(|most| format!("at most {}", count(most)));
    too_few
        .or(too_many)
        .map(|bound| Fault::new(path, format!("must have {bound}, has {size}")))
}

fn is_integer(value: &Value) -> bool {
    value.is_i64()
}

fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("the text {}", shorten(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// A text in quotes, cut when it is long: it may be a key that landed in the wrong field.
fn shorten(text: &str) -> String {
    const MOST: usize = 48;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
