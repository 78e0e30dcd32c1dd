//! What web pages could make a browser ask of this mirror, which browsers reach where pages come
//! from elsewhere.
//!
//! A page may send some requests to any server without asking first, but then the browser says so,
//! and only with content types that forms have. And a page may give its own host name this mirror's
//! address; the request's host is still the page's.

use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, uri::Authority};

use crate::api::error::ApiError;
use crate::settings::hosts::is_listed;

/// What browsers tell of the relation between the page and the server.
static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The content types that a page may send to any server without a preflight request.
const OF_FORMS: [&[u8]; 3] = [
    b"text/plain",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data",
];

/// Refuses what a web page of another site can have sent.
///
/// # Errors
/// [`ApiError::WrongHost`] and [`ApiError::OfWebPage`].
pub fn check(
    allowed_hosts: Option<&[String]>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    if let Some(allowed) = allowed_hosts
        && !host(uri, headers).is_some_and(|host| is_listed(&host, allowed))
    {
        return Err(ApiError::WrongHost);
    }
    if *method == Method::POST && is_of_page(headers) && needs_no_preflight(headers) {
        return Err(ApiError::OfWebPage);
    }
    Ok(())
}

/// The host that a request is for, without port. None: it names none, or more than one.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut named = headers.get_all(HOST).iter();
    let (first, further) = (named.next(), named.next());
    if further.is_some() {
        return None;
    }
    // A request line with a whole URL has the say.
    let authority = match uri.authority() {
        Some(authority) => authority.clone(),
        None => Authority::try_from(first?.as_bytes()).ok()?,
    };
    if authority.as_str().contains('@') {
        return None;
    }
    Some(authority.host().to_owned())
}

/// Whether a browser sent the request for a page.
fn is_of_page(headers: &HeaderMap) -> bool {
    let fetch_site = headers.get(&FETCH_SITE).map(HeaderValue::as_bytes);
    headers.contains_key(ORIGIN) || matches!(fetch_site, Some(b"cross-site" | b"same-site"))
}

/// Whether a browser sends such a request without asking the server first. A body without a type is
/// such a request, too.
fn needs_no_preflight(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter().peekable();
    types.peek().is_none()
        || types.any(|value| {
            let value = value.as_bytes().split(|byte| *byte == b';').next();
            let essence = value.unwrap_or_default().trim_ascii();
            OF_FORMS
                .iter()
                .any(|form| essence.eq_ignore_ascii_case(form))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            })
    }

    fn for_host(uri: &'static str, lines: &[(&'static str, &'static str)]) -> bool {
        let allowed = ["mirror.example.com", "*.svc", "10.0.0.1", "2001:db8::3"].map(String::from);
        let uri = Uri::from_static(uri);
        let checked = check(Some(&allowed), &Method::POST, &uri, &headers(lines));
        checked.is_ok()
    }

    #[test]
    fn a_host_is_recognised_in_every_spelling_and_no_other_is() {
        for host in [
            "mirror.example.com",
            "mirror.example.com:9900",
            "MIRROR.Example.com",
            "mirror.example.com.",
            "mirror.example.com.:80",
            "production.observability.svc:9900",
            "10.0.0.1:9900",
            "[2001:db8::3]:9900",
            "[2001:DB8:0::3]",
        ] {
            assert!(for_host("/api/metric", &[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.mirror.example.com",
            "mirror.example.com.evil.example",
            "svc",
            "evilsvc",
            "10.0.0.2",
            "[2001:db8::4]",
            "mirror.example.com@evil.example",
            "evil.example@mirror.example.com",
            "",
            "a b",
        ] {
            assert!(!for_host("/api/metric", &[("host", host)]), "{host}");
        }
        assert!(!for_host("/api/metric", &[]), "none");
        let twice = [("host", "mirror.example.com"), ("host", "evil.example")];
        assert!(!for_host("/api/metric", &twice));
    }

    #[test]
    fn a_whole_url_in_the_request_line_has_the_say() {
        let good = ("host", "mirror.example.com");
        let evil = ("host", "evil.example");
        assert!(for_host("http://mirror.example.com/api/metric", &[evil]));
        assert!(!for_host("http://evil.example/api/metric", &[good]));
    }

    #[test]
    fn any_host_will_do_where_none_is_declared() {
        let uri = Uri::from_static("/");
        assert_eq!(check(None, &Method::GET, &uri, &HeaderMap::new()), Ok(()));
    }

    #[test]
    fn what_a_page_can_send_without_asking_is_refused_and_nothing_else() {
        let origin = ("origin", "https://evil.example");
        let json = ("content-type", "application/json");
        let text = ("content-type", "text/plain;charset=UTF-8");
        let form = ("content-type", "Application/X-WWW-Form-Urlencoded");
        let parts = ("content-type", "multipart/form-data; boundary=x");
        let cross = ("sec-fetch-site", "cross-site");
        let ok = Ok(());
        let table: [(&[(&str, &str)], _); 12] = [
            (&[], ok.clone()),
            (&[json], ok.clone()),
            (&[text], ok.clone()),
            (&[form], ok.clone()),
            (&[origin, json], ok.clone()),
            (&[cross, json], ok.clone()),
            (&[("sec-fetch-site", "none"), text], ok),
            (&[origin, text], Err(ApiError::OfWebPage)),
            (&[("origin", "null"), form], Err(ApiError::OfWebPage)),
            (&[cross, parts], Err(ApiError::OfWebPage)),
            (&[origin], Err(ApiError::OfWebPage)),
            (&[origin, json, text], Err(ApiError::OfWebPage)),
        ];
        let uri = Uri::from_static("/api/metric");
        for (lines, expected) in table {
            let mut sent = HeaderMap::new();
            for (name, value) in lines {
                sent.append(
                    HeaderName::try_from(*name).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                );
            }
            assert_eq!(
                check(None, &Method::POST, &uri, &sent),
                expected,
                "{lines:?}"
            );
            assert_eq!(check(None, &Method::GET, &uri, &sent), Ok(()));
        }
    }
}
