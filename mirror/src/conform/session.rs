//! The questions that checks ask, and what is known of the mirror so far.

use serde_json::{Map, Value};

use super::answer::{
    self, Endpoint, FieldValue, Findings, Listing, MirrorError, Reading, Telemetry, read,
};
use super::finding::Fault;
use super::http::{Http, Presented};
use super::points::{Points, examine};
use super::report::Log;
use super::wire::{self, Condition, Field, MetricQuery, NO_LIMIT, Range, ValuesQuery};

/// More pages than any answer of an hour in a dozen parts could need.
const MOST_PAGES: usize = 100;

/// What this mirror was found to refuse. Other checks leave it out, so that each fault is found
/// once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forms {
    /// `query.field` may be an object.
    pub field_object: bool,
    /// `limit: 2147483647` is understood.
    pub limit_all: bool,
}

/// A mirror being looked at.
pub(super) struct Session {
    pub http: Http,
    pub connection_details: Map<String, Value>,
    pub forms: Forms,
}

/// Points that were followed to their end.
#[derive(Debug)]
pub(super) struct Read {
    pub points: Points,
    /// How many answers it took.
    pub pages: usize,
    /// No answer had a fault, and the last one was not partial.
    pub is_sound: bool,
}

impl Session {
    async fn ask<T>(
        &self,
        log: &Log,
        method: Endpoint,
        body: Vec<u8>,
        what: &str,
        decode: impl FnOnce(&super::json::Json, &mut Findings) -> Option<T>,
    ) -> Reading<T> {
        let posted = self.http.post(log, method, body, Presented::AsUsual);
        let Some(reply) = posted.await else {
            return Reading::Broken;
        };
        let mut found = Findings::default();
        let outcome = read(&reply, method, &mut found, decode);
        log.add_all(what, found);
        outcome
    }

    /// Tests a connection: it works, or why not.
    pub(super) async fn connection(
        &self,
        log: &Log,
        details: &Map<String, Value>,
    ) -> Reading<Result<(), String>> {
        let body = wire::connection(details);
        let what = "connection test";
        self.ask(log, Endpoint::Connection, body, what, answer::connection)
            .await
    }

    /// The limit that means all.
    pub(super) fn all(&self) -> Option<u64> {
        self.forms.limit_all.then_some(NO_LIMIT)
    }

    pub(super) async fn field_names(
        &self,
        log: &Log,
        conditions: &[Condition],
        range: Range,
        limit: Option<u64>,
    ) -> Reading<Listing<String>> {
        let body = wire::field_names(&self.connection_details, conditions, range, limit);
        let what = "field names";
        self.ask(log, Endpoint::FieldNames, body, what, answer::field_names)
            .await
    }

    /// A field in the form that this mirror takes.
    pub(super) fn field(&self, name: &str) -> Field {
        if self.forms.field_object {
            Field::descriptor(name)
        } else {
            Field::Name(name.to_owned())
        }
    }

    pub(super) async fn field_values(
        &self,
        log: &Log,
        what: &str,
        query: &ValuesQuery<'_>,
    ) -> Reading<Listing<FieldValue>> {
        let body = wire::field_values(&self.connection_details, query);
        self.ask(log, Endpoint::FieldValues, body, what, answer::field_values)
            .await
    }

    /// One answer to a metric query, its points held against the query.
    pub(super) async fn metric(
        &self,
        log: &Log,
        what: &str,
        query: &MetricQuery,
    ) -> Reading<(Telemetry, Points)> {
        let body = wire::metric(&self.connection_details, query);
        self.metric_as(log, what, query, body).await
    }

    /// The same, asked with another body.
    pub(super) async fn metric_as(
        &self,
        log: &Log,
        what: &str,
        query: &MetricQuery,
        body: Vec<u8>,
    ) -> Reading<(Telemetry, Points)> {
        let aggregated = query.aggregation.is_some();
        self.ask(log, Endpoint::Metric, body, what, |json, found| {
            let mut telemetry = answer::telemetry(json, aggregated, found)?;
            let points = examine(&telemetry, query, found);
            telemetry.is_sound = found.is_sound();
            Some((telemetry, points))
        })
        .await
    }

    /// Follows `isPartial` as documented, by asking again from the last point's timestamp, to its
    /// end. An error of the first answer is the caller's to judge.
    pub(super) async fn read(
        &self,
        log: &Log,
        what: &str,
        query: &MetricQuery,
    ) -> Result<Read, Option<MirrorError>> {
        let mut query = query.clone();
        let mut all = Read {
            points: Points::new(),
            pages: 0,
            is_sound: true,
        };
        loop {
            let (telemetry, points) = match self.metric(log, what, &query).await {
                Reading::Good(answer) => answer,
                Reading::Error(error) if all.pages == 0 => return Err(Some(error)),
                Reading::Broken if all.pages == 0 => return Err(None),
                Reading::Error(error) => {
                    let detail = format!("{what}, page {}: {}", all.pages + 1, error.text);
                    log.add(Fault::RequestRefused, detail);
                    all.is_sound = false;
                    return Ok(all);
                }
                Reading::Broken => {
                    all.is_sound = false;
                    return Ok(all);
                }
            };
            all.pages += 1;
            all.is_sound &= telemetry.is_sound;
            let last = points.last_key_value().map(|(start, _)| *start);
            let known = all.points.len();
            all.points.extend(points);
            if !telemetry.is_partial {
                return Ok(all);
            }
            if !telemetry.is_sound {
                // Whoever follows faulty points gets lost, and reports that as well.
                return Ok(all);
            }
            let detail = |problem: &str| format!("{what}, page {}: {problem}", all.pages);
            let Some(last) = last.filter(|_| all.points.len() > known) else {
                let detail = detail("partial, and no point that was not known");
                log.add(Fault::PartialWithoutProgress, detail);
                all.is_sound = false;
                return Ok(all);
            };
            if all.pages == MOST_PAGES {
                let detail = detail("still partial, the client gives up");
                log.add(Fault::PartialEndless, detail);
                all.is_sound = false;
                return Ok(all);
            }
            query.range.start = last;
        }
    }
}
