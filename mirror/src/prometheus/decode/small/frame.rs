//! The frame around every answer that is read whole.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::prometheus::decode::MOST_REMARKS;
use crate::prometheus::remarks::Remark;

/// A frame with its data.
pub(super) struct Frame<T> {
    pub(super) status: Option<String>,
    pub(super) data: Option<T>,
    pub(super) error_type: Option<String>,
    pub(super) error: Option<String>,
    pub(super) remarks: Vec<Remark>,
    pub(super) is_partial: bool,
}

/// Reads a frame whose `data` the seed reads.
pub(super) struct FrameOf<S>(pub(super) S);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Status,
    Data,
    ErrorType,
    Error,
    Warnings,
    Infos,
    IsPartial,
    #[serde(other)]
    Unknown,
}

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for FrameOf<S> {
    type Value = Frame<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for FrameOf<S> {
    type Value = Frame<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of Prometheus")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let (mut status, mut data, mut error_type, mut error) = (None, None, None, None);
        let (mut warnings, mut infos, mut is_partial) = (None, None, None);
        while let Some(field) = fields.next_key()? {
            match field {
                Field::Status => status = Some(fields.next_value()?),
                Field::Data => data = Some(fields.next_value_seed(self.0)?),
                Field::ErrorType => error_type = fields.next_value()?,
                Field::Error => error = fields.next_value()?,
                Field::Warnings => warnings = fields.next_value::<Option<Warnings>>()?,
                Field::Infos => infos = fields.next_value::<Option<Infos>>()?,
                Field::IsPartial => is_partial = fields.next_value::<Option<bool>>()?,
                Field::Unknown => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        let mut remarks = warnings.unwrap_or_default().0;
        for info in infos.unwrap_or_default().0 {
            info.keep_in(&mut remarks);
        }
        Ok(Frame {
            status,
            data,
            error_type,
            error,
            remarks,
            is_partial: is_partial.unwrap_or_default(),
        })
    }
}

/// `warnings`, of which no more is kept than [`Remark::keep_in`] does.
#[derive(Default)]
struct Warnings(Vec<Remark>);

impl<'de> Deserialize<'de> for Warnings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut kept = Vec::new();
        each(deserializer, |text: Cow<'_, str>| {
            Remark::warning(&text).keep_in(&mut kept);
        })?;
        Ok(Self(kept))
    }
}

/// `infos`, the same; only what is text.
#[derive(Default)]
struct Infos(Vec<Remark>);

impl<'de> Deserialize<'de> for Infos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut kept = Vec::new();
        each(deserializer, |Info(text)| {
            if let Some(text) = text {
                Remark::info(&text).keep_in(&mut kept);
            }
        })?;
        Ok(Self(kept))
    }
}

/// A text, or something that is skipped while it is read.
struct Info(Option<String>);

impl<'de> Deserialize<'de> for Info {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyInfo;

        impl<'de> Visitor<'de> for AnyInfo {
            type Value = Info;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_str<E>(self, text: &str) -> Result<Info, E> {
                Ok(Info(Some(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Info, E> {
                Ok(Info(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Info, E> {
                Ok(Info(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Info, E> {
                Ok(Info(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Info, E> {
                Ok(Info(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Info, E> {
                Ok(Info(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Info, A::Error> {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Info(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Info, A::Error> {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Info(None))
            }
        }

        deserializer.deserialize_any(AnyInfo)
    }
}

/// Shows `see` the elements of an array, one after the other, and keeps none.
fn each<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    see: impl FnMut(T),
) -> Result<(), D::Error> {
    struct Elements<T, F>(F, PhantomData<T>);

    impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Elements<T, F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
            let mut count = 0;
            while let Some(element) = elements.next_element()? {
                count += 1;
                if count > MOST_REMARKS {
                    return Err(A::Error::custom("there are too many"));
                }
                (self.0)(element);
            }
            Ok(())
        }
    }

    deserializer.deserialize_seq(Elements(see, PhantomData))
}
