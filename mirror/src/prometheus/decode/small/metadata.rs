//! The metadata of metrics.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::metric_type::{MetricDescription, MetricType};

/// The type in the first entry of a metric's metadata; none if there is no entry.
pub(super) struct FirstType;

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

/// What the first entry says, in the store's own words; none if there is no entry.
pub(super) struct FirstDescription;

impl<'de> DeserializeSeed<'de> for FirstDescription {
    type Value = Option<MetricDescription>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for FirstDescription {
    type Value = Option<MetricDescription>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of metadata")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(rename = "type", default)]
            metric_type: String,
            #[serde(default)]
            help: String,
            #[serde(default)]
            unit: String,
        }
        let first: Option<Entry> = entries.next_element()?;
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first.map(|entry| MetricDescription {
            metric_type: entry.metric_type,
            help: entry.help,
            unit: entry.unit,
        }))
    }
}
