//! One thin handler per method: decode, choose the target, execute, encode.

use serde_json::json;

use super::answer_body::AnswerBody;
use super::asked::{Asked, AskedMetric};
use super::body::{self, RequestBody};
use super::chosen::Chosen;
use super::decode::{Query, Request};
use super::described;
use super::encode::Points;
use super::error::ApiError;
use super::state::Serving;
use super::{About, Answered, Asker, encode};
use crate::execute::why::{self, Why};
use crate::execute::{self, explain, fields};
use crate::model::api_method::ApiMethod;
use crate::model::time::Timestamp;
use crate::plan::fields::{FieldQuery, ValuesQuery};
use crate::prometheus::Call;
use crate::settings::choose::ConnectionDetails;

/// Answers the request body of `asker`, exactly as StackState gets it.
///
/// # Errors
///
/// See [`ApiError`].
pub async fn answer(
    serving: &Serving,
    method: ApiMethod,
    body: RequestBody,
    asker: Asker,
) -> Result<Answered, ApiError> {
    let (request, _held) = body::decoded(body, method, asker.arrived).await?;
    let Request {
        connection_details,
        query,
    } = request;
    let details = ConnectionDetails::parse(&connection_details)?;
    if let Some(notes) = &asker.notes {
        query.note(notes);
    }
    let target = match Chosen::choose(serving, &details, asker) {
        Ok(target) => Ok(target.with_memory(serving).await?),
        Err(error) => Err(error),
    };
    let asked = match query {
        Query::Connection => return Ok(connection(target).await),
        Query::FieldNames(query) => Asked::FieldNames(query),
        Query::FieldValues(query) => Asked::FieldValues(query),
        Query::Metric(query) => Asked::Metric(query.into()),
    };
    let mut target = target?;
    let asked = asked.within(&target).await?;
    loop {
        let answered = match method {
            // Kilobytes long, and rare.
            ApiMethod::Explain => Box::pin(explained(&target, &asked)).await,
            ApiMethod::Describe => Box::pin(described::answer(&target, &asked)).await,
            _ => answered(&target, &asked, method).await,
        };
        match answered {
            // What it held is given back with this.
            Err(ApiError::GivesWay) => target = target.in_turn(serving).await?,
            answered => return answered,
        }
    }
}

async fn answered(target: &Chosen, asked: &Asked, method: ApiMethod) -> Result<Answered, ApiError> {
    match asked {
        // Kilobytes long, and rarer than the last one.
        Asked::Metric(asked) if method == ApiMethod::Why => Box::pin(why(target, asked)).await,
        Asked::FieldNames(query) => Box::pin(field_names(target, query)).await,
        Asked::FieldValues(query) => Box::pin(field_values(target, query)).await,
        Asked::Metric(asked) => metric(target, asked).await,
    }
}

/// The answer that says what would be sent. Its size is known when it is there: it is bounded, as
/// PromQL is.
async fn explained(target: &Chosen, asked: &Asked) -> Result<Answered, ApiError> {
    let mut explained = match asked {
        Asked::FieldNames(query) => explain::fields(query, None),
        Asked::FieldValues(query) => explain::fields(&query.fields, Some(&query.field)),
        Asked::Metric(asked) => {
            let explained = explain::metric(&target.context(), &asked.query).await;
            let mut explained = explained.map_err(|error| asked.failed(error))?;
            explained["method"] = json!(asked.method());
            explained
        }
    };
    explained["target"] = json!(target.name);
    if let Some(servers) = &target.servers {
        explained["servers"] = json!(servers);
    }
    if let Some(parameters) = target.parameters.query() {
        explained["parameters"] = json!(parameters);
    }
    Ok(target.counted(encode::body(&explained)).await?.into())
}

/// Why a metric has no points. The query's errors say so themselves.
async fn why(target: &Chosen, asked: &AskedMetric) -> Result<Answered, ApiError> {
    let why = why::why(&target.context(), &asked.query).await;
    let why = why.map_err(|error| asked.failed(error))?;
    let mut answer = json!({
        "target": target.name, "reason": why.name(), "message": why.to_string(),
    });
    match &why {
        Why::Points(count) | Why::OnlyNan(count) => answer["points"] = json!(count),
        Why::NoBucketIsOver { ends } | Why::LastBucketIsNotOver { ends, .. } => {
            answer["ends"] = json!(ends.0);
        }
        Why::NoSamples { before, after } => {
            answer["lastBefore"] = json!(before.map(|at| at.0));
            answer["firstAfter"] = json!(after.map(|at| at.0));
        }
        Why::TooFewSamples | Why::NoResultChosen { .. } | Why::NoResult => {}
    }
    Ok(target.counted(encode::body(&answer)).await?.into())
}

/// That a connection cannot work is the answer, not an error.
async fn connection(target: Result<Chosen, ApiError>) -> Answered {
    let failure = match target {
        Ok(target) => connects(&target).await.err(),
        Err(error) => Some(error),
    };
    let failure = failure.map(|error| error.as_failed_connection());
    AnswerBody::whole(encode::connection(failure), None).into()
}

/// A real query, so that wrong credentials fail.
async fn connects(target: &Chosen) -> Result<(), ApiError> {
    let call = Call::Instant {
        promql: "vector(1)".to_owned(),
        at: Timestamp::now(),
    };
    Ok(target.calls.reach(call, target.deadline).await?)
}

async fn field_names(target: &Chosen, query: &FieldQuery) -> Result<Answered, ApiError> {
    let names = fields::names(&target.context(), query).await;
    let names = names.map_err(|error| ApiError::from_evaluation(error, "", None))?;
    let size = encode::size_of_names(&names);
    let body = target.encoded(size, move || encode::field_names(&names));
    Ok(body.await?.into())
}

async fn field_values(target: &Chosen, query: &ValuesQuery) -> Result<Answered, ApiError> {
    let values = fields::values(&target.context(), query).await;
    let values = values.map_err(|error| ApiError::from_evaluation(error, &query.field, None))?;
    let size = encode::size_of_values(&values);
    let body = target.encoded(size, move || encode::field_values(&values));
    Ok(body.await?.into())
}

pub(super) async fn metric(target: &Chosen, asked: &AskedMetric) -> Result<Answered, ApiError> {
    let telemetry = execute::metric(&target.context(), &asked.query).await;
    let telemetry = telemetry.map_err(|error| asked.failed(error))?;
    for remark in &telemetry.remarks {
        tracing::debug!(target = %target.name, ?remark.meaning, remark.text, "the store remarks");
    }
    if let Some(notes) = &target.notes {
        notes.points(telemetry.points.len());
    }
    let about = About {
        missing: telemetry.missing,
        remarks: telemetry.remarks.clone(),
    };
    Ok(Answered {
        body: target.points(Points::new(telemetry)).await?,
        about,
    })
}
