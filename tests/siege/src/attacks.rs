//! What is sent: each kind of input that once stopped a mirror, varied by a generator with a fixed
//! seed.

use serde_json::{Value, json};

use crate::random::Random;
use siege_stores::hostile::Answer;

/// One kind of input.
#[derive(Clone, Debug)]
pub(crate) struct Attack {
    /// What it is, in a few words.
    pub(crate) name: String,
    /// What is done.
    pub(crate) means: Means,
    /// It only asks for much, and must get it, however many ask at once.
    pub(crate) is_honest: bool,
}

/// How it is brought to the mirror.
#[derive(Clone, Debug)]
pub(crate) enum Means {
    /// A request with this path and body.
    Request(&'static str, Vec<u8>),
    /// So many connections to the port that stay open, each with one request every few seconds.
    KeptAlive(Port, usize),
    /// So many connections that begin a head and stop.
    HalfHead(Port, usize),
    /// So many bodies of 1 MiB whose last byte does not come.
    HalfBody(usize),
}

/// A port of the mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// The API.
    Api,
    /// Probes and metrics.
    Admin,
}

/// Names of the mirror's targets, see `main.rs`.
const REAL: &str = "real";
const HOSTILE: &str = "hostile";
const ENFORCED: &str = "enforced";

const START: i64 = harness::samples::START;
const END: i64 = START + harness::samples::HOUR;

/// All kinds, and `variations` of those that a generator can vary.
pub(crate) fn all(random: &mut Random, variations: usize) -> Vec<Attack> {
    let mut all = fixed();
    for _ in 0..variations {
        all.push(junk(random));
        all.push(regular_expressions(random));
        all.push(set(random));
        all.push(numbers(random));
        all.push(hostile(random));
    }
    all
}

fn request(name: &str, path: &'static str, body: &Value) -> Attack {
    Attack {
        name: name.to_owned(),
        means: Means::Request(path, body.to_string().into_bytes()),
        is_honest: false,
    }
}

fn equals(key: &str, value: &str) -> Value {
    harness::client::equals(key, value)
}

fn metric(
    target: &str,
    conditions: &Value,
    from: i64,
    to: i64,
    aggregation: Option<(&str, i64)>,
) -> Value {
    let mut query = json!({
        "_type": "MetricsQuery", "conditions": conditions, "startTime": from, "endTime": to,
    });
    if let Some((method, width)) = aggregation {
        query["aggregation"] =
            json!({"_type": "Aggregation", "method": method, "bucketSizeMillis": width});
    }
    json!({"_type": "MetricsRequest", "connectionDetails": {"target": target}, "query": query})
}

/// 10,000 series of the real store.
fn wide() -> Value {
    json!([
        equals("__gauge__", "wide"),
        harness::client::any_of("job", &["a", "variant_0"])
    ])
}

fn fixed() -> Vec<Attack> {
    let hour = |target, conditions: Value, aggregation| {
        metric(target, &conditions, START, END, aggregation)
    };
    let expression = |target, promql: &str| hour(target, json!([equals("~", promql)]), None);
    let mut all = vec![
        request(
            "raw gauge of 10,000 series",
            "/api/metric",
            &hour(REAL, wide(), None),
        ),
        request(
            "10,000 series of an expression",
            "/api/metric",
            &expression(REAL, r#"wide{job!="variant_0"}"#),
        ),
        Attack {
            is_honest: true,
            ..request(
                "PERCENTILE_95 of 10,000 series",
                "/api/metric",
                &hour(REAL, wide(), Some(("PERCENTILE_95", 3_600_000))),
            )
        },
        request(
            "PERCENTILE_95 of small buckets",
            "/api/metric",
            &hour(REAL, wide(), Some(("PERCENTILE_95", 1_000))),
        ),
        request(
            "buckets of a second since 1970, of nothing",
            "/api/metric",
            &metric(
                HOSTILE,
                &json!([equals("~", "hostile_nothing_variant_0")]),
                0,
                START,
                Some(("MEAN", 1_000)),
            ),
        ),
        request(
            "buckets of a millisecond since 1970",
            "/api/metric",
            &metric(
                HOSTILE,
                &json!([equals("~", "hostile_nothing_variant_0")]),
                0,
                START,
                Some(("MAX", 1)),
            ),
        ),
        request(
            "names of fields of everything",
            "/api/field/name",
            &json!({"_type": "FieldNamesRequest", "connectionDetails": {"target": HOSTILE}, "query": {
                "_type": "FieldNamesQuery", "conditions": [equals("__gauge__", "hostile_names_variant_0")], "startTime": 0, "endTime": END,
            }}),
        ),
        Attack {
            name: "1,100 kept connections, API port".to_owned(),
            means: Means::KeptAlive(Port::Api, 1_100),
            is_honest: false,
        },
        Attack {
            name: "1,100 kept connections, admin port".to_owned(),
            means: Means::KeptAlive(Port::Admin, 1_100),
            is_honest: false,
        },
        Attack {
            name: "1,100 halves of heads, API port".to_owned(),
            means: Means::HalfHead(Port::Api, 1_100),
            is_honest: false,
        },
        Attack {
            name: "1,100 halves of heads, admin port".to_owned(),
            means: Means::HalfHead(Port::Admin, 1_100),
            is_honest: false,
        },
        Attack {
            name: "600 bodies without an end".to_owned(),
            means: Means::HalfBody(600),
            is_honest: false,
        },
    ];
    for promql in [
        "a[1e30]",
        "mem offset -1e30",
        "mem[5m:1e300]",
        "mem[5m:1e30] offset 1e25",
        "mem @ 1e300",
        "-1e999^a",
    ] {
        all.push(request(
            &format!("enforced: {promql}"),
            "/api/metric",
            &expression(ENFORCED, promql),
        ));
    }
    for (name, _) in Answer::ALL {
        let promql = format!("hostile_{name}_variant_0");
        all.push(request(
            &format!("raw, store answers {name}"),
            "/api/metric",
            &expression(HOSTILE, &promql),
        ));
        all.push(Attack {
            // Each answer fits into the memory, and twenty do not.
            is_honest: name == "series_30000",
            ..request(
                &format!("pooled, store answers {name}"),
                "/api/metric",
                &hour(
                    HOSTILE,
                    json!([equals("__gauge__", &promql)]),
                    Some(("PERCENTILE_50", 60_000)),
                ),
            )
        });
        all.push(request(
                &format!("values, store answers {name}"), "/api/field/value",
                &json!({"_type": "FieldValuesRequest", "connectionDetails": {"target": HOSTILE}, "query": {
                    "_type": "FieldValuesQuery", "startTime": START, "endTime": END, "limit": 100, "fieldValuePrefix": "",
                    "field": {"_type": "FieldDescriptor", "fieldName": format!("hostile_{name}_variant_0"), "fieldType": "STRING"},
                    "conditions": [equals("__gauge__", &promql)],
                }}),
            ));
    }
    for field in [".", "..", "a/../b", "/", "%2e%2e", "\u{0}", "U__"] {
        all.push(values_of(
            &format!("values of the field {field:?}"),
            field,
            "",
        ));
    }
    all.push(values_of(
        "values of a field of 100 KiB",
        &"f".repeat(100 << 10),
        "",
    ));
    all.push(values_of(
        "values with a prefix of 900 KiB",
        "job",
        &"p".repeat(900 << 10),
    ));
    all
}

fn values_of(name: &str, field: &str, prefix: &str) -> Attack {
    request(
        name,
        "/api/field/value",
        &json!({
            "_type": "FieldValuesRequest", "connectionDetails": {"target": REAL}, "query": {
                "_type": "FieldValuesQuery", "startTime": START, "endTime": END, "limit": 10, "fieldValuePrefix": prefix,
                "conditions": [], "field": {"_type": "FieldDescriptor", "fieldName": field, "fieldType": "STRING"},
            },
        }),
    )
}

/// A body of up to 1 MiB whose bulk is something that is not needed, in one of the places where
/// something may be.
fn junk(random: &mut Random) -> Attack {
    let element = *random.one_of(&[
        r#"{"":0}"#,
        "{}",
        "[]",
        r#""""#,
        "0",
        "[[[[[[]]]]]]",
        r#"{"a":{"b":{"c":null}}}"#,
        "1e300",
    ]);
    let size = 200_000 + random.below(800_000);
    let count = size / (element.len() + 1);
    let bulk = format!("[{}0]", format!("{element},").repeat(count));
    let place = *random.one_of(&["connectionDetails", "unknown", "query", "condition", "keys"]);
    let body = metric(
        HOSTILE,
        &json!([equals("~", "hostile_silent_variant_0")]),
        START,
        END,
        None,
    )
    .to_string();
    let with = |marker: &str| body.replacen(marker, &format!(r#"{marker}"x":{bulk},"#), 1);
    let body = match place {
        "connectionDetails" => with(r#""connectionDetails":{"#),
        "query" => with(r#""query":{"#),
        "condition" => with(r#"[{"#),
        "keys" => {
            let keys: String = (0..size / 12).map(|key| format!(r#""{key}":0,"#)).collect();
            body.replacen('{', &format!("{{{keys}"), 1)
        }
        _ => with("{"),
    };
    Attack {
        name: format!("{count} times {element} in {place}"),
        means: Means::Request("/api/metric", body.into_bytes()),
        is_honest: false,
    }
}

/// An expression of up to 8 KiB that is mostly regular expressions, for a target with enforced
/// matchers.
fn regular_expressions(random: &mut Random) -> Attack {
    let piece = *random.one_of(&[
        r"\\pL{150}",
        "(a{9}b){9}",
        "[^a]{200}",
        r"(\\w{50}\\d){20}",
        "(?i:x){99}",
        "((a?){50}){50}",
        ".{1000}",
    ]);
    let count = 10 + random.below(180);
    let operator = *random.one_of(&["=~", "!~"]);
    let matcher = format!(r#"x{operator}"{piece}""#);
    let promql = format!("mem{{{}}}", vec![matcher; count].join(","));
    let promql = if promql.len() > 8000 {
        promql[..8000].to_owned()
    } else {
        promql
    };
    request(
        &format!("enforced: {count} times {operator} {piece}"),
        "/api/metric",
        &metric(ENFORCED, &json!([equals("~", &promql)]), START, END, None),
    )
}

/// A condition with very many values.
fn set(random: &mut Random) -> Attack {
    let value = *random.one_of(&[
        "1e308",
        "-1e308",
        "1",
        "0.1",
        "\"a\"",
        "\"\\\\u0001\"",
        "\".*+?|()[]{}\"",
        "\"🦀\"",
        "true",
    ]);
    let count = (50_000 + random.below(500_000)).min(1_000_000 / (value.len() + 1));
    let path = *random.one_of(&["/api/metric", "/api/explain"]);
    let values = format!("[{}{value}]", format!("{value},").repeat(count));
    let body = metric(REAL, &wide(), START, END, None).to_string().replacen(
        r#""conditions":["#,
        &format!(r#""conditions":[{{"_type":"EqualityCondition","key":"x","value":{{"_type":"InSetValue","value":{values}}}}},"#),
        1,
    );
    Attack {
        name: format!("{path}: a set of {count} times {value}"),
        means: Means::Request(path, body.into_bytes()),
        is_honest: false,
    }
}

/// Times, widths and limits at the ends of what numbers can be.
fn numbers(random: &mut Random) -> Attack {
    let ends = [
        0,
        1,
        -1,
        i64::MAX,
        i64::MIN,
        253_402_300_799_999,
        START,
        END,
    ];
    let (from, to) = (*random.one_of(&ends), *random.one_of(&ends));
    let width = *random.one_of(&[1, 1_000, 60_000, 253_402_300_799_999, i64::MAX]);
    let method = *random.one_of(&["MEAN", "PERCENTILE_99", "SUM", "EVENT_COUNT", "MAX"]);
    let kind = *random.one_of(&["__gauge__", "__counter__", "__histogram__", "~"]);
    request(
        &format!("{kind} {method} over {width} ms from {from} to {to}"),
        "/api/metric",
        &metric(
            HOSTILE,
            &json!([equals(kind, "hostile_nothing_variant_0")]),
            from,
            to,
            Some((method, width)),
        ),
    )
}

/// A bad answer to a kind of query.
fn hostile(random: &mut Random) -> Attack {
    let (name, _) = *random.one_of(&Answer::ALL);
    let kind = *random.one_of(&[
        "__gauge__",
        "__counter__",
        "__histogram__",
        "__summary__",
        "~",
    ]);
    let methods = ["MEAN", "PERCENTILE_75", "SUM", "EVENT_COUNT", "MAX", "MIN"];
    let aggregation = (random.below(4) > 0).then(|| (*random.one_of(&methods), 60_000));
    request(
        &format!(
            "{kind} {}, store answers {name}",
            aggregation.map_or("raw", |(method, _)| method)
        ),
        "/api/metric",
        &metric(
            HOSTILE,
            &json!([equals(kind, &format!("hostile_{name}_variant_0"))]),
            START,
            END,
            aggregation,
        ),
    )
}
