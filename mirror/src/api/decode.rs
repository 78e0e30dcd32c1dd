//! Request bodies become requests that can't be wrong. Unknown fields are ignored, unknown types are refused, and every fault
//! names the field it is about.

use serde_json::{Map, Value};

use crate::evaluate::fields::{FieldQuery, ValuesQuery};
use crate::query::selector::{Matcher, Selector, texts_of_double};
use crate::query::{Aggregation, KIND_KEYS, Kind, Method};
use crate::time::{Millis, Timestamp};

/// How deep a body may be nested.
pub const MAX_DEPTH: usize = 64;

/// No limit, as StackState writes it.
const NO_LIMIT: u64 = i32::MAX as u64;

/// The end of the year 9999: later instants are a mistake in the unit.
const LATEST: i64 = 253_402_300_799_999;

/// Why a body is not a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Malformed JSON, a field that is missing or has the wrong form, times that make no sense.
    #[error("{0}")]
    Malformed(String),
    /// A type that has no meaning where it stands.
    #[error("{0} has no meaning here")]
    Unsupported(String),
    /// A metric query that names no metric.
    #[error("no condition says which metric is meant: one of {} is needed", KIND_KEYS.join(", "))]
    NoKind,
}

/// What every request has.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Which Prometheus; chosen elsewhere.
    pub connection_details: Map<String, Value>,
    /// What is asked for.
    pub query: Query,
}

/// The four methods' queries.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// Does the connection work?
    Connection,
    /// Which fields are there?
    FieldNames(FieldQuery),
    /// Which values has a field?
    FieldValues(ValuesQuery),
    /// Which points has a metric?
    Metric(MetricRequest),
}

/// A metric query that still lacks what its target decides.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricRequest {
    /// What is asked for.
    pub kind: Kind,
    /// The earliest instant.
    pub start: Timestamp,
    /// The latest, not before `start`.
    pub end: Timestamp,
    /// At most so many points.
    pub limit: Option<u64>,
    /// Absent: raw points.
    pub aggregation: Option<Aggregation>,
    /// The aggregation's method as the request spells it.
    pub method: Option<String>,
}

/// The `_type` of a request, which must be the one of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestType {
    /// `/api/connection`
    Connection,
    /// `/api/field/name`
    FieldNames,
    /// `/api/field/value`
    FieldValues,
    /// `/api/metric`
    Metric,
}

impl RequestType {
    const ALL: [Self; 4] = [
        Self::Connection,
        Self::FieldNames,
        Self::FieldValues,
        Self::Metric,
    ];

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Connection => ("TestConnectionRequest", ""),
            Self::FieldNames => ("FieldNamesRequest", "FieldNamesQuery"),
            Self::FieldValues => ("FieldValuesRequest", "FieldValuesQuery"),
            Self::Metric => ("MetricsRequest", "MetricsQuery"),
        }
    }
}

/// Reads a body as a request of the given type; of any type if none is given (but not a connection test).
///
/// # Errors
///
/// See [`DecodeError`].
pub fn request(body: &[u8], expected: Option<RequestType>) -> Result<Request, DecodeError> {
    if nesting(body) > MAX_DEPTH {
        return Err(DecodeError::Malformed(format!(
            "the body is nested deeper than {MAX_DEPTH} levels"
        )));
    }
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| DecodeError::Malformed(format!("the body is not JSON: {error}")))?;
    let body = Object::root(&body)?;
    let said = body.string("_type")?;
    let request_type = match expected {
        Some(expected) if expected.names().0 == said => expected,
        Some(expected) => {
            return Err(DecodeError::Malformed(format!(
                "_type: {} is expected here, not {said:?}",
                expected.names().0
            )));
        }
        None => RequestType::ALL
            .into_iter()
            .find(|known| known.names().0 == said && *known != RequestType::Connection)
            .ok_or_else(|| {
                DecodeError::Malformed(format!(
                    "_type: {said:?} cannot be explained; MetricsRequest can, and the two of fields"
                ))
            })?,
    };
    let connection_details = body.object("connectionDetails")?.fields.clone();
    let query = match request_type {
        RequestType::Connection => Query::Connection,
        _ => self::query(&body.object("query")?, request_type)?,
    };
    Ok(Request {
        connection_details,
        query,
    })
}

fn query(query: &Object<'_>, request_type: RequestType) -> Result<Query, DecodeError> {
    let expected = request_type.names().1;
    let said = query.string("_type")?;
    if said != expected {
        return Err(query.fault(
            "_type",
            &format!("{expected} is expected here, not {said:?}"),
        ));
    }
    let (start, end) = (query.instant("startTime")?, query.instant("endTime")?);
    if start > end {
        return Err(query.fault(
            "startTime",
            &format!("{} is after the endTime {}", start.0, end.0),
        ));
    }
    let limit = query.count("limit")?.filter(|limit| *limit < NO_LIMIT);
    if limit == Some(0) {
        return Err(query.fault("limit", "must be at least 1; leave it out for no limit"));
    }
    let (kind, matchers) = conditions(query)?;
    let fields = |kind| FieldQuery {
        kind,
        matchers: matchers.clone(),
        start,
        end,
        limit,
    };
    Ok(match request_type {
        RequestType::FieldValues => Query::FieldValues(ValuesQuery {
            fields: fields(kind),
            field: query.string("field")?.to_owned(),
            prefix: query
                .optional_string("fieldValuePrefix")?
                .unwrap_or_default()
                .to_owned(),
            offset: query.count("offset")?.unwrap_or(0),
        }),
        RequestType::Metric => {
            let aggregation = match query.optional("aggregation") {
                Some(_) => Some(aggregation(&query.object("aggregation")?)?),
                None => None,
            };
            Query::Metric(MetricRequest {
                kind: kind.ok_or(DecodeError::NoKind)?,
                start,
                end,
                limit,
                aggregation: aggregation.as_ref().map(|(aggregation, _)| *aggregation),
                method: aggregation.map(|(_, method)| method),
            })
        }
        RequestType::Connection | RequestType::FieldNames => Query::FieldNames(fields(kind)),
    })
}

fn aggregation(aggregation: &Object<'_>) -> Result<(Aggregation, String), DecodeError> {
    let said = aggregation.string("_type")?;
    if said != "Aggregation" {
        return Err(aggregation.fault(
            "_type",
            &format!("Aggregation is expected here, not {said:?}"),
        ));
    }
    let name = aggregation.string("method")?;
    let method = Method::parse(name).ok_or_else(|| DecodeError::Unsupported(name.to_owned()))?;
    let bucket = aggregation.integer("bucketSizeMillis")?;
    if !(1..=LATEST).contains(&bucket) {
        return Err(aggregation.fault("bucketSizeMillis", "must be at least 1"));
    }
    Ok((
        Aggregation {
            method,
            bucket: Millis(bucket),
        },
        name.to_owned(),
    ))
}

/// The conditions: at most one says what kind of metric is meant, the others become matchers.
fn conditions(query: &Object<'_>) -> Result<(Option<Kind>, Vec<Matcher>), DecodeError> {
    let mut named: Option<(&str, String)> = None;
    let mut matchers = Vec::new();
    for condition in query.list("conditions")? {
        let said = condition.string("_type")?;
        if said != "EqualityCondition" {
            return Err(condition.fault(
                "_type",
                &format!("EqualityCondition is the only one there is, not {said:?}"),
            ));
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
            match value.string("_type")? {
                "StringValue" => named = Some((key, value.string("value")?.to_owned())),
                unsupported => return Err(DecodeError::Unsupported(unsupported.to_owned())),
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

/// The label texts that satisfy a condition's value.
fn texts(value: &Object<'_>) -> Result<Vec<String>, DecodeError> {
    match value.string("_type")? {
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
        unknown => Err(DecodeError::Unsupported(unknown.to_owned())),
    }
}

/// How deep arrays and objects are nested, whatever else is wrong with the text.
fn nesting(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// An object of the body that knows where it stands.
struct Object<'a> {
    path: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn root(value: &'a Value) -> Result<Self, DecodeError> {
        Self::of(String::new(), value)
    }

    fn of(path: String, value: &'a Value) -> Result<Self, DecodeError> {
        match value {
            Value::Object(fields) => Ok(Self { path, fields }),
            _ if path.is_empty() => Err(DecodeError::Malformed(
                "the body must be an object".to_owned(),
            )),
            _ => Err(DecodeError::Malformed(format!("{path}: must be an object"))),
        }
    }

    fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    fn fault(&self, field: &str, problem: &str) -> DecodeError {
        DecodeError::Malformed(format!("{}: {problem}", self.path_of(field)))
    }

    /// A field that is there; JSON's null is not.
    fn optional(&self, field: &str) -> Option<&'a Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    fn required(&self, field: &str) -> Result<&'a Value, DecodeError> {
        self.optional(field)
            .ok_or_else(|| self.fault(field, "is missing"))
    }

    fn object(&self, field: &str) -> Result<Object<'a>, DecodeError> {
        Self::of(self.path_of(field), self.required(field)?)
    }

    /// A list of objects; an absent one is empty.
    fn list(&self, field: &str) -> Result<Vec<Object<'a>>, DecodeError> {
        let elements = match self.optional(field) {
            None => return Ok(Vec::new()),
            Some(Value::Array(elements)) => elements,
            Some(_) => return Err(self.fault(field, "must be an array")),
        };
        let path = |index: usize| format!("{}[{index}]", self.path_of(field));
        elements
            .iter()
            .enumerate()
            .map(|(index, element)| Self::of(path(index), element))
            .collect()
    }

    fn string(&self, field: &str) -> Result<&'a str, DecodeError> {
        self.required(field)?
            .as_str()
            .ok_or_else(|| self.fault(field, "must be a string"))
    }

    fn optional_string(&self, field: &str) -> Result<Option<&'a str>, DecodeError> {
        self.optional(field).map(|_| self.string(field)).transpose()
    }

    /// A whole number, also when it is written as `1.0` or `1e3`.
    fn integer(&self, field: &str) -> Result<i64, DecodeError> {
        let value = self.required(field)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole numbers below 2^53 only"
        )]
        let whole =
            |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
        value
            .as_i64()
            .or_else(|| value.as_f64().and_then(whole))
            .ok_or_else(|| self.fault(field, "must be a whole number"))
    }

    fn instant(&self, field: &str) -> Result<Timestamp, DecodeError> {
        let at = self.integer(field)?;
        if !(0..=LATEST).contains(&at) {
            return Err(self.fault(
                field,
                "must be milliseconds since 1970, no later than the year 9999",
            ));
        }
        Ok(Timestamp(at))
    }

    /// A number of things, if it is there.
    fn count(&self, field: &str) -> Result<Option<u64>, DecodeError> {
        if self.optional(field).is_none() {
            return Ok(None);
        }
        u64::try_from(self.integer(field)?)
            .map(Some)
            .map_err(|_| self.fault(field, "must not be negative"))
    }
}

#[cfg(test)]
mod tests;
