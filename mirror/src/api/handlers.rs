//! One thin handler per method: decode, choose the target, evaluate, encode.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::body::{self, RequestBody};
use super::decode::{DecodeError, Query, Request};
use super::{About, Answered, encode};
use crate::api::error::ApiError;
use crate::api::state::Serving;
use crate::budget::Reservation;
use crate::budget::size::ByteSize;
use crate::execute::counted::Counted;
use crate::execute::fields;
use crate::execute::{self, Context, EvaluateError, explain};
use crate::model::api_method::ApiMethod;
use crate::model::enforced::Enforced;
use crate::model::time::{Millis, Timestamp};
use crate::plan::MetricQuery;
use crate::plan::enforce::EnforceError;
use crate::plan::fields::{FieldQuery, ValuesQuery};
use crate::plan::kind::Kind;
use crate::prometheus::{Call, Caller, Deadline, RequestCalls, Store, Target};
use crate::settings::choose::{Choice, ChosenTarget, ConnectionDetails, choose};
use crate::settings::{NanInterpretation, TargetName, TargetSettings, TargetTls};

/// Answers a request body of `caller`, exactly as StackState gets it. `arrived` is when it came in:
/// deadlines count from there.
///
/// # Errors
///
/// See [`ApiError`].
pub async fn answer(
    serving: &Serving,
    method: ApiMethod,
    body: RequestBody,
    arrived: Instant,
    caller: Caller,
) -> Result<Answered, ApiError> {
    let (request, _held) = body::decoded(body, method, arrived).await?;
    let Request {
        connection_details,
        query,
    } = request;
    let details =
        ConnectionDetails::parse(&connection_details).map_err(|error| ApiError::BadRequest {
            summary: "bad connection details",
            details: error.to_string(),
        });
    let asked = details.and_then(|details| Asked::choose(serving, &details, arrived, caller));
    let asked = match asked {
        Ok(asked) => Ok(asked.with_memory(serving).await?),
        Err(error) => Err(error),
    };
    match query {
        // That a connection cannot work is the answer, not an error.
        Query::Connection => Ok(encode::connection(match asked {
            Ok(asked) => asked.test().await.err().map(|error| failure(&error)),
            Err(error @ ApiError::BadRequest { .. }) => return Err(error),
            Err(error) => Some(failure(&error)),
        })
        .into()),
        Query::FieldNames(query) if method == ApiMethod::Explain => {
            asked?.explain_fields(query, None).await
        }
        Query::FieldNames(query) => {
            let asked = asked?;
            let names = fields::names(&asked.context(), &asked.within(query)).await;
            let names = names.map_err(|error| ApiError::from_evaluation(error, "", None))?;
            let size = encode::size_of_names(&names);
            let body = asked.encoded(size, move || encode::field_names(&names));
            Ok(body.await?.into())
        }
        Query::FieldValues(query) if method == ApiMethod::Explain => {
            let field = Some(&*query.field);
            asked?.explain_fields(query.fields, field).await
        }
        Query::FieldValues(query) => {
            let asked = asked?;
            let within = asked.within(query.fields);
            let query = ValuesQuery {
                fields: within,
                ..query
            };
            let values = fields::values(&asked.context(), &query).await;
            let values =
                values.map_err(|error| ApiError::from_evaluation(error, &query.field, None))?;
            let size = encode::size_of_values(&values);
            let body = asked.encoded(size, move || encode::field_values(&values));
            Ok(body.await?.into())
        }
        Query::Metric(request) => asked?.metric(request, method == ApiMethod::Explain).await,
    }
}

fn failure(error: &ApiError) -> Value {
    ApiError::Connection {
        details: error.to_string(),
    }
    .body()
}

/// The target that a request asks, and how.
struct Asked {
    name: String,
    calls: Counted<RequestCalls>,
    scrape_interval: Millis,
    nan_interpretation: NanInterpretation,
    enforced: Enforced,
    deadline: Deadline,
    memory: Option<Arc<Reservation>>,
}

/// What a request may take beside the answers that it reads before it must ask for more: most
/// requests need no more.
const BASE: ByteSize = ByteSize(64 << 10);

impl Asked {
    fn choose(
        serving: &Serving,
        details: &ConnectionDetails,
        arrived: Instant,
        caller: Caller,
    ) -> Result<Self, ApiError> {
        let Choice {
            target,
            timeout,
            nan,
        } = choose(&serving.settings, details).map_err(|error| ApiError::Connection {
            details: error.to_string(),
        })?;
        let target: Arc<Target> = match target {
            ChosenTarget::Declared(index) => serving.targets.declared().get(index).cloned(),
            ChosenTarget::Undeclared { url } => {
                serving.targets.undeclared(&Arc::new(undeclared(url)))
            }
        }
        // Both were made from the same settings as the choice.
        .ok_or_else(|| ApiError::Connection {
            details: "the target is no longer served".to_owned(),
        })?;
        let settings = target.settings();
        Ok(Self {
            name: settings.name.to_string(),
            scrape_interval: settings.scrape_interval.into(),
            nan_interpretation: nan,
            enforced: settings.enforced.clone(),
            deadline: Deadline(arrived + timeout),
            calls: Counted::new(
                target.for_request(caller),
                serving.settings.limits.upstream_calls,
            ),
            memory: None,
        })
    }

    /// The same, with memory of its own.
    async fn with_memory(self, serving: &Serving) -> Result<Self, ApiError> {
        let Deadline(deadline) = self.deadline;
        let budget = &serving.targets.memory().work;
        let memory = Arc::new(budget.reserve(BASE, Some(deadline)).await?);
        Ok(Self {
            calls: self
                .calls
                .map(|calls| calls.with_memory(Arc::clone(&memory))),
            memory: Some(memory),
            ..self
        })
    }

    /// Encodes an answer of about `size` bytes. They count as the request's memory until they are
    /// sent.
    async fn encoded(
        &self,
        size: usize,
        encode: impl FnOnce() -> Bytes + Send + 'static,
    ) -> Result<Bytes, ApiError> {
        let Deadline(deadline) = self.deadline;
        body::encoded(self.memory.as_ref(), deadline, size, encode).await
    }

    fn context(&self) -> Context<'_, Counted<RequestCalls>> {
        Context {
            store: &self.calls,
            scrape_interval: self.scrape_interval,
            nan_interpretation: self.nan_interpretation,
            now: Timestamp::now(),
            deadline: self.deadline,
        }
    }

    /// A real query, so that wrong credentials fail.
    async fn test(&self) -> Result<(), ApiError> {
        let call = Call::Instant {
            promql: "vector(1)".to_owned(),
            at: Timestamp::now(),
        };
        self.calls.call(call, self.deadline).await?;
        Ok(())
    }

    async fn metric(&self, query: MetricQuery, explain_only: bool) -> Result<Answered, ApiError> {
        // Messages name what was asked for.
        let metric = query.kind.metric().to_owned();
        let method = query.aggregation.map(|aggregation| aggregation.name);
        let kind = self
            .enforced(query.kind)
            .await
            .map_err(|error| ApiError::BadRequest {
                summary: "expression refused",
                details: format!("this target enforces label matchers, and the expression cannot be completed with them: {error}"),
            })?;
        let query = MetricQuery { kind, ..query };
        let context = self.context();
        let is_written_anew =
            !self.enforced.0.is_empty() && matches!(query.kind, Kind::Expression { .. });
        let refused = |error: EvaluateError| {
            let error = if is_written_anew {
                error.without_positions()
            } else {
                error
            };
            ApiError::from_evaluation(error, &metric, method)
        };
        if explain_only {
            let mut explained = explain::metric(&context, &query).await.map_err(refused)?;
            explained["method"] = json!(method);
            return self.explained(explained).await;
        }
        let telemetry = execute::metric(&context, &query).await.map_err(refused)?;
        for remark in &telemetry.remarks {
            tracing::debug!(target = %self.name, ?remark.meaning, remark.text, "the store remarks");
        }
        let about = About {
            missing: telemetry.missing,
            remarks: telemetry.remarks.clone(),
        };
        let size = encode::size_of_points(&telemetry);
        let body = self
            .encoded(size, move || encode::metric(&telemetry))
            .await?;
        Ok(Answered { body, about })
    }

    /// What is asked for, within the target's enforced matchers. To complete an expression takes up
    /// to some milliseconds, and no other request waits for them.
    async fn enforced(&self, kind: Kind) -> Result<Kind, EnforceError> {
        let enforced = self.enforced.clone();
        if enforced.0.is_empty() || !matches!(kind, Kind::Expression { .. }) {
            return enforced.kind(kind);
        }
        let completed = tokio::task::spawn_blocking(move || enforced.kind(kind)).await;
        completed.unwrap_or(Err(EnforceError::Unreadable))
    }

    /// The same query, of series within the target's enforced matchers.
    fn within(&self, query: FieldQuery) -> FieldQuery {
        let (kind, matchers) = self.enforced.conditions(query.kind, query.matchers);
        FieldQuery {
            kind,
            matchers,
            ..query
        }
    }

    async fn explain_fields(
        &self,
        query: FieldQuery,
        field: Option<&str>,
    ) -> Result<Answered, ApiError> {
        let explained = explain::fields(&self.within(query), field);
        self.explained(explained).await
    }

    /// The answer that says what would be sent. Its size is known when it is there: it is bounded,
    /// as PromQL is.
    async fn explained(&self, mut explained: Value) -> Result<Answered, ApiError> {
        explained["target"] = json!(self.name);
        let body = encode::body(&explained);
        let Deadline(deadline) = self.deadline;
        let counted = body::counted(self.memory.as_ref(), deadline, body).await?;
        Ok(counted.into())
    }
}

/// What holds for a server that only a request names.
fn undeclared(url: url::Url) -> TargetSettings {
    TargetSettings {
        name: TargetName(Arc::from("(undeclared)")),
        url,
        request_timeout: Duration::from_secs(15),
        scrape_interval: Duration::from_secs(15),
        nan_interpretation: NanInterpretation::Zero,
        headers: http::HeaderMap::new(),
        tls: TargetTls::default(),
        auth: None,
        enforced: Enforced::default(),
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed(details) => Self::BadRequest {
                summary: "malformed request",
                details,
            },
            DecodeError::Unsupported(mirror_type) => Self::UnsupportedFieldType { mirror_type },
            DecodeError::NoKind => Self::MetricNotFound {
                metric: String::new(),
                details: error.to_string(),
            },
        }
    }
}
