//! The same request in every form that the contract allows, and requests that must be refused.

use serde_json::{Value, json};

use super::{Chosen, MINUTE, last_hour, settled_hour};
use crate::conform::answer::{self, Endpoint, ErrorKind, Findings, Reading, read};
use crate::conform::finding::Fault;
use crate::conform::http::Presented;
use crate::conform::report::Log;
use crate::conform::session::Session;
use crate::conform::wire::{self, Aggregation, MetricQuery, ValuesQuery};

/// Nobody has a metric of this name.
const NO_METRIC: &str = "prometheus_mirror_conform_no_such_metric";

/// Each form that is allowed must be answered like the usual one.
pub(in crate::conform) async fn allowed(session: &Session, log: &Log, one: &Chosen) {
    let aggregation = Some(Aggregation::new("MEAN", MINUTE));
    let aggregated = one.query(settled_hour(), aggregation);
    let usual = wire::metric(&session.connection_details, &aggregated);
    let mut tried = 0;
    let mut forms = vec![
        (
            Fault::FloatsRefused,
            "whole numbers with .0",
            change(&usual, floats),
        ),
        (
            Fault::AbsentTypeRefused,
            "without _type",
            change(&usual, without_types),
        ),
        (
            Fault::OptionalMembersRefused,
            "latestFirst and offset there, metricField null",
            change(&usual, |body| {
                let query = &mut body["query"];
                query["latestFirst"] = json!(false);
                query["metricField"] = Value::Null;
                query["offset"] = json!(0);
            }),
        ),
        (
            Fault::OptionalMembersRefused,
            "latestFirst and offset null, metricField absent",
            change(&usual, |body| {
                let query = &mut body["query"];
                query["latestFirst"] = Value::Null;
                query["offset"] = Value::Null;
                without(query, "metricField");
            }),
        ),
        (
            Fault::OptionalMembersRefused,
            "limit absent",
            change(&usual, |body| without(&mut body["query"], "limit")),
        ),
        (
            Fault::LimitAllRefused,
            "limit 2147483647",
            change(&usual, |body| {
                body["query"]["limit"] = json!(wire::NO_LIMIT)
            }),
        ),
    ];
    if !session.forms.limit_all {
        forms.retain(|(fault, ..)| *fault != Fault::LimitAllRefused);
    }
    for (fault, form, body) in forms {
        tried += 1;
        let mut query = aggregated.clone();
        query.limit = wire::NO_LIMIT;
        is_answered(session, log, fault, form, &query, body).await;
    }
    if one.is_single {
        let raw = one.query(settled_hour(), None);
        let usual = wire::metric(&session.connection_details, &raw);
        let body = change(&usual, |body| body["query"]["aggregation"] = Value::Null);
        tried += 1;
        let fault = Fault::NullAggregationRefused;
        is_answered(session, log, fault, "aggregation null", &raw, body).await;
    }
    tried += values(session, log, one).await;
    log.detail(format!("{tried} forms"));
}

async fn is_answered(
    session: &Session,
    log: &Log,
    fault: Fault,
    form: &str,
    query: &MetricQuery,
    body: Vec<u8>,
) {
    if let Reading::Error(error) = session.metric_as(log, form, query, body).await {
        log.add(fault, format!("metric, {form}: {}", error.text));
    }
}

/// Optional members of a field value query. Returns how many forms there were.
async fn values(session: &Session, log: &Log, one: &Chosen) -> usize {
    let usual = wire::field_values(
        &session.connection_details,
        &ValuesQuery {
            conditions: &[],
            field: session.field(one.kind),
            prefix: None,
            range: last_hour(),
            limit: session.all(),
            offset: 0,
        },
    );
    let mut forms = vec![
        (
            Fault::OptionalMembersRefused,
            "fieldValuePrefix empty",
            change(&usual, |body| body["query"]["fieldValuePrefix"] = json!("")),
        ),
        (
            Fault::OptionalMembersRefused,
            "offset and latestFirst null",
            change(&usual, |body| {
                body["query"]["offset"] = Value::Null;
                body["query"]["latestFirst"] = Value::Null;
            }),
        ),
        (
            Fault::OptionalMembersRefused,
            "limit, offset and latestFirst absent",
            change(&usual, |body| {
                for name in ["limit", "offset", "latestFirst"] {
                    without(&mut body["query"], name);
                }
            }),
        ),
        (
            Fault::AbsentTypeRefused,
            "without _type",
            change(&usual, without_types),
        ),
    ];
    if !session.forms.field_object {
        // What it takes has no `_type`, and the object without one is no better to it.
        forms.truncate(3);
    }
    let count = forms.len();
    for (fault, form, body) in forms {
        let Some(reply) = post(session, log, Endpoint::FieldValues, body).await else {
            continue;
        };
        let mut found = Findings::default();
        let outcome = read(
            &reply,
            Endpoint::FieldValues,
            &mut found,
            answer::field_values,
        );
        log.add_all(form, found);
        if let Reading::Error(error) = outcome {
            log.add(fault, format!("field values, {form}: {}", error.text));
        }
    }
    count
}

async fn post(
    session: &Session,
    log: &Log,
    method: Endpoint,
    body: Vec<u8>,
) -> Option<answer::Reply> {
    session
        .http
        .post(log, method, body, Presented::AsUsual)
        .await
}

/// What must be refused, with an error of the contract.
pub(in crate::conform) async fn refused(session: &Session, log: &Log, one: Option<&Chosen>) {
    let unknown = Chosen::new("__gauge__", NO_METRIC);
    let metric = one.unwrap_or(&unknown);
    let query = metric.query(settled_hour(), Some(Aggregation::new("MEAN", MINUTE)));
    let usual = wire::metric(&session.connection_details, &query);
    let wrong = [
        (
            Fault::WrongTypeAccepted,
            "a request of _type FieldNamesRequest",
            change(&usual, |body| body["_type"] = json!("FieldNamesRequest")),
        ),
        (
            Fault::WrongTypeAccepted,
            "a query of _type FieldNamesQuery",
            change(&usual, |body| {
                body["query"]["_type"] = json!("FieldNamesQuery")
            }),
        ),
        (
            Fault::WrongTypeAccepted,
            "an aggregation of _type MetricsQuery",
            change(&usual, |body| {
                body["query"]["aggregation"]["_type"] = json!("MetricsQuery");
            }),
        ),
        (
            Fault::WrongTypeAccepted,
            "a condition of _type Aggregation",
            change(&usual, |body| {
                body["query"]["conditions"][0]["_type"] = json!("Aggregation");
            }),
        ),
        (
            Fault::BrokenJsonAccepted,
            "a body that is cut off",
            usual[..usual.len() / 2].to_vec(),
        ),
        (Fault::BrokenJsonAccepted, "an empty body", Vec::new()),
    ];
    let count = wrong.len() + 1;
    for (fault, form, body) in wrong {
        if let Reading::Good(_) = session.metric_as(log, form, &query, body).await {
            log.add(fault, format!("{form} is answered"));
        }
    }
    for aggregation in [None, Some(Aggregation::new("MEAN", MINUTE))] {
        let what = unknown.what(aggregation);
        let query = unknown.query(settled_hour(), aggregation);
        match session.metric(log, &what, &query).await {
            Reading::Error(error) if error.kind == ErrorKind::NotFound => {}
            Reading::Error(error) => {
                log.add(Fault::UnknownMetric, format!("{what}: {}", error.text));
            }
            Reading::Good((_, points)) => {
                let detail = format!("{what}: answered with {} points", points.len());
                log.add(Fault::UnknownMetric, detail);
            }
            Reading::Broken => {}
        }
    }
    log.detail(format!("{count} wrong requests"));
}

/// A request with something else in it.
fn change(usual: &[u8], how: impl Fn(&mut Value)) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(usual).unwrap_or_default();
    how(&mut body);
    body.to_string().into_bytes()
}

fn without(value: &mut Value, name: &str) {
    if let Some(members) = value.as_object_mut() {
        members.remove(name);
    }
}

/// No `_type` but where it says what a value is.
fn without_types(body: &mut Value) {
    without(body, "_type");
    let query = &mut body["query"];
    without(query, "_type");
    for part in ["aggregation", "field"] {
        if let Some(part) = query.get_mut(part) {
            without(part, "_type");
        }
    }
    if let Some(Value::Array(conditions)) = query.get_mut("conditions") {
        for condition in conditions {
            without(condition, "_type");
        }
    }
}

fn floats(body: &mut Value) {
    let query = &mut body["query"];
    for name in ["startTime", "endTime", "limit"] {
        if let Some(whole) = query[name].as_f64() {
            query[name] = json!(whole);
        }
    }
    if let Some(whole) = query["aggregation"]["bucketSizeMillis"].as_f64() {
        query["aggregation"]["bucketSizeMillis"] = json!(whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::wire::{Condition, Range};

    #[test]
    fn forms_differ_from_the_usual_one_in_what_they_say_only() {
        let query = MetricQuery {
            conditions: vec![Condition::text("__gauge__", "up")],
            range: Range { start: 1, end: 2 },
            limit: 3,
            aggregation: Some(Aggregation::new("MEAN", 4)),
        };
        let usual = wire::metric(&serde_json::Map::new(), &query);
        let text = |how: fn(&mut Value)| String::from_utf8(change(&usual, how)).unwrap();
        assert_eq!(
            text(floats),
            r#"{"_type":"MetricsRequest","connectionDetails":{},"query":{"_type":"MetricsQuery","aggregation":{"_type":"Aggregation","bucketSizeMillis":4.0,"method":"MEAN"},"conditions":[{"_type":"EqualityCondition","key":"__gauge__","value":{"_type":"StringValue","value":"up"}}],"endTime":2.0,"limit":3.0,"metricField":"value","startTime":1.0}}"#
        );
        assert_eq!(
            text(without_types),
            r#"{"connectionDetails":{},"query":{"aggregation":{"bucketSizeMillis":4,"method":"MEAN"},"conditions":[{"key":"__gauge__","value":{"_type":"StringValue","value":"up"}}],"endTime":2,"limit":3,"metricField":"value","startTime":1}}"#
        );
    }
}
