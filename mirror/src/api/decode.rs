//! Request bodies become requests that can't be wrong. Unknown fields are ignored, wrong types are
//! refused, and every fault names the field it is about. A `_type` that its place makes plain may
//! be left out.
//!
//! `docs/openapi.yaml` describes the same for machines; a test compares the fields that are read
//! here with those it has.

mod conditions;
mod object;
mod pruned;

use serde_json::error::Category;
use serde_json::{Map, Value};

use self::conditions::conditions;
use self::object::Object;
pub(crate) use self::object::beginning;
use self::pruned::Json;
use crate::model::api_method::ApiMethod;
use crate::model::notes::Notes;
use crate::model::time::Millis;
use crate::plan::MetricQuery;
use crate::plan::aggregation::{Aggregation, Method};
use crate::plan::fields::{FieldQuery, ValuesQuery};
use crate::plan::kind::QueryKindName;

/// How deep a body may be nested.
pub const MAX_DEPTH: usize = 64;

/// What parsing a body takes at most, in bytes, beside the body itself: a field of an object takes
/// many times its text, and [`pruned::MOST_ELEMENTS`] bounds how many there are.
#[must_use]
pub fn parsed_size(body: usize) -> u64 {
    const A_BYTE: u64 = 64;
    const MOST: u64 = 16 << 20;
    (body as u64).saturating_mul(A_BYTE).min(MOST)
}

/// No limit, as StackState writes it.
const NO_LIMIT: u64 = i32::MAX as u64;

/// The end of the year 9999: later instants are a mistake in the unit.
const LATEST: i64 = 253_402_300_799_999;

/// The longest name of a field, and the longest beginning of values, in bytes: they become part of
/// a URL.
const LONGEST_NAME: usize = 4 << 10;

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
    #[error(
        "no condition says which metric is meant: one of {} is needed",
        QueryKindName::listed()
    )]
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
    Metric(MetricQuery),
}

impl Query {
    /// Notes what it asks for.
    pub(super) fn note(&self, notes: &Notes) {
        let Self::Metric(MetricQuery { kind, .. }) = self else {
            return;
        };
        match (kind.name(), kind.metric()) {
            (name @ QueryKindName::Expression, promql) => notes.expression(name.key(), promql),
            (name, metric) => notes.metric(name.key(), metric),
        }
    }
}

/// Reads a body as a request of a method.
///
/// # Errors
///
/// See [`DecodeError`].
pub fn request(body: &[u8], method: ApiMethod) -> Result<Request, DecodeError> {
    if is_too_deep(body) {
        return Err(DecodeError::Malformed(format!(
            "the body is nested deeper than {MAX_DEPTH} levels"
        )));
    }
    // Some libraries write a byte order mark, which RFC 8259 lets readers ignore.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let body = pruned::parse(body, pruned::REQUEST).map_err(|error| {
        DecodeError::Malformed(match error.classify() {
            // Its own bound: a place in the text would not help.
            Category::Data => format!(
                "the body has too many elements: its lists may have {} together",
                pruned::MOST_ELEMENTS
            ),
            _ => format!("the body is not JSON: {error}"),
        })
    })?;
    let body = Object::root(&body)?;
    let method = match method {
        ApiMethod::Explain => one_of(
            &body,
            &[
                ApiMethod::FieldNames,
                ApiMethod::FieldValues,
                ApiMethod::Metric,
            ],
            "cannot be explained; MetricsRequest can, and the two of fields",
        )?,
        ApiMethod::Describe => one_of(
            &body,
            &[ApiMethod::FieldNames, ApiMethod::FieldValues],
            "cannot be described; FieldNamesRequest and FieldValuesRequest can",
        )?,
        method => {
            body.expect_type(method.request_type())?;
            method
        }
    };
    let connection_details = body.object("connectionDetails")?.into_fields().to_map();
    let query = match method {
        ApiMethod::Connection => Query::Connection,
        _ => self::query(&body.object("query")?, method)?,
    };
    Ok(Request {
        connection_details,
        query,
    })
}

/// The method whose request a body is: its `_type` says so, or that of its query. `others` says
/// that it is none of these.
fn one_of(
    body: &Object<'_>,
    methods: &[ApiMethod],
    others: &str,
) -> Result<ApiMethod, DecodeError> {
    let methods = || methods.iter().copied();
    if let Some(said) = body.optional_string("_type")? {
        let known = methods().find(|known| known.request_type() == said);
        return known.ok_or_else(|| {
            let said = beginning(said);
            DecodeError::Malformed(format!("_type: {said:?} {others}"))
        });
    }
    let query = body.optional_object("query")?;
    let said = match &query {
        Some(query) => query.optional_string("_type")?,
        None => None,
    };
    said.and_then(|said| methods().find(|known| known.query_type() == said))
        .ok_or_else(|| body.fault("_type", "is missing"))
}

fn query(query: &Object<'_>, method: ApiMethod) -> Result<Query, DecodeError> {
    query.expect_type(method.query_type())?;
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
    Ok(match method {
        ApiMethod::FieldValues => Query::FieldValues(values(query, fields(kind))?),
        ApiMethod::Metric | ApiMethod::Why => {
            let aggregation = query
                .optional_object("aggregation")?
                .map(|object| aggregation(&object))
                .transpose()?;
            Query::Metric(MetricQuery {
                kind: kind.ok_or(DecodeError::NoKind)?,
                start,
                end,
                limit,
                aggregation,
            })
        }
        _ => Query::FieldNames(fields(kind)),
    })
}

/// Which values of those fields.
fn values(query: &Object<'_>, fields: FieldQuery) -> Result<ValuesQuery, DecodeError> {
    let field = field(query)?.to_owned();
    if field.len() > LONGEST_NAME {
        let problem = format!("must have at most {LONGEST_NAME} bytes");
        return Err(query.fault("field", &problem));
    }
    let typed = query.optional_string("fieldValuePrefix")?;
    if typed.is_some_and(|typed| typed.len() > LONGEST_NAME) {
        let problem = format!("must have at most {LONGEST_NAME} bytes");
        return Err(query.fault("fieldValuePrefix", &problem));
    }
    Ok(ValuesQuery {
        fields,
        prefix: prefix(&field, typed.unwrap_or_default()).to_owned(),
        field,
        offset: query.count("offset")?.unwrap_or(0),
    })
}

/// The field whose values are asked for: a descriptor, as field names answer it, or just its name.
fn field<'a>(query: &Object<'a>) -> Result<&'a str, DecodeError> {
    let descriptor = match query.required("field")? {
        Json::Text(name) if name.is_empty() => {
            return Err(query.fault("field", "must not be empty"));
        }
        Json::Text(name) => return Ok(name),
        Json::Object(_) => query.object("field")?,
        _ => return Err(query.fault("field", "must be a FieldDescriptor or the name of a field")),
    };
    descriptor.expect_type("FieldDescriptor")?;
    match descriptor.optional_string("fieldType")? {
        // Labels are texts, and every field is answered as one.
        None | Some("STRING") => {}
        Some(other) => return Err(DecodeError::Unsupported(beginning(other))),
    }
    match descriptor.string("fieldName")? {
        "" => Err(descriptor.fault("fieldName", "must not be empty")),
        name => Ok(name),
    }
}

/// What the values of `field` must begin with. Metric names that are too many are answered as
/// patterns such as `node_cpu_*`, which come back as they are: the one `*` at the end is ours.
/// Labels have no patterns, so a `*` there is the value's own.
fn prefix<'a>(field: &str, typed: &'a str) -> &'a str {
    match typed.strip_suffix('*') {
        Some(beginning) if QueryKindName::parse(field).is_some() => beginning,
        _ => typed,
    }
}

fn aggregation(aggregation: &Object<'_>) -> Result<Aggregation, DecodeError> {
    aggregation.expect_type("Aggregation")?;
    let name = aggregation.string("method")?;
    let (name, method) =
        Method::named(name).ok_or_else(|| DecodeError::Unsupported(beginning(name)))?;
    let bucket = aggregation.integer("bucketSizeMillis")?;
    if bucket < 1 {
        return Err(aggregation.fault("bucketSizeMillis", "must be at least 1"));
    }
    if bucket > LATEST {
        let problem = format!("must be at most {LATEST}");
        return Err(aggregation.fault("bucketSizeMillis", &problem));
    }
    Ok(Aggregation {
        method,
        name,
        bucket: Millis(bucket),
    })
}

/// Whether arrays and objects are nested too deeply, whatever else is wrong with the text. Nearly
/// all have fewer brackets than that altogether, which are counted many at a time.
fn is_too_deep(body: &[u8]) -> bool {
    let is_opening = |byte: &&u8| matches!(byte, b'[' | b'{');
    body.iter().filter(is_opening).count() > MAX_DEPTH && nesting(body) > MAX_DEPTH
}

/// How deep arrays and objects are nested.
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

#[cfg(test)]
pub(in crate::api) mod reads;
#[cfg(test)]
mod tests;
