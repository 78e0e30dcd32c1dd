//! The shapes of expressions, and messages about them.

use super::*;
use proptest::prelude::*;
use rstest::rstest;

#[test]
fn the_shape_of_an_expression_is_what_the_parser_says() {
    let table = [
        ("scalar(sum(up))", Shape::Scalar),
        ("1+1", Shape::Scalar),
        ("-1", Shape::Scalar),
        ("time()", Shape::Scalar),
        ("pi() * 2 ^ 3", Shape::Scalar),
        ("((1))", Shape::Scalar),
        ("Inf", Shape::Scalar),
        ("0x1F", Shape::Scalar),
        ("time() > bool 3", Shape::Scalar),
        ("1 # one\n+ 1 # two", Shape::Scalar),
        ("\r\n 1\r\n", Shape::Scalar),
        ("vector(1)", Shape::Vector),
        ("up", Shape::Vector),
        ("hour()", Shape::Vector),
        ("1 + up", Shape::Vector),
        ("up{job=~\"(((\"}", Shape::Vector),
        (r"up{job!~`\d`, a='\'#'} # c", Shape::Vector),
        ("{\"größe.m\", \"ü.ü\"=\"ü\"}", Shape::Vector),
        (
            "label_replace(a, \"b\", \"$1\", \"c\", \"(\")",
            Shape::Vector,
        ),
        ("up @ start()", Shape::Vector),
        ("up[5m]", Shape::Range),
        ("(up[5m] offset 1h)", Shape::Range),
        ("up[5m:1m] @ end()", Shape::Range),
        ("(rate(up[1m]))[5m:]", Shape::Range),
        ("\"up\"", Shape::Text),
        ("'#' # c", Shape::Text),
        ("(`a\\`)", Shape::Text),
        ("", Shape::Empty),
        (" \t\n", Shape::Empty),
        ("# up", Shape::Empty),
        ("\"up", Shape::Unknown),
        ("WITH (x = 1) x", Shape::Unknown),
        ("now()", Shape::Unknown),
    ];
    for (promql, expected) in table {
        assert_eq!(shape(promql), expected, "{promql}");
    }
}

#[test]
fn what_is_too_large_for_the_parser_has_no_known_shape() {
    for promql in [
        "(".repeat(100_000) + "1" + &")".repeat(100_000),
        "-".repeat(100_000) + "1",
        "(".repeat(65) + "1" + &")".repeat(65),
        vec!["1"; 300].join("+"),
        "a[1e30]".to_owned(),
        "mem offset -1e30".to_owned(),
        "mem[5m:1e300]".to_owned(),
        vec!["up{a=~\"(\\\\pL{900}){900}\"}"; 300].join(" or "),
    ] {
        let began = std::time::Instant::now();
        assert_eq!(shape(&promql), Shape::Unknown);
        assert!(began.elapsed().as_millis() < 500);
    }
}

#[test]
fn a_regular_expression_costs_nothing_to_look_at() {
    let selectors = vec![r#"up{a=~"(\\pL{900}){900}",b!~"(\\w{99}){99}"}"#; 40].join("+");
    let began = std::time::Instant::now();
    assert_eq!(shape(&selectors), Shape::Vector);
    assert!(began.elapsed().as_millis() < 500, "{:?}", began.elapsed());
}

#[test]
fn only_code_binds_an_expression_to_its_range() {
    assert!(is_bound_to_its_range("m @ end ( )"));
    assert!(is_bound_to_its_range("m @ # the start\n start()"));
    assert!(!is_bound_to_its_range("m # @ end()"));
    assert!(!is_bound_to_its_range(r#"m{a="@ end()"}"#));
}

#[rstest]
#[case(
    "1:15: parse error: subquery is only allowed on instant vector, got scalar instead",
    Some(Shape::Scalar)
)]
#[case(
    "invalid parameter \"query\": 1:15: parse error: subquery is only allowed on instant vector, got string instead",
    Some(Shape::Text)
)]
#[case(
    "1:15: parse error: subquery is only allowed on instant vector, got matrix instead",
    Some(Shape::Range)
)]
#[case(
    "1:30: parse error: subquery is only allowed on instant vector, got scalar instead",
    None
)]
#[case(
    "2:3: parse error: subquery is only allowed on instant vector, got scalar instead",
    None
)]
#[case(
    "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
    Some(Shape::Range)
)]
#[case(
    "invalid parameter \"query\": invalid expression type \"string\" for range query, must be Scalar or instant Vector",
    Some(Shape::Text)
)]
#[case("1:4: parse error: unexpected end of input", None)]
fn a_store_says_of_what_shape_an_expression_is(
    #[case] message: &str,
    #[case] expected: Option<Shape>,
) {
    assert_eq!(shape_in_complaint(message, 15), expected);
}

/// As it is sent for the mean.
fn wrapped(user: &str) -> (String, usize) {
    (format!("avg_over_time(({user}\n)[5m:15s])"), 15)
}

#[rstest]
#[case::at_the_start(
    "foo(up)",
    "1:16: parse error: unknown function",
    "1:1: parse error: unknown function"
)]
#[case::behind_a_prefix(
    "x y",
    "invalid parameter \"query\": 1:18: parse error: z",
    "invalid parameter \"query\": 1:3: parse error: z"
)]
#[case::in_a_later_line("up +\n foo(up)", "2:2: parse error: z", "2:2: parse error: z")]
#[case::behind_the_end("up)", "2:11: parse error: z", "1:4: parse error: z")]
#[case::behind_the_end_of_the_last_line(
    "up\r\n+ (up",
    "3:1: parse error: z",
    "2:6: parse error: z"
)]
#[case::before_the_start("1", "1:15: parse error: z", "1:1: parse error: z")]
#[case::after_letters_of_two_bytes(
    "{a=\"ü\"} + foo(x)",
    "1:27: parse error: z",
    "1:12: parse error: z"
)]
#[case::of_an_info(
    "rate(a[1m])",
    "PromQL info: z: \"a\" (1:21)",
    "PromQL info: z: \"a\" (1:6)"
)]
#[case::of_two_places(
    "a / b",
    "PromQL info: z (1:16), y (1:20)",
    "PromQL info: z (1:1), y (1:5)"
)]
#[case::of_an_old_store("foo(up)", "parse error at char 16: z", "parse error at char 1: z")]
#[case::of_an_old_store_in_lines(
    "a\nfoo(up)",
    "parse error at line 2, char 1: z",
    "parse error at line 2, char 1: z"
)]
#[case::of_an_old_store_behind_the_end(
    "a\nb",
    "parse error at line 3, char 1: z",
    "parse error at line 2, char 2: z"
)]
#[case::no_position("a", "found 12:30 and (1:2 in 3:4", "found 12:30 and (1:2 in 3:4")]
#[case::a_quoted_query(
    "up{",
    "error when executing query=\"avg_over_time((up{\\n)[5m:15s])\" on 1",
    "error when executing query=\"up{\" on 1"
)]
#[case::a_quoted_query_in_one_line(
    "up{",
    "query: avg_over_time((up{ )[5m:15s]) is bad",
    "query: up{ is bad"
)]
fn a_message_speaks_of_the_users_text(
    #[case] user: &str,
    #[case] message: &str,
    #[case] expected: &str,
) {
    let (sent, before) = wrapped(user);
    let wrapping = Wrapping {
        sent: &sent,
        user,
        before,
    };
    assert_eq!(wrapping.unwrapped(message), expected);
}

#[rstest]
#[case("1:16: parse error: z", "parse error: z")]
#[case("PromQL info: z: \"a\" (1:21)", "PromQL info: z: \"a\"")]
#[case("parse error at line 2, char 1: z", "parse error: z")]
#[case("parse error at char 1: z", "parse error: z")]
fn an_expression_written_anew_has_no_positions(#[case] message: &str, #[case] left: &str) {
    let expected = format!(
        "{left} (this target enforces label matchers, so the expression was rewritten: positions are left out)"
    );
    assert_eq!(without_positions(message), expected);
    assert_eq!(without_positions("no place"), "no place");
}

proptest! {
    #[test]
    fn every_place_in_a_text_is_found_again_behind_what_was_put_before_it(user in "[a-zü\n +]{0,40}", place in 0usize..60) {
        let place = (0..=place.min(user.len())).rev().find(|at| user.is_char_boundary(*at)).unwrap_or(0);
        // Prometheus' own way to tell a line and a column of an offset.
        let position = |text: &str, at: usize| {
            let before = &text[..at];
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            format!("{}:{}: parse error: z", before.matches('\n').count() + 1, at - line_start + 1)
        };
        let (sent, before) = wrapped(&user);
        let wrapping = Wrapping { sent: &sent, user: &user, before };
        prop_assert_eq!(wrapping.unwrapped(&position(&sent, before + place)), position(&user, place));
    }

    #[test]
    fn no_message_and_no_expression_breaks_it(message in any::<String>(), user in any::<String>()) {
        let (sent, before) = wrapped(&user);
        let _ = Wrapping { sent: &sent, user: &user, before }.unwrapped(&message);
        let _ = (without_positions(&message), shape(&user), shape_in_complaint(&message, before));
    }

    #[test]
    fn digits_and_marks_break_it_neither(message in "[0-9:() ]{0,20}(at (line )?[0-9]{0,22}(, char [0-9]{0,3})?)?:? ?") {
        let _ = (without_positions(&message), shape_in_complaint(&message, 15));
    }
}
