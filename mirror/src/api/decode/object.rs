//! An object of a body that knows where it stands, so that each fault names its field.

use super::pruned::{Fields, Json};
use super::{DecodeError, LATEST};
use crate::model::time::Timestamp;

/// A message shows this much of a text that the client chose, in characters.
const SHOWN: usize = 80;

/// The beginning of a client's text: a message must not grow with the request.
pub(crate) fn beginning(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An object of the body, and the path to it.
pub(super) struct Object<'a> {
    path: String,
    fields: &'a Fields<'a>,
}

impl<'a> Object<'a> {
    pub(super) fn root(value: &'a Json<'a>) -> Result<Self, DecodeError> {
        Self::of(String::new(), value)
    }

    pub(super) fn of(path: String, value: &'a Json<'a>) -> Result<Self, DecodeError> {
        match value {
            Json::Object(fields) => Ok(Self { path, fields }),
            _ if path.is_empty() => Err(DecodeError::Malformed(
                "the body must be an object".to_owned(),
            )),
            _ => Err(DecodeError::Malformed(format!("{path}: must be an object"))),
        }
    }

    /// All members, for a reader that is not the Mirror API's.
    pub(super) fn into_fields(self) -> &'a Fields<'a> {
        self.fields
    }

    pub(super) fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    pub(super) fn fault(&self, field: &str, problem: &str) -> DecodeError {
        DecodeError::Malformed(format!("{}: {problem}", self.path_of(field)))
    }

    /// Checks `_type` where the place says what it must be: it may be left out, but it may not be
    /// another.
    pub(super) fn expect_type(&self, expected: &str) -> Result<(), DecodeError> {
        match self.optional_string("_type")? {
            Some(said) if said != expected => {
                let said = beginning(said);
                Err(self.fault(
                    "_type",
                    &format!("{expected} is expected here, not {said:?}"),
                ))
            }
            _ => Ok(()),
        }
    }

    /// A field that is there; JSON's null is not.
    pub(super) fn optional(&self, field: &str) -> Option<&'a Json<'a>> {
        #[cfg(test)]
        super::reads::record(&self.path_of(field));
        self.fields.get(field).filter(|value| **value != Json::Null)
    }

    pub(super) fn required(&self, field: &str) -> Result<&'a Json<'a>, DecodeError> {
        self.optional(field)
            .ok_or_else(|| self.fault(field, "is missing"))
    }

    pub(super) fn object(&self, field: &str) -> Result<Object<'a>, DecodeError> {
        Self::of(self.path_of(field), self.required(field)?)
    }

    pub(super) fn optional_object(&self, field: &str) -> Result<Option<Object<'a>>, DecodeError> {
        self.optional(field)
            .map(|value| Self::of(self.path_of(field), value))
            .transpose()
    }

    /// A list of objects; an absent one is empty.
    pub(super) fn list(&self, field: &str) -> Result<Vec<Object<'a>>, DecodeError> {
        let elements = match self.optional(field) {
            None => return Ok(Vec::new()),
            Some(Json::List(elements)) => elements,
            Some(_) => return Err(self.fault(field, "must be an array")),
        };
        let path = |index: usize| format!("{}[{index}]", self.path_of(field));
        elements
            .iter()
            .enumerate()
            .map(|(index, element)| Self::of(path(index), element))
            .collect()
    }

    pub(super) fn string(&self, field: &str) -> Result<&'a str, DecodeError> {
        self.text(field, self.required(field)?)
    }

    pub(super) fn optional_string(&self, field: &str) -> Result<Option<&'a str>, DecodeError> {
        let value = self.optional(field);
        value.map(|value| self.text(field, value)).transpose()
    }

    fn text(&self, field: &str, value: &'a Json<'a>) -> Result<&'a str, DecodeError> {
        match value {
            Json::Text(text) => Ok(text),
            _ => Err(self.fault(field, "must be a string")),
        }
    }

    /// A whole number, also when it is written as `1.0` or `1e3`. One that is too large for 64 bits
    /// becomes the largest that is not: every bound on a number here is far below it.
    pub(super) fn integer(&self, field: &str) -> Result<i64, DecodeError> {
        let number = match self.required(field)? {
            Json::Number(number) => Some(number),
            _ => None,
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole numbers only, and the cast ends at the bounds of i64"
        )]
        let whole = |number: f64| (number.fract() == 0.0).then_some(number as i64);
        number
            .and_then(|number| number.as_i64().or_else(|| number.as_f64().and_then(whole)))
            .ok_or_else(|| self.fault(field, "must be a whole number"))
    }

    pub(super) fn instant(&self, field: &str) -> Result<Timestamp, DecodeError> {
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
    pub(super) fn count(&self, field: &str) -> Result<Option<u64>, DecodeError> {
        if self.optional(field).is_none() {
            return Ok(None);
        }
        u64::try_from(self.integer(field)?)
            .map(Some)
            .map_err(|_| self.fault(field, "must not be negative"))
    }
}
