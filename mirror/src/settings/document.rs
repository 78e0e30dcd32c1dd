//! One document from the bytes of a file, in YAML or JSON.
//!
//! YAML is read into JSON values first and only then into types, as Kubernetes does it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;

use crds::{Fault, field_path};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A document and the order in which its fields were written.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    order: Vec<String>,
}

/// Why the text of a file is not one document.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    #[error("is empty; it must hold one PrometheusMirror")]
    Empty,
    #[error("holds {0} documents; it must hold one PrometheusMirror and nothing else")]
    Several(usize),
    #[error("is not valid YAML: {0}")]
    Yaml(serde_yaml::Error),
    #[error("is not valid JSON: {0}")]
    Json(serde_json::Error),
}

impl Document {
    /// Reads text that holds exactly one document.
    pub(super) fn parse(text: &str) -> Result<Self, DocumentError> {
        let mut notes = Notes::of(text);
        let seed = ValueSeed {
            path: String::new(),
            notes: &notes,
        };
        // Not everything that JSON allows is YAML for this parser, for example tabs.
        if text.trim_start().starts_with('{')
            && let json = &mut serde_json::Deserializer::from_str(text)
            && let read = seed
                .deserialize(&mut *json)
                .and_then(|value| json.end().map(|()| value))
            && !matches!(&read, Err(error) if error.is_syntax())
        {
            let value = read.map_err(DocumentError::Json)?;
            return Ok(Self {
                value,
                order: notes.order.into_inner(),
            });
        }
        notes = Notes::of(text);
        let mut documents = Vec::new();
        for document in serde_yaml::Deserializer::from_str(text) {
            let seed = ValueSeed {
                path: String::new(),
                notes: &notes,
            };
            let value = seed.deserialize(document).map_err(DocumentError::Yaml)?;
            // What stands between two `---` and is only a comment.
            if !value.is_null() {
                documents.push(value);
            }
        }
        match documents.len() {
            0 => Err(DocumentError::Empty),
            1 => Ok(Self {
                value: documents.remove(0),
                order: notes.order.into_inner(),
            }),
            several => Err(DocumentError::Several(several)),
        }
    }

    /// Puts faults into the order in which their fields were written. A missing field counts as its
    /// parent.
    pub(super) fn sort(&self, faults: &mut [Fault]) {
        let mut places = HashMap::new();
        for (place, path) in self.order.iter().enumerate() {
            places.entry(path.as_str()).or_insert(place);
        }
        let place = |fault: &Fault| {
            let mut path = fault.path.as_str();
            loop {
                if let Some(place) = places.get(path) {
                    return *place;
                }
                match path.rfind(['.', '[']) {
                    Some(end) => path = &path[..end],
                    None => return usize::MAX,
                }
            }
        };
        faults.sort_by_cached_key(place);
    }
}

/// So many bytes may a document become for each byte that it has, and so many in any case. Compact
/// JSON with deep paths needs ten.
const FOR_EACH_BYTE: usize = 32;
const AT_LEAST: usize = 64 << 10;
/// What a value takes beside its path and its text.
const VALUE: usize = 16;

/// What is noted while a document is read.
struct Notes {
    order: RefCell<Vec<String>>,
    /// How many bytes it may still become. Aliases of YAML repeat what they name, and each value's
    /// path repeats its parents' names.
    left: Cell<usize>,
}

impl Notes {
    fn of(text: &str) -> Self {
        Self {
            order: RefCell::default(),
            left: Cell::new(text.len() * FOR_EACH_BYTE + AT_LEAST),
        }
    }

    fn spend<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.ok_or_else(|| {
            E::custom("its aliases or its long names make far more of it than it is")
        })?);
        Ok(())
    }
}

/// Reads a value, refuses repeated fields, and notes the path of each field.
struct ValueSeed<'a> {
    path: String,
    notes: &'a Notes,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.notes.spend(self.path.len() + VALUE)?;
        self.notes.order.borrow_mut().push(self.path.clone());
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).map(Value::Number);
        number.ok_or_else(|| E::custom(format!("{}: a number must be finite", self.path)))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.notes.spend(value.len())?;
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    /// What the YAML parser makes of a document without content.
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        let item = |index: usize| ValueSeed {
            path: format!("{}[{index}]", self.path),
            notes: self.notes,
        };
        while let Some(value) = items.next_element_seed(item(list.len()))? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let path = field_path(&self.path, &name);
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!("{path} is there twice")));
            }
            let value = entries.next_value_seed(ValueSeed {
                path,
                notes: self.notes,
            })?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(text: &str) -> String {
        Document::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn yaml_and_json_read_the_same() {
        let expected = json!({"a": [1, true, "x", null, 1.5], "b": {"c": "15s"}});
        for text in [
            "a: [1, true, x, null, 1.5]\nb:\n  c: 15s\n",
            "---\na: [1, true, x, ~, 1.5]\nb: {c: 15s}\n---\n# end\n",
            &format!("\n{expected:#}"),
        ] {
            assert_eq!(Document::parse(text).unwrap().value, expected, "{text}");
        }
        assert_eq!(
            Document::parse("{\n\t\"a\": 1\n}").unwrap().value,
            json!({"a": 1})
        );
        assert_eq!(Document::parse("{a: 1}").unwrap().value, json!({"a": 1}));
    }

    #[test]
    fn what_is_not_one_document_is_refused_in_words() {
        assert_eq!(error(""), "is empty; it must hold one PrometheusMirror");
        assert_eq!(
            error("# nothing\n"),
            "is empty; it must hold one PrometheusMirror"
        );
        assert_eq!(
            error("a: 1\n---\nb: 2\n"),
            "holds 2 documents; it must hold one PrometheusMirror and nothing else"
        );
        assert!(
            error("a: [1\nb: 2").contains("line 2"),
            "{}",
            error("a: [1\nb: 2")
        );
        assert!(
            error("a:\n  b: 1\n  b: 2\n").contains("a.b is there twice"),
            "{}",
            error("a:\n  b: 1\n  b: 2\n")
        );
        assert!(
            error("{\"a\": 1, \"a\": 2}").contains("a is there twice"),
            "{}",
            error("{\"a\": 1, \"a\": 2}")
        );
    }

    #[test]
    fn faults_come_in_the_order_in_which_the_fields_were_written() {
        let document =
            Document::parse("spec:\n  workers: 0\n  targets: [{url: a, name: b}]\nkind: x\n")
                .unwrap();
        let paths = [
            "kind",
            "spec.targets[0].name",
            "spec.targets[0].url",
            "spec.apiKeySecretRef",
            "spec.workers",
        ];
        let mut faults: Vec<_> = paths.map(|path| Fault::new(path, "")).to_vec();
        document.sort(&mut faults);
        let sorted: Vec<_> = faults.into_iter().map(|fault| fault.path).collect();
        assert_eq!(
            sorted,
            [
                "spec.apiKeySecretRef",
                "spec.workers",
                "spec.targets[0].url",
                "spec.targets[0].name",
                "kind"
            ]
        );
    }

    #[test]
    fn a_document_that_makes_far_more_of_itself_than_it_is_is_refused() {
        let nested: String = (b'b'..b'h')
            .map(|name| {
                let (name, before) = (char::from(name), char::from(name - 1));
                format!(
                    "{name}: &{name} [{}]\n",
                    vec![format!("*{before}"); 9].join(",")
                )
            })
            .collect();
        let long = "x".repeat(100_000);
        for text in [
            format!("a: &a [x,x,x,x,x,x,x,x,x]\n{nested}"),
            format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 100].join(",")),
            format!("{{\"{long}\": [{}]}}", vec!["0"; 10_000].join(",")),
        ] {
            let error = error(&text);
            let expected = "its aliases or its long names make far more of it than it is";
            assert!(error.contains(expected), "{error}");
        }
        let few = "a: &a {name: x, key: y}\nb: [*a, *a, *a]\n";
        assert!(Document::parse(few).is_ok());
    }
}
