//! One thin handler per method: decode, choose the target, execute, encode.

use std::time::Instant;

use serde_json::{Value, json};

use super::body::{self, RequestBody};
use super::chosen::Chosen;
use super::decode::{Query, Request};
use super::error::ApiError;
use super::state::Serving;
use super::{About, Answered, encode};
use crate::execute::{self, EvaluateError, explain, fields};
use crate::model::api_method::ApiMethod;
use crate::model::time::Timestamp;
use crate::plan::MetricQuery;
use crate::plan::fields::{FieldQuery, ValuesQuery};
use crate::prometheus::{Call, Caller, Store};
use crate::settings::choose::ConnectionDetails;

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
    let details = ConnectionDetails::parse(&connection_details)?;
    let target = match Chosen::choose(serving, &details, arrived, caller) {
        Ok(target) => Ok(target.with_memory(serving).await?),
        Err(error) => Err(error),
    };
    let explain = method == ApiMethod::Explain;
    match query {
        Query::Connection => Ok(connection(target).await),
        Query::FieldNames(query) if explain => explained_fields(&target?, query, None).await,
        Query::FieldNames(query) => field_names(&target?, query).await,
        Query::FieldValues(ValuesQuery { fields, field, .. }) if explain => {
            explained_fields(&target?, fields, Some(&field)).await
        }
        Query::FieldValues(query) => field_values(&target?, query).await,
        Query::Metric(query) => metric(&target?, query, explain).await,
    }
}

/// That a connection cannot work is the answer, not an error.
async fn connection(target: Result<Chosen, ApiError>) -> Answered {
    let failure = match target {
        Ok(target) => connects(&target).await.err(),
        Err(error) => Some(error),
    };
    encode::connection(failure.map(|error| error.as_failed_connection())).into()
}

/// A real query, so that wrong credentials fail.
async fn connects(target: &Chosen) -> Result<(), ApiError> {
    let call = Call::Instant {
        promql: "vector(1)".to_owned(),
        at: Timestamp::now(),
    };
    target.calls.call(call, target.deadline).await?;
    Ok(())
}

async fn field_names(target: &Chosen, query: FieldQuery) -> Result<Answered, ApiError> {
    let names = fields::names(&target.context(), &target.within(query)).await;
    let names = names.map_err(|error| ApiError::from_evaluation(error, "", None))?;
    let size = encode::size_of_names(&names);
    let body = target.encoded(size, move || encode::field_names(&names));
    Ok(body.await?.into())
}

async fn field_values(target: &Chosen, query: ValuesQuery) -> Result<Answered, ApiError> {
    let query = ValuesQuery {
        fields: target.within(query.fields),
        ..query
    };
    let values = fields::values(&target.context(), &query).await;
    let values = values.map_err(|error| ApiError::from_evaluation(error, &query.field, None))?;
    let size = encode::size_of_values(&values);
    let body = target.encoded(size, move || encode::field_values(&values));
    Ok(body.await?.into())
}

async fn metric(target: &Chosen, query: MetricQuery, explain: bool) -> Result<Answered, ApiError> {
    // Messages name what was asked for.
    let metric = query.kind.metric().to_owned();
    let method = query.aggregation.map(|aggregation| aggregation.name);
    let is_completed = target.completes(&query.kind);
    let query = MetricQuery {
        kind: target.enforced(query.kind).await?,
        ..query
    };
    let refused = |error: EvaluateError| {
        let error = match is_completed {
            true => error.without_positions(),
            false => error,
        };
        ApiError::from_evaluation(error, &metric, method)
    };
    let context = target.context();
    if explain {
        let mut explained = explain::metric(&context, &query).await.map_err(refused)?;
        explained["method"] = json!(method);
        return self::explained(target, explained).await;
    }
    let telemetry = execute::metric(&context, &query).await.map_err(refused)?;
    for remark in &telemetry.remarks {
        tracing::debug!(target = %target.name, ?remark.meaning, remark.text, "the store remarks");
    }
    let about = About {
        missing: telemetry.missing,
        remarks: telemetry.remarks.clone(),
    };
    let size = encode::size_of_points(&telemetry);
    let body = target.encoded(size, move || encode::metric(&telemetry));
    Ok(Answered {
        body: body.await?,
        about,
    })
}

async fn explained_fields(
    target: &Chosen,
    query: FieldQuery,
    field: Option<&str>,
) -> Result<Answered, ApiError> {
    explained(target, explain::fields(&target.within(query), field)).await
}

/// The answer that says what would be sent. Its size is known when it is there: it is bounded, as
/// PromQL is.
async fn explained(target: &Chosen, mut explained: Value) -> Result<Answered, ApiError> {
    explained["target"] = json!(target.name);
    Ok(target.counted(encode::body(&explained)).await?.into())
}
