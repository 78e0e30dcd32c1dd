//! Gathers points until there are enough.

use std::ops::Range;

use crds::NanInterpretation;

use super::EvaluateError;
use super::work::Steps;
use crate::model::series::Samples;
use crate::model::time::{Millis, Timestamp};
use crate::plan::value::{self, Presented};
use crate::plan::{MAX_POINTS, MetricQuery};
use crate::prometheus::remarks::Remark;
use crate::prometheus::{Answer, StoreError};

/// The points of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    /// Ascending: the instant of a raw point or the start of a bucket, and a JSON number.
    pub points: Samples,
    /// The width of the buckets, if the points are such.
    pub bucket: Option<Millis>,
    /// Why the answer is not all there is.
    pub missing: Missing,
    /// What the store said about its answers, each thing once.
    pub remarks: Vec<Remark>,
}

/// What an answer lacks. Nothing, unless one of these holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Points beyond the limit: ask again from the last point's timestamp.
    pub beyond_limit: bool,
    /// Data that the store left out: it says so, or could not be read whole.
    pub left_out_by_store: bool,
    /// Values that JSON has no number for (±Inf), before the last point.
    pub without_number: bool,
}

impl Missing {
    /// Whether anything is missing: `isPartial`.
    #[must_use]
    pub fn is_partial(self) -> bool {
        self.beyond_limit || self.left_out_by_store || self.without_number
    }
}

impl Telemetry {
    /// Whether anything is missing: `isPartial`.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.missing.is_partial()
    }
}

/// Takes points in the order of time.
#[derive(Debug)]
pub(super) struct Collector {
    telemetry: Telemetry,
    start: Timestamp,
    nan_interpretation: NanInterpretation,
    limit: u64,
    /// A value without a JSON number came. The answer is partial if a point follows: a client asks
    /// a partial answer again from its last point on, and where nothing but such values is left it
    /// would do so for ever.
    left_out_number: bool,
}

impl Collector {
    pub(super) fn new(query: &MetricQuery, nan_interpretation: NanInterpretation) -> Self {
        Self {
            telemetry: Telemetry {
                bucket: query.aggregation.map(|aggregation| aggregation.bucket),
                ..Telemetry::default()
            },
            start: query.start,
            nan_interpretation,
            limit: query.limit.unwrap_or(MAX_POINTS).min(MAX_POINTS),
            left_out_number: false,
        }
    }

    /// Takes those of the samples that `time` has a time for. Answers whether there were any.
    ///
    /// # Errors
    /// If the deadline passes.
    pub(super) async fn take(
        &mut self,
        samples: &Samples,
        steps: &mut Steps,
        mut time: impl FnMut(Timestamp) -> Option<Timestamp>,
    ) -> Result<bool, EvaluateError> {
        // Where few are wanted of many, there are few.
        if samples.len() as u64 <= self.wanted() {
            let text_length = samples.text_length();
            self.telemetry.points.reserve(samples.len(), text_length);
        }
        let (mut found_any, mut begin) = (false, 0);
        while begin < samples.len() {
            let end = samples.len().min(begin + steps.left());
            found_any |= self.take_stretch(samples, begin..end, &mut time);
            if steps.are_due_after(end - begin) {
                steps.rest().await?;
            }
            begin = end;
        }
        Ok(found_any)
    }

    /// The same for a stretch of the samples: numbers in runs, and everything else one by one.
    fn take_stretch(
        &mut self,
        samples: &Samples,
        Range { mut start, end }: Range<usize>,
        mut time: impl FnMut(Timestamp) -> Option<Timestamp>,
    ) -> bool {
        let mut found_any = false;
        while start < end && !self.is_satisfied() {
            let wanted = usize::try_from(self.wanted()).unwrap_or(usize::MAX);
            let run = start..end.min(start.saturating_add(wanted));
            let points = &mut self.telemetry.points;
            let taken = points.append_while(samples, run.clone(), |at, text| {
                value::is_number(text).then(|| time(at)).flatten()
            });
            if taken > 0 {
                found_any = true;
                self.telemetry.missing.without_number |= self.left_out_number;
            }
            start += taken;
            // What has ended the run.
            if start < run.end
                && let Some((at, text)) = samples.get(start)
            {
                if let Some(at) = time(at) {
                    found_any = true;
                    self.push(at, text);
                }
                start += 1;
            }
        }
        found_any
    }

    /// One point with the store's text of its value. Points beyond those that are wanted are not
    /// kept.
    pub(super) fn push(&mut self, at: Timestamp, text: &str) {
        if self.is_satisfied() {
            return;
        }
        match value::present(text, self.nan_interpretation) {
            Presented::Number(number) => {
                self.telemetry.missing.without_number |= self.left_out_number;
                self.telemetry.points.push(at, number);
            }
            Presented::LeftOut => {}
            Presented::NotPresentable => self.left_out_number = true,
        }
    }

    /// Takes over what the store says about its own answer.
    pub(super) fn note(&mut self, answer: &Answer) {
        self.telemetry.missing.left_out_by_store |= answer.is_incomplete();
        for remark in &answer.remarks {
            remark.clone().keep_in(&mut self.telemetry.remarks);
        }
    }

    /// The answer ends here although the range does not.
    pub(super) fn cut(&mut self) {
        self.telemetry.missing.beyond_limit = true;
    }

    /// How many points the answer may have. A caller that continues from the last point's timestamp
    /// gets that point once more; with a limit of one it would get nothing else, so then it gets
    /// the next one as well.
    fn allowed(&self) -> u64 {
        let repeats_only = self.limit == 1
            && self
                .telemetry
                .points
                .iter()
                .next()
                .is_some_and(|(at, _)| at <= self.start);
        if repeats_only { 2 } else { self.limit }
    }

    /// Where the request may make no more calls, the answer ends if the caller gets further with
    /// it.
    pub(super) fn or_cut(
        &mut self,
        result: Result<(), EvaluateError>,
    ) -> Result<(), EvaluateError> {
        match result {
            Err(EvaluateError::Store(StoreError::TooManyCalls { .. })) if self.has_progress() => {
                self.cut();
                Ok(())
            }
            result => result,
        }
    }

    /// How many more points are of use: one beyond those that are answered tells that there are
    /// more.
    pub(super) fn wanted(&self) -> u64 {
        (self.allowed() + 1).saturating_sub(self.telemetry.points.len() as u64)
    }

    /// Whether more points would change nothing.
    pub(super) fn is_satisfied(&self) -> bool {
        self.wanted() == 0
    }

    /// Whether the caller gets further with what there is.
    pub(super) fn has_progress(&self) -> bool {
        self.telemetry
            .points
            .iter()
            .last()
            .is_some_and(|(at, _)| at > self.start)
    }

    pub(super) fn finish(mut self) -> Telemetry {
        let allowed = self.allowed();
        if self.telemetry.points.len() as u64 > allowed {
            self.telemetry
                .points
                .truncate(usize::try_from(allowed).unwrap_or(usize::MAX));
            self.telemetry.missing.beyond_limit = true;
        }
        self.telemetry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::kind::QueryKind;
    use crate::plan::selector::Selector;

    #[test]
    fn an_infinity_makes_an_answer_partial_where_asking_again_leaves_it_behind() {
        let query = MetricQuery {
            kind: QueryKind::Gauge(Selector::new("g", Vec::new())),
            start: Timestamp(0),
            end: Timestamp(10),
            limit: None,
            aggregation: None,
        };
        let table: [(&[&str], usize, bool); 6] = [
            (&["1", "+Inf", "2"], 2, true),
            (&["-Inf", "1"], 1, true),
            (&["1", "2", "+Inf"], 2, false),
            (&["+Inf", "-Inf"], 0, false),
            (&["1", "NaN"], 2, false),
            (&["1", "+Inf", "NaN"], 2, true),
        ];
        for (values, points, is_partial) in table {
            let mut collector = Collector::new(&query, NanInterpretation::Zero);
            for (at, value) in (1..).zip(values) {
                collector.push(Timestamp(at), value);
            }
            let telemetry = collector.finish();
            let found = (telemetry.points.len(), telemetry.is_partial());
            assert_eq!(found, (points, is_partial), "{values:?}");
        }
    }
}
