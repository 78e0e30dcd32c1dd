//! Series, of which only a part is kept.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};

use super::super::allocated;
use super::super::meter::Meter;
use crate::prometheus::SeriesCounts;

/// The value of one label of a series; none if the series does not have it.
pub(super) struct LabelOf<'a>(pub(super) &'a str);

impl<'de> DeserializeSeed<'de> for LabelOf<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LabelOf<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the labels of a series")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut labels: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = labels.next_key::<Cow<'_, str>>()? {
            if name != self.0 {
                labels.next_value::<IgnoredAny>()?;
            } else if found.is_some() {
                return Err(A::Error::duplicate_field("label"));
            } else {
                found = Some(labels.next_value()?);
            }
        }
        Ok(found)
    }
}

/// Counts a series: for each of its labels, or for its value of one. What is new is counted as
/// memory before it is kept.
pub(super) struct CountedIn<'a, 'b> {
    pub(super) counts: &'a mut SeriesCounts,
    pub(super) label: Option<&'a str>,
    pub(super) meter: &'a Meter<'b>,
}

impl CountedIn<'_, '_> {
    fn count<E: serde::de::Error>(&mut self, name: Cow<'_, str>) -> Result<(), E> {
        if let Some(count) = self.counts.by.get_mut(&*name) {
            *count += 1;
            return Ok(());
        }
        self.meter
            .add(allocated::NAME_IN_SET + allocated::text(&name))?;
        self.counts.by.insert(name.into_owned(), 1);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for CountedIn<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        match self.label {
            None => deserializer.deserialize_map(self),
            Some(label) => match LabelOf(label).deserialize(deserializer)? {
                Some(value) => self.count(value.into()),
                None => Ok(()),
            },
        }
    }
}

impl<'de> Visitor<'de> for CountedIn<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the labels of a series")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut labels: A) -> Result<(), A::Error> {
        while let Some(name) = labels.next_key::<Cow<'_, str>>()? {
            labels.next_value::<IgnoredAny>()?;
            self.count(name)?;
        }
        Ok(())
    }
}
