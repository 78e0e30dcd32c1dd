//! Stores in memory: a list of samples, and a script.

use super::*;
use crate::prometheus::range_selector;

/// Series with samples at these instants. A range query answers the number of samples in the step
/// up to each instant.
pub(super) struct ListedStore {
    series: Vec<(&'static str, Vec<i64>)>,
    pub(super) calls: Mutex<Vec<Call>>,
}

impl ListedStore {
    pub(super) fn new(series: Vec<(&'static str, Vec<i64>)>) -> Self {
        Self {
            series,
            calls: Mutex::default(),
        }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no panic while locked").clone()
    }

    fn range(&self, start: i64, end: i64, step: i64) -> Data {
        let until = |instants: &[i64], at: i64| instants.partition_point(|sample| *sample <= at);
        let count = |instants: &[i64], at: i64| until(instants, at) - until(instants, at - step);
        let found = self.series.iter().map(|(name, instants)| {
            let mut samples = Samples::default();
            let mut at = start;
            while at <= end {
                if count(instants, at) > 0 {
                    samples.push(Timestamp(at), &count(instants, at).to_string());
                }
                at += step;
            }
            Series {
                labels: labels(name),
                samples,
                histograms: Vec::new(),
            }
        });
        Data::Series(found.filter(|series| !series.samples.is_empty()).collect())
    }

    fn instant(&self, promql: &str, at: i64) -> Data {
        let window = promql
            .rsplit_once('[')
            .and_then(|(_, window)| window.strip_suffix(']'))
            .expect("a range selector");
        let (digits, unit) =
            window.split_at(window.find(|c: char| !c.is_ascii_digit()).expect("a unit"));
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            _ => 3_600_000,
        };
        let from = at - digits.parse::<i64>().expect("digits") * unit;
        let found = self.series.iter().map(|(name, instants)| {
            let mut samples = Samples::default();
            for sample in instants
                .iter()
                .filter(|sample| (from..=at).contains(*sample))
            {
                samples.push(Timestamp(*sample), &sample.to_string());
            }
            Series {
                labels: labels(name),
                samples,
                histograms: Vec::new(),
            }
        });
        Data::Series(found.filter(|series| !series.samples.is_empty()).collect())
    }
}

fn labels(instance: &str) -> Labels {
    [("instance".to_owned(), instance.to_owned())].into()
}

impl Store for ListedStore {
    async fn call(&self, call: Call, _: Deadline) -> Result<Arc<Answer>, StoreError> {
        self.calls
            .lock()
            .expect("no panic while locked")
            .push(call.clone());
        let data = match &call {
            Call::Range {
                start, end, step, ..
            } => {
                assert!(
                    (end.0 - start.0) / step.0 < 11_000,
                    "Prometheus refuses more points"
                );
                self.range(start.0, end.0, step.0)
            }
            Call::Instant { promql, at } => self.instant(promql, at.0),
            Call::Samples { selector, from, to } => {
                self.instant(&range_selector(selector, *from, *to), to.0)
            }
            Call::SeriesExist { start, end, .. } => Data::SeriesExist(
                self.series
                    .iter()
                    .any(|(_, all)| all.iter().any(|at| (start.0..=end.0).contains(at))),
            ),
            _ => Data::Names(Vec::new()),
        };
        Ok(Arc::new(Answer::of(data)))
    }

    async fn capabilities(&self, _: Deadline) -> Result<Capabilities, StoreError> {
        Ok(Capabilities {
            range_boundary: RangeBoundary::LeftOpen,
            native_histograms: false,
            settles_after: Millis(0),
            keeps_nan: true,
        })
    }
}

impl<S: Store> Store for &S {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        (*self).call(call, deadline).await
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        (*self).capabilities(deadline).await
    }
}

/// A store that answers as it is told.
pub(super) struct ScriptedStore<F> {
    script: F,
    calls: Mutex<Vec<Call>>,
    native_histograms: bool,
}

impl<F: Fn(&Call) -> Result<Data, StoreError> + Send + Sync> ScriptedStore<F> {
    pub(super) fn new(script: F) -> Self {
        Self {
            script,
            calls: Mutex::default(),
            native_histograms: true,
        }
    }

    /// Without a deadline that a test would reach.
    pub(super) fn run(&self, query: &MetricQuery) -> (Result<Telemetry, EvaluateError>, Vec<Call>) {
        let context = Context {
            store: self,
            scrape_interval: Millis(1_000),
            nan_interpretation: NanInterpretation::Zero,
            now: Timestamp(i64::MAX / 4),
            deadline: Deadline(Instant::now() + Duration::from_secs(60)),
        };
        let answer = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime")
            .block_on(metric(&context, query));
        let calls = std::mem::take(&mut *self.calls.lock().expect("no panic while locked"));
        (answer, calls)
    }
}

impl<F: Fn(&Call) -> Result<Data, StoreError> + Send + Sync> Store for ScriptedStore<F> {
    async fn call(&self, call: Call, _: Deadline) -> Result<Arc<Answer>, StoreError> {
        let data = (self.script)(&call);
        self.calls.lock().expect("no panic while locked").push(call);
        Ok(Arc::new(Answer::of(data?)))
    }

    async fn capabilities(&self, _: Deadline) -> Result<Capabilities, StoreError> {
        Ok(Capabilities {
            range_boundary: RangeBoundary::LeftOpen,
            native_histograms: self.native_histograms,
            settles_after: Millis(0),
            keeps_nan: true,
        })
    }
}

pub(super) fn one_series(labels: &[(&str, &str)], points: &[(i64, &str)]) -> Series {
    let mut samples = Samples::default();
    for (at, text) in points {
        samples.push(Timestamp(*at), text);
    }
    Series {
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        samples,
        histograms: Vec::new(),
    }
}
