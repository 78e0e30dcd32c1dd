//! JSON as it was written: repeated members are kept, and whole numbers are told from `1.0`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// More brackets and commas than this are no answer that the contract allows: they would fill the
/// memory.
const MOST_PARTS: usize = 1_000_000;

/// A JSON text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// The second is the number again if it was written as a whole one.
    Number(f64, Option<i64>),
    Text(String),
    Array(Vec<Json>),
    /// In the order of the text.
    Object(Vec<(String, Json)>),
}

/// Why a body cannot be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    NotJson,
    TooManyParts,
}

/// What was read.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed {
    pub json: Json,
    /// `NaN` or `Infinity` stood in it, which are no JSON but which some libraries write. They
    /// became null.
    pub had_bare_constants: bool,
}

impl Json {
    pub(super) fn parse(body: &[u8]) -> Result<Parsed, Unreadable> {
        let parts = body
            .iter()
            .filter(|byte| matches!(byte, b'[' | b'{' | b','))
            .count();
        if parts > MOST_PARTS {
            return Err(Unreadable::TooManyParts);
        }
        if let Ok(json) = serde_json::from_slice(body) {
            let had_bare_constants = false;
            return Ok(Parsed {
                json,
                had_bare_constants,
            });
        }
        let json = without_bare_constants(body)
            .and_then(|body| serde_json::from_slice(&body).ok())
            .ok_or(Unreadable::NotJson)?;
        Ok(Parsed {
            json,
            had_bare_constants: true,
        })
    }

    /// A member of an object, the first of that name.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, with an article.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(..) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// The body with null for each `NaN`, `Infinity` and `-Infinity` outside of strings; none if there
/// are none.
fn without_bare_constants(body: &[u8]) -> Option<Vec<u8>> {
    const CONSTANTS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut rest = body;
    let mut replaced = Vec::with_capacity(body.len());
    let (mut in_string, mut found) = (false, false);
    while let Some((&byte, after)) = rest.split_first() {
        let constant = CONSTANTS
            .iter()
            .find(|constant| !in_string && rest.starts_with(constant));
        if let Some(constant) = constant {
            found = true;
            replaced.extend_from_slice(b"null");
            rest = rest.get(constant.len()..).unwrap_or_default();
            continue;
        }
        replaced.push(byte);
        rest = after;
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                if let Some((&escaped, after)) = rest.split_first() {
                    replaced.push(escaped);
                    rest = after;
                }
            }
            _ => {}
        }
    }
    found.then_some(replaced)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Number(value as f64, Some(value)))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Number(value as f64, i64::try_from(value).ok()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Number(value, None))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Json::Array(elements))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Object(members))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Json {
        Json::Text(text.to_owned())
    }

    #[test]
    fn repeated_members_are_kept_and_whole_numbers_told_from_others() {
        let read = Json::parse(br#"{"a": 1, "a": [1.0, -2, true, null, "x"]}"#);
        let json = Json::Object(vec![
            ("a".to_owned(), Json::Number(1.0, Some(1))),
            (
                "a".to_owned(),
                Json::Array(vec![
                    Json::Number(1.0, None),
                    Json::Number(-2.0, Some(-2)),
                    Json::Bool(true),
                    Json::Null,
                    text("x"),
                ]),
            ),
        ]);
        let had_bare_constants = false;
        assert_eq!(
            read,
            Ok(Parsed {
                json,
                had_bare_constants
            })
        );
    }

    #[test]
    fn bare_constants_become_null_and_are_told_but_strings_are_left_alone() {
        let read = Json::parse(br#"["NaN \" Infinity", NaN, -Infinity, Infinity]"#);
        let json = Json::Array(vec![
            text("NaN \" Infinity"),
            Json::Null,
            Json::Null,
            Json::Null,
        ]);
        let had_bare_constants = true;
        assert_eq!(
            read,
            Ok(Parsed {
                json,
                had_bare_constants
            })
        );
    }

    #[test]
    fn what_is_no_json_or_would_fill_the_memory_is_not_read() {
        for wrong in ["", "<html>", "{", "[1,]", "NaNa", "\"\\", "1e999"] {
            assert_eq!(
                Json::parse(wrong.as_bytes()),
                Err(Unreadable::NotJson),
                "{wrong}"
            );
        }
        let many = format!("[{}1]", "1,".repeat(MOST_PARTS));
        assert_eq!(Json::parse(many.as_bytes()), Err(Unreadable::TooManyParts));
        let deep = "[".repeat(100_000);
        assert_eq!(Json::parse(deep.as_bytes()), Err(Unreadable::NotJson));
    }
}
