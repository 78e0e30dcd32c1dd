//! Whatever a client sends, it is a request or a fault, and a request's texts stay inside their
//! PromQL strings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mirror::api::decode::{self, Query};
use mirror::model::api_method::ApiMethod;

fuzz_target!(|body: &[u8]| {
    let Ok(request) = decode::request(body, ApiMethod::Explain) else {
        return;
    };
    if let Query::Metric(request) = request.query {
        for selector in request.kind.selectors() {
            assert!(is_one_selector(&selector), "{selector}");
        }
    }
});

/// Outside string literals, a selector has a name, one pair of braces, and matchers in it.
fn is_one_selector(promql: &str) -> bool {
    let mut outside = String::new();
    let mut chars = promql.chars();
    while let Some(c) = chars.next() {
        if c != '"' {
            outside.push(c);
            continue;
        }
        loop {
            match chars.next() {
                Some('\\') => drop(chars.next()),
                Some('"') => break,
                Some('\n') | None => return false,
                Some(_) => {}
            }
        }
    }
    let (name, matchers) = match outside.split_once('{') {
        Some((name, matchers)) => (name, matchers.strip_suffix('}')),
        None => (outside.as_str(), Some("")),
    };
    let is_word = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    is_word(name)
        && matchers.is_some_and(|matchers| {
            matchers.is_empty()
                || matchers.split(',').all(|matcher| {
                    matcher
                        .trim_end_matches(['=', '~', '!'])
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || c == '_')
                        && matcher.ends_with(['=', '~'])
                })
        })
}
