//! The answers that are small: names, series, metadata. They are read whole.

mod frame;
mod metadata;
mod series;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{
    DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, Deserializer};

use self::frame::{Frame, FrameOf};
use self::metadata::{FirstDescription, FirstType};
use self::series::{CountedIn, LabelOf};
use super::meter::Meter;
use super::{Decoded, allocated};
use crate::prometheus::{Answer, Arrival, Call, Data, Held, SeriesCounts};

/// Decodes the whole body of an answer to `call`. Answers of instant and range queries go through
/// [`super::Decoder`] instead.
pub(in crate::prometheus) fn decode(
    call: &Call,
    body: &[u8],
    meter: &Meter<'_>,
) -> Result<Decoded, serde_json::Error> {
    use serde::de::Error as _;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let data = DataSeed { call, meter };
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
            must_not_be_kept: false,
            held: Held::default(),
            arrival: Arrival::default(),
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
        Call::SeriesCounted { .. } => Data::Counts(SeriesCounts::default()),
        Call::Metadata => Data::Metadata(BTreeMap::new()),
        Call::MetadataOf { .. } => Data::Description(None),
        Call::BuildInfo => Data::Version(String::new()),
    }
}

/// Reads `data`, which depends on the call. Only what the mirror uses is kept, and counted before
/// it is.
#[derive(Clone, Copy)]
struct DataSeed<'a, 'b> {
    call: &'a Call,
    meter: &'a Meter<'b>,
}

impl<'de> DeserializeSeed<'de> for DataSeed<'_, '_> {
    type Value = Data;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for DataSeed<'_, '_> {
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
            Call::Metadata | Call::MetadataOf { .. } | Call::BuildInfo => {
                deserializer.deserialize_map(self)
            }
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
            Call::SeriesCounted { label, .. } => {
                let mut counts = SeriesCounts::default();
                let label = label.as_deref();
                while let Some(()) = elements.next_element_seed(CountedIn {
                    counts: &mut counts,
                    label,
                    meter: self.meter,
                })? {
                    counts.series += 1;
                }
                Ok(Data::Counts(counts))
            }
            Call::Metadata | Call::MetadataOf { .. } | Call::BuildInfo => {
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
            Call::MetadataOf { metric } => {
                let mut description = None;
                // A store that does not know the parameters has others as well.
                while let Some(name) = fields.next_key::<Cow<'_, str>>()? {
                    match name == *metric {
                        true => description = fields.next_value_seed(FirstDescription)?,
                        false => drop(fields.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Data::Description(description))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metric_type::{MetricDescription, MetricType};
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
    fn one_metric_is_described_in_the_stores_own_words() {
        let call = Call::MetadataOf {
            metric: "a".to_owned(),
        };
        let described = |data: &str| {
            let body = format!(r#"{{"status":"success","data":{data}}}"#);
            decode(&call, body.as_bytes()).unwrap()
        };
        let description = |metric_type: &str, help: &str, unit: &str| {
            answer(Data::Description(Some(MetricDescription {
                metric_type: metric_type.to_owned(),
                help: help.to_owned(),
                unit: unit.to_owned(),
            })))
        };
        for (data, expected) in [
            (
                r#"{"b":[{"type":"counter"}],"a":[{"type":"info","help":"x","unit":"y"},{}]}"#,
                description("info", "x", "y"),
            ),
            (r#"{"a":[{"type":"gauge"}]}"#, description("gauge", "", "")),
            (r#"{"a":[]}"#, answer(Data::Description(None))),
            (r#"{"b":[{}]}"#, answer(Data::Description(None))),
            ("null", answer(Data::Description(None))),
        ] {
            assert_eq!(described(data), expected, "{data}");
        }
    }

    #[test]
    fn series_are_counted_by_label_or_by_the_values_of_one() {
        let counted = |label: Option<&str>| {
            let call = Call::SeriesCounted {
                label: label.map(str::to_owned),
                selector: "up".to_owned(),
                start: START,
                end: END,
            };
            let series = r#"{"a":"1","b":"2"},{"a":"1"},{"a":"2","c":"3"}"#;
            let body = format!(r#"{{"status":"success","data":[{series}]}}"#);
            decode(&call, body.as_bytes()).unwrap()
        };
        let counts = |by: &[(&str, u64)]| {
            let by = by.iter().map(|(name, count)| ((*name).to_owned(), *count));
            answer(Data::Counts(SeriesCounts {
                series: 3,
                by: by.collect(),
            }))
        };
        assert_eq!(counted(None), counts(&[("a", 3), ("b", 1), ("c", 1)]));
        assert_eq!(counted(Some("a")), counts(&[("1", 2), ("2", 1)]));
        assert_eq!(counted(Some("c")), counts(&[("3", 1)]));
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
