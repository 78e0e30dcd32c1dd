//! Loads samples into a server by Prometheus' remote write protocol 1.0: protobuf, snappy, HTTP.
//!
//! It is the one way in that all three stores have and that keeps timestamps to the millisecond,
//! NaN, ±Inf and native histograms.

use anyhow::{Result, ensure};
use prost::Message;

use crate::samples::{NativeHistogram, Series};
use crate::servers::http_client;

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<MetricMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct MetricMetadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    family: String,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    count_int: u64,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    // Members of a oneof on the wire: present even when 0.
    #[prost(uint64, optional, tag = "6")]
    zero_count_int: Option<u64>,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(int64, tag = "15")]
    timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

/// What a scrape leaves where a series has ended.
pub const STALE_MARKER: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Loads `series`, in slices of time so that no store finds a sample too old.
///
/// # Errors
/// If the server refuses a sample.
pub async fn load(base_url: &str, series: &[Series]) -> Result<()> {
    push(&format!("{base_url}/api/v1/write"), series).await
}

/// The same for a server that takes samples at another URL.
///
/// # Errors
/// If the server refuses a sample.
pub async fn push(url: &str, series: &[Series]) -> Result<()> {
    /// Prometheus takes nothing older than an hour before its newest sample.
    const SLICE: i64 = 30 * 60 * 1000;
    let client = http_client();
    let instants = || series.iter().flat_map(Series::instants);
    let (Some(first), Some(last)) = (instants().min(), instants().max()) else {
        return Ok(());
    };
    for begin in (first..=last).step_by(SLICE as usize) {
        let timeseries = series
            .iter()
            .map(|series| time_series(series, begin, begin + SLICE))
            .filter(|series| !(series.samples.is_empty() && series.histograms.is_empty()))
            .collect();
        let body = WriteRequest {
            timeseries,
            metadata: Vec::new(),
        }
        .encode_to_vec();
        let response = client
            .post(url)
            .header("Content-Encoding", "snappy")
            .header("Content-Type", "application/x-protobuf")
            .header("X-Prometheus-Remote-Write-Version", "0.1.0")
            .body(snap::raw::Encoder::new().compress_vec(&body)?)
            .send()
            .await?;
        let status = response.status();
        ensure!(
            status.is_success(),
            "remote write: {status} {}",
            response.text().await?
        );
    }
    Ok(())
}

/// The part of a series within `[begin, end)`.
fn time_series(series: &Series, begin: i64, end: i64) -> TimeSeries {
    let within = |at: i64| (begin..end).contains(&at);
    let stale = series.stale_at.iter().map(|at| (*at, STALE_MARKER));
    let mut samples: Vec<Sample> = series
        .samples
        .iter()
        .map(|sample| (sample.at, sample.value))
        .chain(stale)
        .filter(|(at, _)| within(*at))
        .map(|(timestamp, value)| Sample { value, timestamp })
        .collect();
    samples.sort_by_key(|sample| sample.timestamp);
    TimeSeries {
        labels: series
            .labels
            .iter()
            .map(|(name, value)| Label {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
        samples,
        histograms: series
            .histograms
            .iter()
            .filter(|(at, _)| within(*at))
            .map(|(at, histogram)| encode(*at, histogram))
            .collect(),
    }
}

fn encode(timestamp: i64, histogram: &NativeHistogram) -> Histogram {
    let (positive_spans, positive_deltas) = spans(&histogram.positive);
    let (negative_spans, negative_deltas) = spans(&histogram.negative);
    Histogram {
        count_int: histogram.count(),
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count_int: Some(histogram.zero_count),
        negative_spans,
        negative_deltas,
        positive_spans,
        positive_deltas,
        timestamp,
    }
}

/// Buckets as runs of neighbours, each count as the difference to the one before.
fn spans(buckets: &std::collections::BTreeMap<i32, u64>) -> (Vec<BucketSpan>, Vec<i64>) {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut deltas = Vec::new();
    let (mut expected, mut before) = (0, 0);
    for (index, count) in buckets {
        match spans.last_mut() {
            Some(span) if *index == expected => span.length += 1,
            _ => spans.push(BucketSpan {
                offset: index - expected,
                length: 1,
            }),
        }
        deltas.push(count.cast_signed() - before);
        before = count.cast_signed();
        expected = index + 1;
    }
    (spans, deltas)
}
