use super::*;

fn enforced(promql: &str) -> Result<String, EnforceError> {
    Enforced(vec![("team".to_owned(), "a\"b\\".to_owned())]).expression(promql)
}

/// The matcher that is enforced, as PromQL.
const M: &str = r#"team="a\"b\\""#;

#[test]
fn every_selector_of_an_expression_gets_the_matchers() {
    let table = [
        ("up", "up{M}"),
        ("up{}", "up{M}"),
        (r#"up{job="x"}"#, r#"up{job="x",M}"#),
        (r#"{__name__=~"a.*"}"#, r#"{__name__=~"a.*",M}"#),
        (r#"up{team="other"}"#, r#"up{M,team="other"}"#),
        (
            r#"up{team!="a",x='y"',z=~`b.d`}"#,
            r#"up{M,team!="a",x="y\"",z=~"b.d"}"#,
        ),
        ("rate(a_total[5m])", "rate(a_total{M}[5m])"),
        ("a[1h30m] offset 5m", "a{M}[1h30m] offset 5m"),
        ("a[500ms] offset -1w", "a{M}[500ms] offset -1w"),
        ("a @ 1700000000.123", "a{M} @ 1700000000.123"),
        ("sum(a) by (x)", "sum by (x) (a{M})"),
        ("sum without (x) (a)", "sum without (x) (a{M})"),
        (
            "sum by (x) (a) / on (x) group_left (y) b",
            "sum by (x) (a{M}) / on (x) group_left (y) b{M}",
        ),
        (
            "max_over_time(rate(a[1m])[1h:10s] @ end())",
            "max_over_time(rate(a{M}[1m])[1h:10s] @ end())",
        ),
        (
            "quantile_over_time(0.95, a[5m:])",
            "quantile_over_time(0.95, a{M}[5m:])",
        ),
        ("topk(scalar(a), b)", "topk(scalar(a{M}), b{M})"),
        (
            "-(a) unless b or c and d",
            "-(a{M}) unless b{M} or c{M} and d{M}",
        ),
        (
            "absent(a) and time() - (a + b) * c",
            "absent(a{M}) and time() - (a{M} + b{M}) * c{M}",
        ),
        (
            "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))",
            "histogram_quantile(0.9, sum by (le) (rate(h_bucket{M}[5m])))",
        ),
        (
            r#"label_replace(a, "b", "$1\n\"", "c", "(.*)\\.")"#,
            r#"label_replace(a{M}, "b", "$1\n\"", "c", "(.*)\\.")"#,
        ),
        (r#"{a="b" or c="d"}"#, r#"{a="b", M or c="d", M}"#),
        (
            r#"{"my.metric", "my.label"="v"}"#,
            r#"{"my.label"="v",__name__="my.metric",M}"#,
        ),
        ("vector(1) > bool 0", "vector(1) > bool 0"),
        ("1e3 + Inf - -2 ^ 2", "1000 + Inf - -2 ^ 2"),
    ];
    for (promql, expected) in table {
        let expected = expected.replace('M', M);
        assert_eq!(enforced(promql), Ok(expected), "{promql}");
    }
}

#[test]
fn what_cannot_be_completed_with_certainty_is_refused() {
    let deep = "(".repeat(65) + "a" + &")".repeat(65);
    let long = "a".repeat(8193);
    let (chain, words) = (vec!["a"; 202].join("+"), vec!["a"; 202].join(" or "));
    let minus = "-".repeat(201) + "1";
    let table = [
        ("info(a)", EnforceError::Info),
        ("sum(info(a, {x=\"y\"}))", EnforceError::Info),
        ("a # comment", EnforceError::Comment),
        ("a{", EnforceError::Unreadable),
        ("", EnforceError::Unreadable),
        ("WITH (x = a) x", EnforceError::Unreadable),
        ("{a=\"b\", or=\"c\"}", EnforceError::Unreadable),
        ("{a=~~\"b\"}", EnforceError::Unreadable),
        ("{a=!=\"b\"}", EnforceError::Unreadable),
        ("{a==\"b\"}", EnforceError::Unreadable),
        ("a =~ \"b\"", EnforceError::Unreadable),
        ("{a=~b}", EnforceError::Unreadable),
        ("{a=\"b", EnforceError::Unreadable),
        ("{a=\"b\\", EnforceError::Unreadable),
        ("{a=\"b\n\"}", EnforceError::Unreadable),
        ("\u{e9}", EnforceError::Unreadable),
        ("a\u{b}+ b", EnforceError::Unreadable),
        ("nothing_known(a)", EnforceError::Unreadable),
        ("a{z=~\"\\xff\"}", EnforceError::Unreadable),
        (&deep, EnforceError::TooDeep),
        (&long, EnforceError::TooLong),
        (&chain, EnforceError::TooManyOperators),
        (&words, EnforceError::TooManyOperators),
        (&minus, EnforceError::TooManyOperators),
    ];
    for (promql, expected) in table {
        assert_eq!(enforced(promql), Err(expected), "{promql}");
    }
}

#[test]
fn regular_expressions_go_out_as_they_came_and_are_never_compiled() {
    // Seconds and gigabytes each, if they were.
    let costly = vec![r#"x=~"\\pL{150}""#; 190].join(",");
    let completed = enforced(&format!("mem{{{costly}}}"));
    assert_eq!(completed, Ok(format!("mem{{{M},{costly}}}")));
    for (regex, expected) in [
        (r#"x=~"(((a{9}){9}){9}){9}""#, r#"x=~"(((a{9}){9}){9}){9}""#),
        ("x!~`((a{1000}){1000})`", r#"x!~"((a{1000}){1000})""#),
        // Not even regular expressions: the store says so.
        (r#"x=~"([""#, r#"x=~"([""#),
        (r#"x=~"a{,b""#, r#"x=~"a{,b""#),
        (r#"x =~ 'it''"#, ""),
        ("x\n!~\t'\\x41\\u00e9\\101'", r#"x!~"AéA""#),
    ] {
        let completed = enforced(&format!("mem{{{regex}}}"));
        match expected {
            "" => assert_eq!(completed, Err(EnforceError::Unreadable), "{regex}"),
            _ => assert_eq!(completed, Ok(format!("mem{{{M},{expected}}}")), "{regex}"),
        }
    }
}

#[test]
fn a_string_that_looks_like_a_stand_in_is_none() {
    for (promql, expected) in [
        (
            r#"a{b="s 1",c="s 0",d="e 0"}"#,
            r#"a{b="s 1",c="s 0",d="e 0",M}"#,
        ),
        (
            r#"label_replace(a, "s 3", "e 0", "s 0", "=\"s 0\"")"#,
            r#"label_replace(a{M}, "s 3", "e 0", "s 0", "=\"s 0\"")"#,
        ),
        (r#"{"s 0", "e 0"="x"}"#, r#"{"e 0"="x",__name__="s 0",M}"#),
        (
            r#"{"__name__"!="up","a b"!~"c","or"="d"}"#,
            r#"{"a b"!~"c",M,__name__!="up","or"="d"}"#,
        ),
    ] {
        let sorted = |text: &str| {
            let mut parts: Vec<_> = text.split(['{', ',', '}']).map(str::to_owned).collect();
            parts.sort();
            parts
        };
        let completed = enforced(promql).map(|completed| sorted(&completed));
        assert_eq!(completed, Ok(sorted(&expected.replace('M', M))), "{promql}");
    }
}

#[test]
fn what_promql_cannot_hold_is_refused_in_words() {
    for promql in [
        "a[1e30]",
        "mem offset -1e30",
        "mem OFFSET + 1e30",
        "mem[5m:1e300]",
        "mem[1e300:5m]",
        "a @ 1e300",
        "a @ -1e300",
        "a[999999999999y]",
        "a[1h5000000000s]",
        "99999999999999999999y",
        "1e999",
        "fill(1e999)",
    ] {
        assert_eq!(enforced(promql), Err(EnforceError::OutOfRange), "{promql}");
    }
    for promql in ["a offset Inf", "a @ NaN", "a[Inf]", "a[5m:NaN]", "a[0]"] {
        assert_eq!(enforced(promql), Err(EnforceError::Unreadable), "{promql}");
    }
    assert_eq!(
        EnforceError::OutOfRange.to_string(),
        "a number, duration or time in it is beyond what PromQL can hold"
    );
}

#[test]
fn numbers_go_out_as_they_are() {
    for (promql, expected) in [
        ("1e308", "1e308"),
        ("-1.5e-300", "-1.5e-300"),
        ("0x1F", "31"),
        ("5m", "300"),
        (".5", "0.5"),
        ("a[300]", "a{M}[5m]"),
        ("a @ 1e10", "a{M} @ 10000000000.000"),
    ] {
        let expected = expected.replace('M', M);
        assert_eq!(enforced(promql), Ok(expected), "{promql}");
    }
    // Octal to some, decimal to others; no number to some.
    for promql in [
        "017",
        "1_000",
        "0x1p4",
        "0b1",
        "1.2.3",
        "0xfffffffffffffffff",
    ] {
        assert_eq!(enforced(promql), Err(EnforceError::Unreadable), "{promql}");
    }
}

#[test]
fn matchers_are_no_operators_and_have_a_bound_of_their_own() {
    let selector = |count| format!("up{{{}}}", vec![r#"a=~"b""#; count].join(","));
    assert!(enforced(&selector(190)).is_ok());
    assert!(enforced(&selector(1000)).is_ok());
    assert_eq!(
        enforced(&selector(1001)),
        Err(EnforceError::TooManyMatchers)
    );
    let alternatives = |count| format!("{{{}}}", vec![r#"a="b""#; count].join(" or "));
    assert!(enforced(&alternatives(200)).is_ok());
    assert_eq!(
        enforced(&alternatives(202)),
        Err(EnforceError::TooManyOperators)
    );
}

#[test]
fn what_becomes_too_long_is_refused() {
    let long = Enforced(vec![("team".to_owned(), "\u{1}".repeat(1024)); 16]);
    let completed = long.expression(&["a"; 200].join("+"));
    assert_eq!(completed, Err(EnforceError::CompletedTooLong));
}

#[test]
fn the_largest_expressions_within_the_bounds_are_completed() {
    for promql in [
        vec!["a"; 200].join("+"),
        vec!["a"; 200].join(" or "),
        "-".repeat(200) + "a",
        "(".repeat(64) + "a" + &")".repeat(64),
    ] {
        assert!(enforced(&promql).is_ok(), "{promql}");
    }
}

#[test]
fn what_the_mirror_writes_itself_gets_the_matchers_as_conditions() {
    let enforced = Enforced(vec![("team".to_owned(), "a".to_owned())]);
    let kind = QueryKind::Histogram(Selector::new("h", vec![Matcher::equal("x", "y")]));
    let selectors = enforced.kind(kind).map(|kind| kind.selectors());
    let expected = vec![r#"{__name__=~"h|h_count",x="y",team="a"}"#.to_owned()];
    assert_eq!(selectors, Ok(expected));
    let (_, matchers) = enforced.conditions(None, Vec::new());
    assert_eq!(matchers, [Matcher::equal("team", "a")]);
}

proptest::proptest! {
    #[test]
    fn whatever_is_sent_out_names_the_matchers_in_every_selector(promql in "[ab(){}\\[\\]\"'`,=~!<>+\\-*/@ \\\\0-9.ms]{0,40}|(a|b|\\(|\\)|\\+| or |\\{|\\}|x=\"|\"|,){0,14}") {
        if let Ok(completed) = enforced(&promql) {
            let mut expr = parser::parse(&completed).unwrap();
            // Completed once more, each selector has every matcher twice: none was without.
            let matcher = PromqlMatcher::new(MatchOp::Equal, "team", "a\"b\\");
            walk(&mut expr, std::slice::from_ref(&matcher), &mut 0).unwrap();
            let twice = expr.to_string();
            let count = |text: &str| text.matches(M).count();
            proptest::prop_assert_eq!(count(&twice), 2 * count(&completed), "{} {}", completed, twice);
        }
    }
}
