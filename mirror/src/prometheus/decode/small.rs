//! The answers that are small: names, series, metadata. They are read whole.

mod frame;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{
    DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, Deserializer};

use self::frame::{Frame, FrameOf};
use super::meter::Meter;
use super::{Decoded, allocated};
use crate::model::metric_type::MetricType;
use crate::prometheus::{Answer, Call, Data, Held};

/// Decodes the whole body of an answer to `call`. Answers of instant and range queries go through
/// [`super::Decoder`] instead.
pub(in crate::prometheus) fn decode(
    call: &Call,
    body: &[u8],
    meter: &Meter<'_>,
) -> Result<Decoded, serde_json::Error> {
    use serde::de::Error as _;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let data = Reader { call, meter };
    let Frame {
        status,
        data,
        error_type,
        error,
        remarks,
        is_partial,
    } = FrameOf(data).deserialize(&mut deserializer)?;
    deserializer.end()?;
    match status.as_deref() {
        Some("success") => Ok(Decoded::Success(Answer {
            remarks,
            is_partial,
            data: data.unwrap_or_else(|| nothing(call)),
            held: Held::default(),
        })),
        Some("error") => Ok(Decoded::Failure {
            kind: error_type.unwrap_or_default(),
            message: error.unwrap_or_default(),
        }),
        _ => Err(serde_json::Error::custom("it has no status")),
    }
}

/// The `errorType` and `error` of a body that is Prometheus' error.
pub(in crate::prometheus) fn decode_error(body: &[u8]) -> Option<(String, String)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        status: String,
        error_type: Option<String>,
        error: Option<String>,
    }
    let failure: Failure = serde_json::from_slice(body).ok()?;
    let message = failure.error.filter(|_| failure.status == "error")?;
    Some((failure.error_type.unwrap_or_default(), message))
}

/// What a call answers that found nothing.
fn nothing(call: &Call) -> Data {
    match call {
        Call::Instant { .. }
        | Call::Range { .. }
        | Call::Samples { .. }
        | Call::SeriesExist { .. } => Data::SeriesExist(false),
        Call::LabelOfSeries { .. }
        | Call::LabelNames { .. }
        | Call::LabelValues { .. }
        | Call::LabelValuesOtherwise { .. } => Data::Names(Vec::new()),
        Call::Metadata => Data::Metadata(BTreeMap::new()),
        Call::BuildInfo => Data::Version(String::new()),
    }
}

/// Reads `data`, which depends on the call. Only what the mirror uses is kept, and counted before
/// it is.
#[derive(Clone, Copy)]
struct Reader<'a, 'b> {
    call: &'a Call,
    meter: &'a Meter<'b>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_, '_> {
    type Value = Data;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_, '_> {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the data of an answer")
    }

    /// Go writes an empty list that was never made as null.
    fn visit_none<E>(self) -> Result<Data, E> {
        Ok(nothing(self.call))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        match self.call {
            Call::Metadata | Call::BuildInfo => deserializer.deserialize_map(self),
            _ => deserializer.deserialize_seq(self),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Data, A::Error> {
        match self.call {
            Call::Instant { .. }
            | Call::Range { .. }
            | Call::Samples { .. }
            | Call::SeriesExist { .. } => {
                let first: Option<IgnoredAny> = elements.next_element()?;
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Data::SeriesExist(first.is_some()))
            }
            Call::LabelOfSeries { label, .. } => {
                let mut values = BTreeSet::new();
                while let Some(value) = elements.next_element_seed(LabelOf(label))? {
                    let Some(value) = value else { continue };
                    if !values.contains(&value) {
                        self.meter
                            .add(allocated::NAME_IN_SET + allocated::text(&value))?;
                        values.insert(value);
                    }
                }
                Ok(Data::Names(values.into_iter().collect()))
            }
            Call::LabelNames { .. }
            | Call::LabelValues { .. }
            | Call::LabelValuesOtherwise { .. } => {
                let mut names: Vec<String> = Vec::new();
                while let Some(name) = elements.next_element::<String>()? {
                    self.meter.add(allocated::NAME + allocated::text(&name))?;
                    names.push(name);
                }
                Ok(Data::Names(names))
            }
            Call::Metadata | Call::BuildInfo => {
                Err(A::Error::invalid_type(Unexpected::Seq, &"an object"))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Data, A::Error> {
        match self.call {
            Call::Metadata => {
                let mut types = BTreeMap::new();
                while let Some(name) = fields.next_key::<String>()? {
                    if let Some(first) = fields.next_value_seed(FirstType)? {
                        self.meter
                            .add(allocated::NAME_IN_SET + allocated::text(&name))?;
                        types.insert(name, first);
                    }
                }
                Ok(Data::Metadata(types))
            }
            Call::BuildInfo => {
                let mut version = String::new();
                while let Some(name) = fields.next_key::<Cow<'_, str>>()? {
                    match &*name {
                        "version" => version = fields.next_value()?,
                        _ => drop(fields.next_value::<IgnoredAny>()?),
                    }
                }
                self.meter.add(allocated::text(&version))?;
                Ok(Data::Version(version))
            }
            _ => Err(A::Error::invalid_type(Unexpected::Map, &"an array")),
        }
    }
}

/// The value of one label of a series; none if the series does not have it.
struct LabelOf<'a>(&'a str);

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

/// The type in the first entry of a metric's metadata; none if there is no entry.
struct FirstType;

impl<'de> DeserializeSeed<'de> for FirstType {
    type Value = Option<MetricType>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for FirstType {
    type Value = Option<MetricType>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of metadata")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(rename = "type")]
            metric_type: String,
        }
        let first: Option<Entry> = entries.next_element()?;
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first.map(|entry| match entry.metric_type.as_str() {
            "counter" => MetricType::Counter,
            "gauge" | "info" | "stateset" => MetricType::Gauge,
            "histogram" | "gaugehistogram" => MetricType::Histogram,
            "summary" => MetricType::Summary,
            _ => MetricType::Unknown,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    fn answer(data: Data) -> Decoded {
        Decoded::Success(Answer::of(data))
    }

    fn decode(call: &Call, body: &[u8]) -> Result<Decoded, serde_json::Error> {
        super::decode(call, body, &Meter::unlimited())
    }

    const START: Timestamp = Timestamp(0);
    const END: Timestamp = Timestamp(1);

    #[test]
    fn names_keep_the_stores_order_and_null_is_none() {
        let call = Call::LabelNames {
            selector: None,
            start: START,
            end: END,
        };
        let decoded = decode(
            &call,
            br#"{"status":"success","data":["b","a"],"infos":[{}]}"#,
        )
        .unwrap();
        assert_eq!(
            decoded,
            answer(Data::Names(vec!["b".to_owned(), "a".to_owned()]))
        );
        let decoded = decode(&call, br#"{"status":"success","data":null}"#).unwrap();
        assert_eq!(decoded, answer(Data::Names(Vec::new())));
    }

    #[test]
    fn series_exist_when_there_is_one() {
        let call = Call::SeriesExist {
            selectors: vec!["up".to_owned()],
            start: START,
            end: END,
        };
        let exist = |body: &str| decode(&call, body.as_bytes()).unwrap();
        assert_eq!(
            exist(r#"{"status":"success","data":[{"__name__":"up"}]}"#),
            answer(Data::SeriesExist(true))
        );
        assert_eq!(
            exist(r#"{"status":"success","data":[]}"#),
            answer(Data::SeriesExist(false))
        );
    }

    #[test]
    fn a_series_that_says_the_same_label_twice_is_malformed() {
        let call = Call::LabelOfSeries {
            label: "a".to_owned(),
            selector: "up".to_owned(),
            start: START,
            end: END,
        };
        let values = |series: &str| {
            let body = format!(r#"{{"status":"success","data":[{series}]}}"#);
            decode(&call, body.as_bytes()).map_err(|error| error.to_string())
        };
        assert_eq!(
            values(r#"{"a":"1","b":"2"},{"b":"3"}"#),
            Ok(answer(Data::Names(vec!["1".to_owned()])))
        );
        assert!(values(r#"{"a":"1","b":"2","a":"1"}"#).is_err());
    }

    #[test]
    fn metadata_takes_the_first_type_of_each_family() {
        let body = br#"{"status":"success","data":{
            "a":[{"type":"counter","help":"x","unit":""},{"type":"gauge"}],
            "b":[{"type":"gaugehistogram"}], "c":[{"type":"new"}], "d":[]}}"#;
        let types = [
            ("a", MetricType::Counter),
            ("b", MetricType::Histogram),
            ("c", MetricType::Unknown),
        ];
        let types = types.map(|(name, metric_type)| (name.to_owned(), metric_type));
        assert_eq!(
            decode(&Call::Metadata, body).unwrap(),
            answer(Data::Metadata(types.into()))
        );
    }

    #[test]
    fn a_version_is_what_the_build_information_says_and_may_be_missing() {
        let version = |body: &[u8]| decode(&Call::BuildInfo, body).unwrap();
        assert_eq!(
            version(br#"{"status":"success","data":{"version":"3.10.0","revision":"x"}}"#),
            answer(Data::Version("3.10.0".to_owned()))
        );
        assert_eq!(
            version(br#"{"status":"success","data":{}}"#),
            answer(Data::Version(String::new()))
        );
    }

    #[test]
    fn errors_are_read_from_whatever_frame_has_them() {
        let body = br#"{"status":"error","errorType":"bad_data","error":"no","data":null}"#;
        assert_eq!(
            decode_error(body),
            Some(("bad_data".to_owned(), "no".to_owned()))
        );
        assert_eq!(decode_error(b"<html>"), None);
        assert_eq!(decode_error(br#"{"status":"success"}"#), None);
    }
}
