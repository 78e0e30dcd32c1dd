//! Selectors as PromQL, and that no text escapes from its quotes.

use super::quoting::quote_regex;
use super::*;
use proptest::prelude::*;
use rstest::rstest;

#[rstest]
#[case::a_name_alone("up", vec![], "up")]
#[case::matchers_in_order(
    "up", vec![Matcher::equal("job", "node"), Matcher::equal("zone", "")], r#"up{job="node",zone=""}"#
)]
#[case::any_of_several(
    "up", vec![Matcher::one_of("job", vec!["a.b".into(), "c|d".into()])], r#"up{job=~"a\\.b|c\\|d"}"#
)]
#[case::a_prefix("up", vec![Matcher::prefix("job", "a.")], r#"up{job=~"a\\.(?s:.*)"}"#)]
#[case::quotes_and_breaks(
    "up", vec![Matcher::equal("path", "C:\\\"x\"\n\u{1}\u{fffd}ü")], r#"up{path="C:\\\"x\"\n\x01\ufffdü"}"#
)]
#[case::a_name_outside_the_legacy_set("my.metric", vec![], r#"{__name__="my.metric"}"#)]
#[case::a_label_outside_the_legacy_set(
    "up", vec![Matcher::equal("my.label", "v")], r#"up{"my.label"="v"}"#
)]
#[case::a_reserved_word("Inf", vec![], r#"{__name__="Inf"}"#)]
#[case::a_condition_on_the_name_itself(
    "up", vec![Matcher::equal("__name__", "down")], r#"{__name__="up",__name__="down"}"#
)]
fn a_selector_is_written_as_promql(
    #[case] name: &str,
    #[case] matchers: Vec<Matcher>,
    #[case] promql: &str,
) {
    assert_eq!(Selector::new(name, matchers).to_string(), promql);
}

#[test]
fn the_longest_set_is_halved_until_nothing_can_be() {
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    let selector = Selector::any_name(vec![
        Matcher::equal("a", "x".repeat(100)),
        Matcher::one_of("b", texts(&["1", "22", "333"])),
        Matcher::prefix("c", "p"),
    ]);
    let halves = selector.halved().expect("a set");
    assert_eq!(
        (halves.0.matchers[1].clone(), halves.1.matchers[1].clone()),
        (
            Matcher::equal("b", "1"),
            Matcher::one_of("b", texts(&["22", "333"]))
        )
    );
    assert_eq!(halves.0.halved(), None);
    let quarters = halves.1.halved().expect("a set");
    assert_eq!(quarters.1.matchers[1], Matcher::equal("b", "333"));
    assert_eq!(quarters.1.halved(), None);
}

#[test]
fn taking_conditions_away_leaves_what_is_enforced() {
    let selector =
        Selector::new("up", vec![Matcher::equal("job", "a")]).within(Matcher::equal("team", "pay"));
    assert_eq!(selector.to_string(), r#"up{job="a",team="pay"}"#);
    let bare = selector.with_conditions(vec![Matcher::any_value("job")]);
    assert_eq!(bare.to_string(), r#"up{job!="",team="pay"}"#);
    let both = bare.with_any_suffix(&["", "_count"]);
    assert_eq!(
        both.to_string(),
        r#"{__name__=~"up|up_count",job!="",team="pay"}"#
    );
}

#[test]
fn metricsql_has_names_with_escapes() {
    let selector = Selector::new("up", vec![Matcher::equal("app.kubernetes.io/na-me", "v")])
        .within(Matcher::equal("1größe\"\n", "x"))
        .in_metricsql();
    assert_eq!(
        selector.to_string(),
        r#"up{app\.kubernetes\.io\/na\-me="v",\1gr\ö\ße\"\u000a="x"}"#
    );
    assert_eq!(selector.quoted_label(), Some("app.kubernetes.io/na-me"));
}

#[test]
fn a_selector_of_any_name_has_a_matcher_that_is_never_empty() {
    let selector = Selector::any_name(vec![Matcher::equal("job", "")]);
    assert_eq!(selector.to_string(), r#"{__name__!="",job=""}"#);
}

#[rstest]
#[case(2.0, &["2", "2.0"])]
#[case(2.5, &["2.5"])]
#[case(-0.25, &["-0.25"])]
#[case(1e6, &["1000000", "1000000.0", "1e+06"])]
#[case(1e-7, &["0.0000001", "1e-07"])]
#[case(-1e20, &["-100000000000000000000", "-100000000000000000000.0", "-1e+20"])]
#[case(0.0, &["0", "0.0"])]
#[case(1e21, &["1e+21"])]
#[case(-1e308, &["-1e+308"])]
#[case(5e-324, &["5e-324"])]
#[case(2.5e-8, &["2.5e-08"])]
fn a_double_has_the_texts_that_labels_usually_have(#[case] value: f64, #[case] texts: &[&str]) {
    assert_eq!(texts_of_double(value), texts);
}

/// Reads a PromQL string literal the way Prometheus' lexer does, and answers its text and what
/// stands behind it.
fn unquote(promql: &str) -> Option<(String, &str)> {
    let body = promql.strip_prefix('"')?;
    let mut text = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, &body[at + 1..])),
            '\n' => return None,
            '\\' => match chars.next()?.1 {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                c @ ('"' | '\\') => text.push(c),
                'x' => {
                    let digits: String = [chars.next()?.1, chars.next()?.1].iter().collect();
                    text.push(char::from(u8::from_str_radix(&digits, 16).ok()?));
                }
                'u' => {
                    let digits: String = (0..4).filter_map(|_| chars.next().map(|c| c.1)).collect();
                    text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                }
                _ => return None,
            },
            c => text.push(c),
        }
    }
    None
}

proptest! {
    #[test]
    fn no_text_leaves_its_string_literal(text in any::<String>()) {
        let quoted = quote(&text);
        prop_assert_eq!(unquote(&quoted), Some((text, "")));
    }

    #[test]
    fn no_condition_takes_up_more_than_is_counted(label in any::<String>(), texts in proptest::collection::vec(any::<String>(), 1..4)) {
        let counted: usize = texts.iter().chain([&label]).map(|text| written_length(text)).sum();
        let written = Matcher::one_of(&label, texts).to_string();
        prop_assert!(written.len() <= counted, "{} > {}: {}", written.len(), counted, written);
    }

    #[test]
    fn no_double_has_long_texts(value in any::<f64>()) {
        let texts = texts_of_double(value);
        prop_assert!((1..=3).contains(&texts.len()));
        prop_assert!(texts.iter().all(|text| text.len() <= 28 && text.trim_end_matches(".0").parse() == Ok(value) || value.is_nan()), "{:?}", texts);
    }

    #[test]
    fn no_name_label_or_value_changes_the_shape_of_a_selector(name in any::<String>(), label in any::<String>(), value in any::<String>()) {
        let promql = Selector::new(&name, vec![Matcher::equal(&label, value.clone())]).to_string();
        // Taking the selector apart again gives the three texts back, and nothing else is
        // there.
        let rest = if is_plain_metric_name(&name) && label != "__name__" {
            promql.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('{')).map(str::to_owned)
        } else {
            let (read, rest) = unquote(promql.strip_prefix("{__name__=").unwrap_or_default()).unwrap_or_default();
            prop_assert_eq!(read, name);
            rest.strip_prefix(',').map(str::to_owned)
        };
        let rest = rest.unwrap_or_default();
        let after_label = if is_legacy_label_name(&label) {
            rest.strip_prefix(label.as_str()).map(str::to_owned)
        } else {
            let (read, after) = unquote(&rest).unwrap_or_default();
            prop_assert_eq!(read, label);
            Some(after.to_owned())
        };
        let after_label = after_label.unwrap_or_default();
        prop_assert_eq!(unquote(after_label.strip_prefix('=').unwrap_or_default()), Some((value, "}")));
    }

    #[test]
    fn a_quoted_regular_expression_has_no_operator_left(text in any::<String>()) {
        let quoted = quote_regex(&text);
        let mut chars = quoted.chars();
        let mut read = String::new();
        while let Some(c) = chars.next() {
            if c == '\\' {
                read.extend(chars.next());
            } else {
                prop_assert!(!".+*?()|[]{}^$".contains(c), "{:?} stands bare", c);
                read.push(c);
            }
        }
        prop_assert_eq!(read, text);
    }
}
