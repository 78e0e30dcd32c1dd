use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::series::{HistogramSample, Labels, Series};
use crate::model::time::{Millis, Timestamp};
use crate::prometheus::remarks::Remark;
use crate::prometheus::{Arrival, Call, Data, Held};

fn decode_in_chunks(body: &[u8], chunk: usize) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder::default();
    for chunk in body.chunks(chunk) {
        decoder.push(chunk)?;
    }
    decoder.finish()
}

fn decode(body: &str) -> Result<Decoded, String> {
    let whole = decode_in_chunks(body.as_bytes(), body.len().max(1));
    assert_eq!(
        whole,
        decode_in_chunks(body.as_bytes(), 1),
        "in one piece and byte by byte"
    );
    whole.map_err(|error| error.to_string())
}

fn series(labels: &[(&str, &str)], samples: &[(i64, &str)]) -> Series {
    let labels: Labels = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut series = Series {
        labels,
        ..Series::default()
    };
    for (at, value) in samples {
        series.samples.push(Timestamp(*at), value);
    }
    series
}

fn success(series: Vec<Series>) -> Result<Decoded, String> {
    Ok(Decoded::Success(Answer::of(Data::Series(series))))
}

#[test]
fn a_matrix_keeps_its_digits_and_exact_times() {
    let body = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{"__name__":"up","job":"a"},"values":[[1.7e9,"1e+06"],[1700000000.059,"1.50"],[1700000001,"-0"]]},
        {"metric":{},"values":[[1,"NaN"],[2,"+Inf"],[3,"-Inf"]]}]}}"#;
    assert_eq!(
        decode(body),
        success(vec![
            series(
                &[("__name__", "up"), ("job", "a")],
                &[
                    (1_700_000_000_000, "1e+06"),
                    (1_700_000_000_059, "1.50"),
                    (1_700_000_001_000, "-0")
                ]
            ),
            series(&[], &[(1000, "NaN"), (2000, "+Inf"), (3000, "-Inf")]),
        ])
    );
}

#[test]
fn vectors_and_scalars_are_series_of_one_sample_and_a_string_is_none() {
    let result = |kind: &str, result: &str| {
        decode(&format!(
            r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#
        ))
    };
    let vector =
        r#"[{"metric":{"a":"b"},"value":[1.5,"2"]},{"metric":{"a":"c"},"value":[1.5,"3"]}]"#;
    assert_eq!(
        result("vector", vector),
        success(vec![
            series(&[("a", "b")], &[(1500, "2")]),
            series(&[("a", "c")], &[(1500, "3")])
        ])
    );
    assert_eq!(
        result("scalar", r#"[1.5,"2"]"#),
        success(vec![series(&[], &[(1500, "2")])])
    );
    assert_eq!(
        result("string", r#"[1.5,"any \"text\""]"#),
        success(Vec::new())
    );
    assert_eq!(result("vector", "null"), success(Vec::new()));
}

#[test]
fn native_histograms_are_read_in_vectors_and_matrices() {
    let histogram = r#"{"count":"10","sum":"3.5","buckets":[[0,"1","2","10"]]}"#;
    let body = format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[
            {{"metric":{{}},"histograms":[[1,{histogram}],[2.5,{histogram}]]}},
            {{"metric":{{}},"histogram":[3,{histogram}]}}]}}}}"#
    );
    let sample = |at| HistogramSample {
        at: Timestamp(at),
        count: 10.0,
        sum: 3.5,
    };
    let with = |histograms| Series {
        histograms,
        ..Series::default()
    };
    assert_eq!(
        decode(&body),
        success(vec![
            with(vec![sample(1000), sample(2500)]),
            with(vec![sample(3000)])
        ])
    );
}

#[test]
fn keys_come_in_any_order_and_unknown_ones_are_skipped() {
    let body = r#"{"new":{"a":[1,{"b":null}],"data":{"result":7}},"isPartial":true,"warnings":["w1","w2"],"infos":["i",{"a":[1]},null],
        "data":{"stats":{"seriesFetched":"1"},"result":[{"values":[[1,"1"]],"new":[[1,"x"]],"metric":{"a":"\ud83d\ude00\u00e4\n\/"}}],
        "resultType":"matrix"},"status":"success"}"#;
    assert_eq!(
        decode(body),
        Ok(Decoded::Success(Answer {
            data: Data::Series(vec![series(&[("a", "😀ä\n/")], &[(1000, "1")])]),
            remarks: vec![
                Remark::warning("w1"),
                Remark::warning("w2"),
                Remark::info("i")
            ],
            is_partial: true,
            must_not_be_kept: false,
            held: Held::default(),
            arrival: Arrival::default(),
        }))
    );
}

#[test]
fn an_error_is_an_answer_too() {
    let body = r#"{"status":"error","errorType":"execution","error":"too many samples"}"#;
    let (kind, message) = ("execution".to_owned(), "too many samples".to_owned());
    assert_eq!(decode(body), Ok(Decoded::Failure { kind, message }));
}

#[test]
fn white_space_may_stand_anywhere_between_tokens() {
    let dense = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"2"],[3,"4"]]}]}}"#;
    let mut spaced = String::new();
    let mut in_string = false;
    for c in dense.chars() {
        in_string ^= c == '"';
        let between = !in_string && "{}[],:".contains(c);
        spaced.push_str(if between { "\r\n\t " } else { "" });
        spaced.push(c);
        spaced.push_str(if between { " \n" } else { "" });
    }
    assert_eq!(decode(&spaced), decode(dense));
    // A sample as Prometheus writes it, and only then white space.
    assert_eq!(
        decode(&dense.replace("],[", "]\r\n ,\n[").replace("]]", "]\n]")),
        decode(dense)
    );
}

/// The same text so many times, with commas between.
fn many(text: &str, times: usize) -> String {
    vec![text; times].join(",")
}

#[test]
fn what_is_not_prometheus_json_says_why() {
    let matrix = |result: &str| {
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":{result}}}}}"#)
    };
    let values = |values: &str| matrix(&format!(r#"[{{"metric":{{}},"values":{values}}}]"#));
    let histograms = |pairs: &str| matrix(&format!(r#"[{{"metric":{{}},"histograms":{pairs}}}]"#));
    let table = [
        (String::new(), "it is empty"),
        (" \n".to_owned(), "it is empty"),
        ("<html>".to_owned(), "it has '<' where a value is due"),
        (
            "[]".to_owned(),
            "it has an array where Prometheus has an object",
        ),
        ("1".to_owned(), "it is not an object"),
        ("{}".to_owned(), "it has no status"),
        (r#"{"status":"success"}"#.to_owned(), "it has no result"),
        (
            r#"{"status":"success","data":{"result":[]}}"#.to_owned(),
            "it has no resultType",
        ),
        (
            r#"{"status":"success","data":{"resultType":"new","result":[]}}"#.to_owned(),
            "not of its resultType",
        ),
        (
            r#"{"status":"success","data":[]}"#.to_owned(),
            "an array where Prometheus has an object",
        ),
        (r#"{"status":1}"#.to_owned(), "a value of another type"),
        (r#"{"status":"success",}"#.to_owned(), "it is not JSON"),
        (matrix("[]") + "x", "it has 'x'"),
        (matrix("[]") + "{}", "it goes on after its end"),
        (
            matrix("[").trim_end_matches('}').to_owned(),
            "it ends too early",
        ),
        (values(r#"[[1,"1"],]"#), "it is not JSON"),
        (values(r#"[[1,"1"]"#), "it is not JSON"),
        (
            values(r#"[[1,"one"]]"#),
            "a sample value that is not a number",
        ),
        (
            values(r#"[[1,"01"]]"#),
            "a sample value that is not a number",
        ),
        (values(r#"[[1,1]]"#), "a value of another type"),
        (values(r#"[["1","1"]]"#), "a value of another type"),
        (values(r#"[[1,"1",2]]"#), "a value of another type"),
        (values(r#"[[1]]"#), "a sample that is not a pair"),
        (values(r#"[[1e99,"1"]]"#), "a timestamp out of range"),
        (values(r#"[[01,"1"]]"#), "a number that is not JSON's"),
        (values(r#"[[tru,"1"]]"#), "a word that is not JSON's"),
        (
            matrix("[{\"metric\":{\"a\":\"\u{1}\"}}]"),
            "a string that is not JSON's",
        ),
        (
            matrix(r#"[{"metric":{"a":"\ud800"}}]"#),
            "a string that is not JSON's",
        ),
        (
            matrix(r#"[{"histogram":[1,{"count":"1"}]}]"#),
            "a native histogram without count or sum",
        ),
        (matrix("[{}]"), "a series without metric"),
        (
            matrix(r#"[{"values":[[1,"1"]]}]"#),
            "a series without metric",
        ),
        (
            matrix(r#"[{"metric":{}}]"#),
            "a series without value and values",
        ),
        (values(r#"[[2,"1"],[1,"1"]]"#), "not in the order of time"),
        (
            values(r#"[[2,"1"], [1.5e0,"NaN"]]"#),
            "not in the order of time",
        ),
        (
            histograms(r#"[[2,{"count":"1","sum":"1"}],[1,{"count":"1","sum":"1"}]]"#),
            "not in the order of time",
        ),
        (values(r#"[[1,"1e999"]]"#), "larger than any float"),
        (values(r#"[[1,"1"],[2,"-1e309"]]"#), "larger than any float"),
        (
            values(&format!(r#"[[1,"0.{}"]]"#, "1".repeat(1000))),
            "a sample value that is not a number",
        ),
        (
            r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1e999"]}}"#
                .to_owned(),
            "not of its resultType",
        ),
        (
            matrix(&format!(
                r#"[{{"metric":{{{}}}}}]"#,
                (0..1001)
                    .map(|n| format!("\"{n}\":\"\""))
                    .collect::<Vec<_>>()
                    .join(",")
            )),
            "more than 1000 labels",
        ),
        (
            matrix(r#"[{"metric":{"a":"1","b":"2","a":"1"},"values":[]}]"#),
            "the same label twice",
        ),
        (
            format!(r#"{{"warnings":[{}"#, many("\"\"", 10_001)),
            "more than 10000 warnings",
        ),
        (
            format!(r#"{{"infos":[{}"#, many("0", 10_001)),
            "more than 10000 warnings or infos",
        ),
        (
            format!(r#"{{"new":{}"#, "[".repeat(100)),
            "nested too deeply",
        ),
        (
            format!(r#"{{"new":"{}""#, "x".repeat(1 << 20)),
            "more than 1 MiB",
        ),
    ];
    for (body, reason) in table {
        let whole = decode_in_chunks(body.as_bytes(), body.len().max(1)).unwrap_err();
        assert!(whole.to_string().contains(reason), "{:.80}: {whole}", body);
        assert_eq!(decode_in_chunks(body.as_bytes(), 7).unwrap_err(), whole);
    }
    let body = b"{\"status\":\"success\",\"new\":\"\xff\"}";
    assert!(
        decode_in_chunks(body, 3)
            .unwrap_err()
            .to_string()
            .contains("not UTF-8")
    );
}

/// The oracle: the whole body through serde_json, and then by the letter of Prometheus'
/// documentation.
fn reference(body: &[u8]) -> Decoded {
    let body: Value = serde_json::from_slice(body).unwrap();
    let at = |seconds: &Value| Timestamp((seconds.as_f64().unwrap() * 1000.0).round() as i64);
    let float = |text: &Value| text.as_str().unwrap().parse().unwrap();
    let pairs = |one: &Value, many: &Value| -> Vec<Value> {
        one.as_array()
            .map(|_| one.clone())
            .into_iter()
            .chain(many.as_array().into_iter().flatten().cloned())
            .collect()
    };
    let result = &body["data"]["result"];
    let decoded = match body["data"]["resultType"].as_str().unwrap() {
        "string" => Vec::new(),
        "scalar" => {
            let mut series = Series::default();
            series
                .samples
                .push(at(&result[0]), result[1].as_str().unwrap());
            vec![series]
        }
        _ => result
            .as_array()
            .unwrap()
            .iter()
            .map(|element| {
                let labels = element["metric"].as_object().unwrap().iter();
                let labels =
                    labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
                let mut series = Series {
                    labels: labels.collect(),
                    ..Series::default()
                };
                for pair in pairs(&element["value"], &element["values"]) {
                    series.samples.push(at(&pair[0]), pair[1].as_str().unwrap());
                }
                for pair in pairs(&element["histogram"], &element["histograms"]) {
                    let (count, sum) = (float(&pair[1]["count"]), float(&pair[1]["sum"]));
                    series.histograms.push(HistogramSample {
                        at: at(&pair[0]),
                        count,
                        sum,
                    });
                }
                series
            })
            .collect(),
    };
    let warnings = body["warnings"].as_array().into_iter().flatten();
    Decoded::Success(Answer {
        data: Data::Series(decoded),
        remarks: warnings.fold(Vec::new(), |mut kept, warning| {
            Remark::warning(warning.as_str().unwrap()).keep_in(&mut kept);
            kept
        }),
        is_partial: body["isPartial"].as_bool().unwrap_or(false),
        must_not_be_kept: false,
        held: Held::default(),
        arrival: Arrival::default(),
    })
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<f64>().prop_filter("JSON has no other", |value| value.is_finite()).prop_map(|value| value.to_string()),
        2 => any::<f64>().prop_filter("JSON has no other", |value| value.is_finite()).prop_map(|value| format!("{value:e}")),
        1 => prop_oneof![Just("NaN"), Just("+Inf"), Just("-Inf"), Just("1e+06"), Just("-0")].prop_map(str::to_owned),
    ]
}

fn seconds() -> impl Strategy<Value = String> {
    prop_oneof![
        (0_i64..4_000_000_000_000).prop_map(|ms| Timestamp(ms).to_string()),
        (0_i64..4_000_000_000).prop_map(|seconds| seconds.to_string()),
        (0_f64..4e9).prop_map(|seconds| format!("{seconds:e}")),
        (-1e9_f64..4e9).prop_map(|seconds| format!("{seconds:.6}")),
    ]
}

fn pair() -> impl Strategy<Value = String> {
    (seconds(), value(), any::<bool>()).prop_map(|(at, value, spaced)| {
        if spaced {
            format!("[ {at} ,\n\"{value}\" ]")
        } else {
            format!("[{at},\"{value}\"]")
        }
    })
}

fn histogram_pair() -> impl Strategy<Value = String> {
    (seconds(), 0..1_000_000_u64, -1e9_f64..1e9).prop_map(|(at, count, sum)| {
        format!(r#"[{at},{{"buckets":[[0,"1","2","3"]],"sum":"{sum}","count":"{count}"}}]"#)
    })
}

/// Members of an object in any order, with one that nobody knows.
fn object(members: Vec<(&'static str, String)>) -> impl Strategy<Value = String> {
    let unknown =
        json!({"data": [[1, "x"], {"result": "\\\"", "é": null}], "values": true}).to_string();
    let mut members = members;
    members.push(("unknown", unknown));
    Just(members).prop_shuffle().prop_map(|members| {
        let members: Vec<_> = members
            .into_iter()
            .map(|(key, value)| format!("\"{key}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

fn element() -> impl Strategy<Value = String> {
    let metric = prop::collection::btree_map("[a-z_]{1,8}|.{0,4}", ".{0,12}", 0..4)
        .prop_map(|labels| json!(labels).to_string());
    let list = |mut pairs: Vec<String>| {
        // As stores send them: in the order of time.
        let milliseconds = |pair: &str| -> f64 {
            let seconds = pair[1..].split(',').next().unwrap().trim();
            (seconds.parse::<f64>().unwrap() * 1000.0).round()
        };
        pairs.sort_by(|a, b| milliseconds(a).total_cmp(&milliseconds(b)));
        format!("[{}]", pairs.join(","))
    };
    let samples = prop_oneof![
        pair().prop_map(|pair| ("value", pair)),
        prop::collection::vec(pair(), 0..12).prop_map(move |pairs| ("values", list(pairs))),
        histogram_pair().prop_map(|pair| ("histogram", pair)),
        prop::collection::vec(histogram_pair(), 0..4)
            .prop_map(move |pairs| ("histograms", list(pairs))),
    ];
    (metric, samples).prop_flat_map(|(metric, samples)| object(vec![("metric", metric), samples]))
}

fn body() -> impl Strategy<Value = String> {
    let result = prop_oneof![
        6 => prop::collection::vec(element(), 0..5).prop_map(|elements| ("matrix", format!("[{}]", elements.join(",")))),
        1 => pair().prop_map(|pair| ("scalar", pair)),
        1 => ".{0,9}".prop_map(|text| ("string", json!([1.5, text]).to_string())),
    ];
    let data = result.prop_flat_map(|(kind, result)| {
        object(vec![
            ("resultType", json!(kind).to_string()),
            ("result", result),
        ])
    });
    (data, prop::collection::vec(".{0,9}", 0..3), any::<bool>()).prop_flat_map(
        |(data, warnings, partial)| {
            object(vec![
                ("status", "\"success\"".to_owned()),
                ("data", data),
                ("warnings", json!(warnings).to_string()),
                ("isPartial", partial.to_string()),
            ])
        },
    )
}

/// NaN equals itself here: only the text form is compared.
fn same(left: &Decoded, right: &Decoded) -> bool {
    format!("{left:?}") == format!("{right:?}")
}

#[test]
fn a_time_that_comes_twice_is_taken_as_it_is() {
    let body = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{},"values":[[1,"1"],[1,"2"],[2,"3"]]},{"metric":{"a":"b"},"values":[[1,"1"]]}]}}"#;
    assert_eq!(
        decode(body),
        success(vec![
            series(&[], &[(1000, "1"), (1000, "2"), (2000, "3")]),
            series(&[("a", "b")], &[(1000, "1")])
        ])
    );
}

/// Elements of which each allocates as much as it can with few bytes.
const DENSE: [&str; 6] = [
    r#"{"metric":{},"values":[]}"#,
    r#"{"metric":{},"value":[1,"1"]}"#,
    r#"{"metric":{"":""},"values":[]}"#,
    r#"{"metric":{"a":"b"},"value":[1,"1"]}"#,
    r#"{"metric":{"a":"b","c":"d","e":"f","g":"h","i":"j","k":"l","m":"n","o":"p","q":"r","s":"t","u":"v","w":"x"},"values":[]}"#,
    r#"{"metric":{},"histogram":[1,{"count":"1","sum":"1"}]}"#,
];

#[test]
fn no_byte_allocates_more_than_is_said() {
    for element in DENSE {
        let mut decoder = Decoder::default();
        decoder
            .push(br#"{"status":"success","data":{"resultType":"matrix","result":["#)
            .unwrap();
        let before = decoder.allocated();
        let piece = format!("{},", many(element, 1000));
        decoder.push(piece.as_bytes()).unwrap();
        let grown = decoder.allocated() - before;
        let least = 1000 * size_of::<Series>() as u64;
        let most = ALLOCATED_PER_BYTE * piece.len() as u64;
        assert!((least..=most).contains(&grown), "{element}: {grown}");
    }
}

proptest! {
    #[test]
    fn any_split_of_a_body_decodes_like_the_whole_through_serde_json(body in body(), cuts in prop::collection::vec(1_usize..200, 0..40)) {
        let mut decoder = Decoder::default();
        let mut rest = body.as_bytes();
        for cut in cuts {
            let (chunk, after) = rest.split_at(cut.min(rest.len()));
            decoder.push(chunk).unwrap();
            rest = after;
        }
        decoder.push(rest).unwrap();
        let decoded = decoder.finish().unwrap();
        let expected = reference(body.as_bytes());
        prop_assert!(same(&decoded, &expected), "{body}\n{decoded:?}\n{expected:?}");
    }

    #[test]
    fn a_damaged_body_is_the_same_fault_however_it_is_split(body in body(), at in any::<prop::sample::Index>(), byte in any::<u8>(), chunk in 1_usize..50) {
        let mut body = body.into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        prop_assert_eq!(format!("{:?}", decode_in_chunks(&body, body.len())), format!("{:?}", decode_in_chunks(&body, chunk)));
        body.truncate(at);
        prop_assert!(decode_in_chunks(&body, chunk).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300), chunk in 1_usize..50) {
        let _ = decode_in_chunks(&body, chunk);
    }
}

/// Why an answer to `call` is refused, if it is.
fn refused(call: &Call, result_type: &str, result: &str) -> Option<String> {
    let body = format!(
        r#"{{"data":{{"result":{result},"resultType":"{result_type}"}},"status":"success"}}"#
    );
    let mut decoder = Decoder::new(Expected::of(call));
    let pushed = decoder.push(body.as_bytes());
    let decoded = pushed.and_then(|()| decoder.finish());
    decoded.err().map(|error| error.reason)
}

#[test]
fn a_result_that_the_query_cannot_have_is_refused() {
    const MATRIX: (&str, &str) = ("matrix", r#"[{"metric":{},"values":[[1,"2"]]}]"#);
    const VECTOR: (&str, &str) = ("vector", r#"[{"metric":{},"value":[1,"2"]}]"#);
    const SCALAR: (&str, &str) = ("scalar", r#"[1,"2"]"#);
    const STRING: (&str, &str) = ("string", r#"[1,"x"]"#);
    let instant = |promql: &str| Call::Instant {
        promql: promql.to_owned(),
        at: Timestamp(0),
    };
    let range = Call::Range {
        promql: "up".to_owned(),
        start: Timestamp(0),
        end: Timestamp(1),
        step: Millis(1),
    };
    let only_matrix = "its resultType is not matrix, which is the only one that this query has";
    let no_matrix = "its resultType is matrix, which this query at one instant cannot have";
    let one = "it has a series with one value where it must have a list";
    let list = "it has a series with a list where it must have one value";
    let table = [
        (&range, MATRIX, None),
        (&range, VECTOR, Some(one)),
        (&range, ("vector", "[]"), Some(only_matrix)),
        (&range, ("matrix", VECTOR.1), Some(one)),
        (&range, SCALAR, Some(only_matrix)),
        (&range, STRING, Some(only_matrix)),
        (&instant("up[5m]"), MATRIX, None),
        (&instant("up[5m]"), ("vector", "null"), Some(only_matrix)),
        (&instant("up"), VECTOR, None),
        (&instant("up"), SCALAR, None),
        (&instant("up"), STRING, None),
        (&instant("up"), MATRIX, Some(list)),
        (&instant("rate(up[5m])"), ("matrix", "[]"), Some(no_matrix)),
        (&instant("up"), ("vector", MATRIX.1), Some(list)),
    ];
    for (call, (result_type, result), expected) in table {
        let refused = refused(call, result_type, result);
        assert_eq!(
            refused.as_deref(),
            expected,
            "{call:?}: {result_type} {result}"
        );
    }
}
