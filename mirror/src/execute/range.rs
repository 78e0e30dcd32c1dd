//! The points that range queries over a grid answer.

use super::collect::Collector;
use super::grid::{Waves, skip_gap};
use super::one_series::{OneSeries, chosen};
use super::work::Steps;
use super::{Context, EvaluateError, pooled};
use crate::model::series::Series;
use crate::model::time::Timestamp;
use crate::plan::Plan;
use crate::plan::buckets::{Buckets, Cursor};
use crate::plan::histogram::MARK;
use crate::plan::selector::Filter;
use crate::plan::source::{MatchingSeries, Meeting, Pooling};
use crate::prometheus::{Answer, Store};

/// What an answer says about its part of the grid.
enum Found<'plan, 'answer> {
    /// The series of the points, if there are any.
    Points(Option<&'answer Series>),
    /// Several series, which the gateway pools from this part on.
    Several(&'plan Pooling),
    /// Native and classic histograms meet: this expression answers more, from this part on.
    Meeting(&'plan str),
}

/// Evaluates `promql` over the plan's grid, and hands its points to the collector.
pub(super) async fn collect<S: Store>(
    context: &Context<'_, S>,
    plan: &Plan,
    promql: &str,
    matching: &MatchingSeries,
    collector: &mut Collector,
) -> Result<(), EvaluateError> {
    let (mut promql, mut matching) = (promql, matching);
    let mut waves = Waves::over(plan.grid);
    let mut chooser = Chooser::new(context, matching);
    while !waves.is_exhausted() && !collector.is_satisfied() {
        let mut found_any = false;
        for (part, answer) in waves.ask(context, promql, collector).await? {
            let found = chooser.found(matching, &answer, part).await?;
            let series = match found {
                Found::Points(series) => series,
                Found::Several(pooling) => {
                    collector.note(&answer);
                    // Everything up to here was one series.
                    let rest = plan.grid.buckets.from_instant(part.start());
                    return pooled::collect(context, &plan.kind, pooling, rest, collector).await;
                }
                Found::Meeting(precise) => {
                    // The parts of this wave that are left are asked for again with it.
                    (promql, matching) = (precise, &MatchingSeries::Impossible);
                    waves = Waves::over(plan.grid.from_instant(part.start()));
                    found_any = true;
                    break;
                }
            };
            collector.note(&answer);
            if let Some(series) = series {
                let mut times = Times::of(plan, part);
                let time = |at| times.of_point(at);
                let steps = &mut chooser.steps;
                found_any |= collector.take(&series.samples, steps, time).await?;
            }
        }
        if !found_any {
            skip_gap(context, plan, &mut waves).await?;
        }
    }
    Ok(())
}

/// The times of the points in an answer to a part of the grid.
struct Times<'a> {
    plan: &'a Plan,
    buckets: Cursor,
}

impl<'a> Times<'a> {
    fn of(plan: &'a Plan, part: Buckets) -> Self {
        Self {
            plan,
            buckets: Cursor::over(part),
        }
    }

    /// The time of the point that was evaluated at `at`, if it is one of the plan's.
    fn of_point(&mut self, at: Timestamp) -> Option<Timestamp> {
        match self.plan.bucket {
            // Some stores move evaluation times: the bucket is that which the time falls in.
            Some(_) => self.buckets.start_containing(at),
            None => Some(at).filter(|at| (self.plan.start..=self.plan.end).contains(at)),
        }
    }
}

/// Chooses the series of an answer.
struct Chooser<'a> {
    one: OneSeries,
    filter: Filter<'a>,
    steps: Steps,
}

impl<'a> Chooser<'a> {
    fn new<S: Store>(context: &Context<'_, S>, matching: &'a MatchingSeries) -> Self {
        Self {
            one: OneSeries::default(),
            filter: Filter::new(match matching {
                MatchingSeries::Refused(matchers) => matchers,
                _ => &[],
            }),
            steps: Steps::new(context.deadline),
        }
    }

    async fn found<'plan, 'answer>(
        &mut self,
        matching: &'plan MatchingSeries,
        answer: &'answer Answer,
        part: Buckets,
    ) -> Result<Found<'plan, 'answer>, EvaluateError> {
        let all = answer.series();
        Ok(match matching {
            MatchingSeries::Impossible => Found::Points(all.first()),
            MatchingSeries::Refused(_) => {
                let chosen = chosen(all, &self.filter, &mut self.steps).await?;
                Found::Points(self.one.of(chosen.iter().map(|place| &all[*place]))?)
            }
            MatchingSeries::Pooled(pooling) => match all {
                [] => Found::Points(None),
                [one] => Found::Points(Some(one)),
                _ => Found::Several(pooling),
            },
            MatchingSeries::Marked(meeting) => match (marked(marks(answer), part), meeting) {
                (None, _) => Found::Points(marks(answer).iter().find(|one| !is_mark(one))),
                (Some(bucket), Meeting::Refused) => {
                    return Err(EvaluateError::BothForms { bucket });
                }
                (Some(_), Meeting::Added(precise)) => Found::Meeting(precise),
            },
        })
    }
}

/// Results and marks: an answer has one series of each, and what a faulty store sends beyond that
/// is not looked at.
fn marks(answer: &Answer) -> &[Series] {
    let all = answer.series();
    &all[..all.len().min(8)]
}

/// Whether this series says where native and classic histograms meet, and nothing else.
fn is_mark(series: &Series) -> bool {
    series.labels.contains_key(MARK)
}

/// The first bucket of `part` that is marked.
fn marked(series: &[Series], part: Buckets) -> Option<Timestamp> {
    series
        .iter()
        .filter(|series| is_mark(series))
        .flat_map(|series| series.samples.iter())
        .find_map(|(at, _)| part.start_containing(at))
}
