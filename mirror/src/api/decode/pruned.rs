//! JSON of which only the fields that the mirror reads are kept. A megabyte of others costs
//! nothing.
//!
//! A [`Shape`] says what is read in each place. Whatever else stands there is skipped while it is
//! parsed: fields with other names, and what is inside an array or object where a simple value
//! belongs. Such an array or object itself stays, empty, so that it can be
//! reported by name.
//!
//! What is kept takes no memory of its own for texts, which are those of the body, nor for the
//! names of fields, which are those of the shape.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// No list of an honest request has more elements, and all lists together neither.
pub(super) const MOST_ELEMENTS: usize = 20_000;

/// A value of a body.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Object(Fields<'a>),
}

/// The fields of an object, each once. There are as many as a shape has at most: few.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields<'a>(Vec<(&'static str, Json<'a>)>);

impl<'a> Fields<'a> {
    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&Json<'a>> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }

    /// Of a field that is there twice the last one counts.
    fn insert(&mut self, name: &'static str, value: Json<'a>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, before)) => *before = value,
            None => self.0.push((name, value)),
        }
    }

    /// The same, independent of the body.
    pub(super) fn to_map(&self) -> Map<String, Value> {
        let fields = self.0.iter();
        fields
            .map(|(name, value)| ((*name).to_owned(), value.to_value()))
            .collect()
    }
}

impl Json<'_> {
    fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.clone().into_owned()),
            Self::List(elements) => elements.iter().map(Self::to_value).collect(),
            Self::Object(fields) => Value::Object(fields.to_map()),
        }
    }
}

/// What is read in one place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A text, a number, true, false or null.
    Simple,
    /// An object with these fields.
    Object(&'static [(&'static str, Shape)]),
    /// An array.
    List(&'static Shape),
    /// A condition's value, or an element of a set: simple, an object with its type, or a list of
    /// such.
    Typed,
}

/// The fields of a value with its type.
const TYPED: &[(&str, Shape)] = &[("_type", Shape::Simple), ("value", Shape::Typed)];

const CONDITION: Shape = Shape::Object(&[
    ("_type", Shape::Simple),
    ("key", Shape::Simple),
    ("value", Shape::Typed),
]);

const FIELD: Shape = Shape::Object(&[
    ("_type", Shape::Simple),
    ("fieldName", Shape::Simple),
    ("fieldType", Shape::Simple),
]);

const AGGREGATION: Shape = Shape::Object(&[
    ("_type", Shape::Simple),
    ("method", Shape::Simple),
    ("bucketSizeMillis", Shape::Simple),
]);

const QUERY: Shape = Shape::Object(&[
    ("_type", Shape::Simple),
    ("conditions", Shape::List(&CONDITION)),
    ("startTime", Shape::Simple),
    ("endTime", Shape::Simple),
    ("limit", Shape::Simple),
    ("offset", Shape::Simple),
    ("field", FIELD),
    ("fieldValuePrefix", Shape::Simple),
    ("aggregation", AGGREGATION),
]);

/// The keys that `ConnectionDetails::parse` reads.
const CONNECTION_DETAILS: Shape = Shape::Object(&[
    ("target", Shape::Simple),
    ("url", Shape::Simple),
    ("scheme", Shape::Simple),
    ("host", Shape::Simple),
    ("port", Shape::Simple),
    ("path", Shape::Simple),
    ("requestTimeout", Shape::Simple),
    ("request_timeout_seconds", Shape::Simple),
    ("nan_interpretation", Shape::Simple),
]);

/// A request of any type.
pub(super) const REQUEST: Shape = Shape::Object(&[
    ("_type", Shape::Simple),
    ("connectionDetails", CONNECTION_DETAILS),
    ("query", QUERY),
]);

impl Shape {
    fn field(self, name: &str) -> Option<(&'static str, Self)> {
        let fields = match self {
            Self::Object(fields) => fields,
            Self::Typed => TYPED,
            Self::Simple | Self::List(_) => return None,
        };
        fields.iter().find(|(known, _)| *known == name).copied()
    }

    fn element(self) -> Option<Self> {
        match self {
            Self::List(element) => Some(*element),
            Self::Typed => Some(Self::Typed),
            Self::Simple | Self::Object(_) => None,
        }
    }
}

/// Parses JSON and keeps what `shape` says.
///
/// # Errors
/// It is not JSON, or has too many elements.
pub(super) fn parse(body: &[u8], shape: Shape) -> Result<Json<'_>, serde_json::Error> {
    let left = Cell::new(MOST_ELEMENTS);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let place = Place { shape, left: &left };
    let value = place.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Place<'a> {
    shape: Shape,
    /// How many elements of lists may still come.
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Json<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        match self.shape.element() {
            None => while elements.next_element::<IgnoredAny>()?.is_some() {},
            Some(shape) => {
                while let Some(element) = elements.next_element_seed(Self { shape, ..self })? {
                    let Some(left) = self.left.get().checked_sub(1) else {
                        return Err(A::Error::custom(format_args!(
                            "its lists have more than {MOST_ELEMENTS} elements"
                        )));
                    };
                    self.left.set(left);
                    kept.push(element);
                }
            }
        }
        Ok(Json::List(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut kept = Fields::default();
        while let Some(name) = fields.next_key_seed(Name)? {
            match self.shape.field(&name) {
                Some((name, shape)) => {
                    let value = fields.next_value_seed(Self { shape, ..self })?;
                    kept.insert(name, value);
                }
                None => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Json::Object(kept))
    }
}

/// A field's name, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_fields_that_are_read_are_kept() {
        let body = json!({
            "_type": "MetricsRequest", "x": {"_type": [{"": 0}]},
            "connectionDetails": {"target": "a", "x": [{"": 0}], "host": {"a": [1]}, "path": [[1]]},
            "query": {
                "metricField": "value", "limit": {"a": 1},
                "conditions": [
                    {"key": "a", "x": 1, "value": {"_type": "InSetValue", "value": [1, "b", [2], {"value": true, "x": 0}], "x": 0}},
                    7,
                ],
                "field": {"fieldName": "job", "unit": {"a": [1]}},
            },
        });
        let kept = json!({
            "_type": "MetricsRequest",
            "connectionDetails": {"target": "a", "host": {}, "path": []},
            "query": {
                "limit": {},
                "conditions": [
                    {"key": "a", "value": {"_type": "InSetValue", "value": [1, "b", [2], {"value": true}]}},
                    7,
                ],
                "field": {"fieldName": "job"},
            },
        });
        let body = body.to_string();
        let read = parse(body.as_bytes(), REQUEST).unwrap();
        assert_eq!(read.to_value(), kept);
    }

    #[test]
    fn of_a_field_that_is_there_twice_the_last_one_counts() {
        let body = br#"{"_type":"a","query":{"limit":1},"_type":"b","query":{"limit":2}}"#;
        let kept = json!({"_type": "b", "query": {"limit": 2}});
        assert_eq!(parse(body, REQUEST).unwrap().to_value(), kept);
    }

    #[test]
    fn a_body_that_needs_no_cutting_is_what_serde_json_reads() {
        let body = br#"{"query":{"conditions":[{"key":"\u00e9","value":{"value":[1,-1,1e300,18446744073709551615,null,true]}}]}}"#;
        let whole: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(parse(body, REQUEST).unwrap().to_value(), whole);
    }

    #[test]
    fn lists_are_bounded_together() {
        let values = vec!["0"; MOST_ELEMENTS / 2].join(",");
        let condition = format!(r#"{{"key":"a","value":{{"value":[{values}]}}}}"#);
        let body = |count| {
            let conditions = vec![condition.as_str(); count].join(",");
            format!(r#"{{"query":{{"conditions":[{conditions}]}}}}"#)
        };
        assert!(parse(body(1).as_bytes(), REQUEST).is_ok());
        let error = parse(body(2).as_bytes(), REQUEST).unwrap_err();
        assert!(error.to_string().contains("more than 20000 elements"));
    }

    #[test]
    fn what_is_skipped_must_still_be_json() {
        for body in [
            r#"{"x":[1,}"#,
            r#"{"x":tru}"#,
            r#"{"x":01}"#,
            r#"{"x":1}{"#,
            "",
        ] {
            let known: Result<Value, _> = serde_json::from_str(body);
            let cut = parse(body.as_bytes(), REQUEST);
            assert_eq!(
                cut.unwrap_err().to_string(),
                known.unwrap_err().to_string(),
                "{body}"
            );
        }
    }
}
