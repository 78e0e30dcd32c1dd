//! The answers that are small: names, series, metadata. They are read whole.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Decoded;
use crate::prometheus::remarks::Remark;
use crate::prometheus::{Answer, Call, Data, MetricType};

/// The frame around every answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame<T> {
    status: String,
    data: Option<T>,
    error_type: Option<String>,
    error: Option<String>,
    warnings: Option<Warnings>,
    infos: Option<Infos>,
    is_partial: Option<bool>,
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

#[derive(Deserialize)]
#[serde(untagged)]
enum Info {
    Text(String),
    Other(IgnoredAny),
}

impl<'de> Deserialize<'de> for Infos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut kept = Vec::new();
        each(deserializer, |info: Info| match info {
            Info::Text(text) => Remark::info(&text).keep_in(&mut kept),
            Info::Other(_) => {}
        })?;
        Ok(Self(kept))
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
            while let Some(element) = elements.next_element()? {
                (self.0)(element);
            }
            Ok(())
        }
    }

    deserializer.deserialize_seq(Elements(see, PhantomData))
}

fn remarks(warnings: Option<Warnings>, infos: Option<Infos>) -> Vec<Remark> {
    let mut all = warnings.unwrap_or_default().0;
    for info in infos.unwrap_or_default().0 {
        info.keep_in(&mut all);
    }
    all
}

#[derive(Deserialize)]
struct MetadataEntry {
    #[serde(rename = "type")]
    metric_type: String,
}

#[derive(Default, Deserialize)]
struct BuildInfo {
    #[serde(default)]
    version: String,
}

/// Decodes the whole body of an answer to `call`. Answers of instant and range queries go through [`super::Decoder`] instead.
pub(in crate::prometheus) fn decode(
    call: &Call,
    body: &[u8],
) -> Result<Decoded, serde_json::Error> {
    match call {
        Call::Instant { .. } | Call::Range { .. } | Call::SeriesExist { .. } => {
            frame(body, |series: Vec<IgnoredAny>| {
                Data::SeriesExist(!series.is_empty())
            })
        }
        Call::LabelOfSeries { label, .. } => {
            frame(body, |series: Vec<BTreeMap<String, String>>| {
                Data::Names(values_of(label, series))
            })
        }
        Call::LabelNames { .. } | Call::LabelValues { .. } | Call::LabelValuesOtherwise { .. } => {
            frame(body, Data::Names)
        }
        Call::Metadata => frame(body, metadata),
        Call::BuildInfo => frame(body, |info: BuildInfo| Data::Version(info.version)),
    }
}

/// The `errorType` and `error` of a body that is Prometheus' error.
pub(in crate::prometheus) fn decode_error(body: &[u8]) -> Option<(String, String)> {
    let frame: Frame<IgnoredAny> = serde_json::from_slice(body).ok()?;
    let message = frame.error.filter(|_| frame.status == "error")?;
    Some((frame.error_type.unwrap_or_default(), message))
}

fn frame<T: DeserializeOwned + Default>(
    body: &[u8],
    data: impl FnOnce(T) -> Data,
) -> Result<Decoded, serde_json::Error> {
    use serde::de::Error as _;
    let frame: Frame<T> = serde_json::from_slice(body)?;
    match frame.status.as_str() {
        "success" => Ok(Decoded::Success(Answer {
            data: data(frame.data.unwrap_or_default()),
            remarks: remarks(frame.warnings, frame.infos),
            is_partial: frame.is_partial.unwrap_or_default(),
        })),
        "error" => Ok(Decoded::Failure {
            kind: frame.error_type.unwrap_or_default(),
            message: frame.error.unwrap_or_default(),
        }),
        _ => Err(serde_json::Error::custom("it has no status")),
    }
}

/// The values of one label, sorted and each once. Series without it have none.
fn values_of(label: &str, series: Vec<BTreeMap<String, String>>) -> Vec<String> {
    let values = series
        .into_iter()
        .filter_map(|mut labels| labels.remove(label));
    values.collect::<BTreeSet<_>>().into_iter().collect()
}

fn metadata(entries: BTreeMap<String, Vec<MetadataEntry>>) -> Data {
    let first_type = |entries: Vec<MetadataEntry>| {
        entries
            .first()
            .map(|entry| match entry.metric_type.as_str() {
                "counter" => MetricType::Counter,
                "gauge" | "info" | "stateset" => MetricType::Gauge,
                "histogram" | "gaugehistogram" => MetricType::Histogram,
                "summary" => MetricType::Summary,
                _ => MetricType::Unknown,
            })
    };
    Data::Metadata(
        entries
            .into_iter()
            .filter_map(|(name, entries)| Some((name, first_type(entries)?)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn answer(data: Data) -> Decoded {
        Decoded::Success(Answer {
            data,
            remarks: Vec::new(),
            is_partial: false,
        })
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
