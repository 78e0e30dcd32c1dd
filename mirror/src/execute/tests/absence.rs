//! Why nothing is found.

use super::*;

#[test]
fn nothing_where_a_series_exists_is_an_empty_answer() {
    let store = ListedStore::new(vec![("a", vec![0])]);
    let telemetry = run(&store, &query(10_000, 20_000, None, None)).expect("an answer");
    assert_eq!(telemetry, Telemetry::default());
}

#[test]
fn nothing_where_no_series_exists_is_not_found() {
    let store = ListedStore::new(vec![("a", vec![0])]);
    let week = 7 * 24 * 3_600_000;
    assert!(matches!(
        run(&store, &query(week, week + 1_000, None, None)),
        Err(EvaluateError::NotFound(None))
    ));
}

#[test]
fn where_nothing_is_found_the_condition_that_excludes_everything_is_named_in_few_calls() {
    let condition = |label: &str| Matcher::equal(label, "x");
    // Series have job="x" and zone="x", and an instance that is none of these.
    let has = |selector: &str| {
        !(selector.contains("name=")
            || selector.contains("name!=")
            || selector.contains("instance=")
            || selector.contains("nosuch"))
    };
    let none = "there is none of that name, whatever its labels";
    let many: Vec<String> = (0..20).map(|index| format!("name{index}")).collect();
    let table: [(&str, Vec<&str>, Option<&str>); 7] = [
        (
            "m",
            vec!["job", "name", "zone"],
            Some(
                "name=\"x\" excludes all of them (no series of this metric has the label \"name\")",
            ),
        ),
        (
            "m",
            vec!["instance"],
            Some("instance=\"x\" excludes all of them"),
        ),
        (
            "m",
            vec!["name", "instance", "job"],
            Some("each of name=\"x\" and instance=\"x\" excludes all of them"),
        ),
        ("nosuch", vec!["job", "zone"], Some(none)),
        ("nosuch", vec![], None),
        ("m", many.iter().map(String::as_str).collect(), None),
        (
            "m",
            vec!["instance", "a", "b", "c", "d", "e", "f", "g", "h"],
            Some("instance=\"x\" excludes all of them"),
        ),
    ];
    for (name, labels, expected) in table {
        let store = ScriptedStore::new(|call: &Call| match call {
            Call::SeriesExist { selectors, .. } => {
                Ok(Data::SeriesExist(selectors.iter().any(|selector| {
                    has(selector) && !selector.contains("name1")
                })))
            }
            _ => Ok(Data::Series(Vec::new())),
        });
        let conditions = labels.iter().map(|label| condition(label)).collect();
        let selector = Selector::new(name, conditions).within(Matcher::equal("team", "pay"));
        let (answer, calls) = store.run(&MetricQuery {
            kind: QueryKind::Gauge(selector),
            ..query(0, 10_000, None, None)
        });
        let Err(EvaluateError::NotFound(reason)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(reason.as_deref(), expected, "{name} {labels:?}");
        let looked: Vec<&Call> = calls
            .iter()
            .filter(|call| matches!(call, Call::SeriesExist { .. }))
            .collect();
        assert!(looked.len() <= 9, "{} calls", looked.len());
        for call in looked {
            let Call::SeriesExist { selectors, .. } = call else {
                continue;
            };
            assert!(
                selectors
                    .iter()
                    .all(|selector| selector.contains("team=\"pay\"")),
                "{selectors:?}"
            );
        }
    }
}
