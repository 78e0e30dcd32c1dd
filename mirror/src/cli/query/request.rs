//! The request that `query` makes of its arguments.

use serde_json::{Value, json};

use crate::cli::args::QuestionArgs;
use crate::model::time::Timestamp;
use crate::plan::kind::QueryKindName;

/// The request as StackState writes it.
pub(super) fn request(args: &QuestionArgs, from: Timestamp, to: Timestamp) -> Value {
    let mut query = json!({
        "_type": "MetricsQuery",
        "conditions": conditions(args),
        "startTime": from.0,
        "endTime": to.0,
    });
    if let Some(limit) = args.limit {
        query["limit"] = json!(limit);
    }
    if let Some((bucket, method)) = args.bucket.zip(args.method) {
        query["aggregation"] = json!({"_type": "Aggregation", "method": method, "bucketSizeMillis": u64::try_from(bucket.as_millis()).unwrap_or(u64::MAX)});
    }
    let connection = args
        .target
        .as_ref()
        .map_or_else(|| json!({}), |target| json!({"target": target}));
    json!({"_type": "MetricsRequest", "connectionDetails": connection, "query": query})
}

fn conditions(args: &QuestionArgs) -> Vec<Value> {
    let equals =
        |key: &str, value: Value| json!({"_type": "EqualityCondition", "key": key, "value": value});
    let string = |value: &str| json!({"_type": "StringValue", "value": value});
    let kinds = [
        (QueryKindName::Gauge, &args.gauge),
        (QueryKindName::Counter, &args.counter),
        (QueryKindName::Histogram, &args.histogram),
        (QueryKindName::Summary, &args.summary),
        (QueryKindName::Expression, &args.promql),
    ];
    let mut conditions: Vec<Value> = kinds
        .iter()
        .filter_map(|(kind, name)| name.as_ref().map(|name| equals(kind.key(), string(name))))
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in &args.labels {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    for name in names {
        let values: Vec<&str> = args
            .labels
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect();
        let value = match values[..] {
            [one] => string(one),
            _ => {
                json!({"_type": "InSetValue", "value": values})
            }
        };
        conditions.push(equals(name, value));
    }
    conditions
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn parsed(extra: &[&str]) -> QuestionArgs {
        let cli = Cli::try_parse_from(
            ["prometheus-mirror", "query", "-f", "x"]
                .iter()
                .chain(extra),
        )
        .unwrap();
        match cli.command {
            Command::Query(args) => args.question,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_request_is_what_stackstate_writes() {
        let args = parsed(&[
            "--gauge",
            "up",
            "-l",
            "job=a=b",
            "-l",
            "zone=x",
            "-l",
            "zone=y",
            "--target",
            "t",
            "--limit",
            "5",
            "--bucket",
            "1m",
            "--method",
            "PERCENTILE_95",
        ]);
        let condition = |key: &str, value: Value| json!({"_type": "EqualityCondition", "key": key, "value": value});
        let string = |value: &str| json!({"_type": "StringValue", "value": value});
        let expected = json!({
            "_type": "MetricsRequest",
            "connectionDetails": {"target": "t"},
            "query": {
                "_type": "MetricsQuery",
                "conditions": [
                    condition("__gauge__", string("up")),
                    condition("job", string("a=b")),
                    condition("zone", json!({"_type": "InSetValue", "value": ["x", "y"]})),
                ],
                "startTime": 1,
                "endTime": 2,
                "limit": 5,
                "aggregation": {"_type": "Aggregation", "method": "PERCENTILE_95", "bucketSizeMillis": 60_000},
            },
        });
        assert_eq!(request(&args, Timestamp(1), Timestamp(2)), expected);
    }
}
