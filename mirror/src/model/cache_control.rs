//! What a request or an answer says about being kept.

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// Whether one of the headers `Cache-Control` has one of these directives, with or without a value
/// (RFC 9111, section 5.2).
#[must_use]
pub fn has_directive(headers: &HeaderMap, names: &[&str]) -> bool {
    let values = headers.get_all(CACHE_CONTROL).into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(','));
    directives.any(|directive| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        names.iter().any(|one| name.eq_ignore_ascii_case(one))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_directive_of_many_headers_is_found() {
        let has = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(value));
            }
            has_directive(&headers, &["no-cache", "no-store"])
        };
        assert!(has(&["no-cache"]));
        assert!(has(&["max-age=0", "private, No-Cache=\"a\""]));
        assert!(has(&["private, max-age=0", "max-age=1,No-Store"]));
        assert!(!has(&[]));
        assert!(!has(&["max-age=0", "x-no-cache", "private, x-no-store"]));
    }
}
