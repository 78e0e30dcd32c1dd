//! From an answer that is none to the reason why, in words for the user.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use url::Url;

use super::{Client, MAX_ERROR_BYTES, PATIENCE};
use crate::prometheus::http::{Body, Response, Said, Secrets, quote};
use crate::prometheus::{StoreError, proxy, throttle};

/// What to look for when a page comes instead of data.
pub(super) const PAGE_HINT: &str = "is there a sign-in in front, or is the path prefix missing?";

/// Parts of an address that lead to a sign-in.
const SIGN_IN: [&str; 10] = [
    "login", "log-in", "signin", "sign-in", "sign_in", "oauth", "oidc", "sso", "saml", "auth",
];

/// The head of an answer that is no success.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
}

impl Head {
    pub(super) fn of(response: &Response) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
        }
    }

    fn text(&self, name: http::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Client {
    /// What an answer that is no success says. `secrets` are those that were sent.
    pub(super) async fn refusal(
        &self,
        response: Response,
        began: std::time::Instant,
        secrets: &Secrets,
    ) -> StoreError {
        let head = Head::of(&response);
        let status = head.status;
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            return self.redirected(head.text(http::header::LOCATION), secrets);
        }
        let body = match Body::new(response, usize::MAX) {
            Ok(mut body) => body.beginning(&[], MAX_ERROR_BYTES, PATIENCE).await,
            Err(unknown) => {
                let name = quote(&unknown.0, secrets);
                let said =
                    format!(" with a body in {name} encoding, although it was not asked for");
                return self.refused(&head, began, &said, false);
            }
        };
        let asks = throttle::body_asks_to_slow_down(&body);
        let content_type = head.text(http::header::CONTENT_TYPE);
        let said = match Said::of(content_type, &body, secrets) {
            Said::Complaint { kind, message } if !self.is_refused_otherwise(&head, asks) => {
                return self.complaint(status, kind, &message, secrets);
            }
            Said::Complaint { message, .. } => behind_colon(status, &quote(&message, secrets)),
            Said::Words(words) | Said::Json(words) | Said::Xml(words) => {
                behind_colon(status, &words)
            }
            Said::Html(title) => page(status, title.as_deref()),
            Said::Nothing | Said::Data => String::new(),
        };
        self.refused(&head, began, &said, asks)
    }

    /// Whether the status tells more than Prometheus' own kind of error.
    fn is_refused_otherwise(&self, head: &Head, asks: bool) -> bool {
        asks || throttle::asks_to_slow_down(head.status, &head.headers)
            || matches!(
                head.status,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
            )
    }

    /// By its status; `said` completes "it answered 503 Service Unavailable".
    fn refused(
        &self,
        head: &Head,
        began: std::time::Instant,
        said: &str,
        asks: bool,
    ) -> StoreError {
        let (name, status) = (&self.name, head.status);
        if asks || throttle::asks_to_slow_down(status, &head.headers) {
            let asked = throttle::retry_after(&head.headers, std::time::SystemTime::now());
            let pause = self.pace.slow_down(began, asked);
            return StoreError::Throttled {
                message: format!(
                    "{name} asks to slow down: it answered {status}{said}; queries to it wait {}",
                    in_seconds(pause)
                ),
                retry_after: pause,
            };
        }
        if let Some(refused) = proxy::refusal(status, &self.settings, name) {
            return refused;
        }
        let hint = proxy::hint(status, &self.settings, self.base.scheme());
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return StoreError::CredentialsRefused(format!(
                "{name} refused the credentials: it answered {status}{said}{hint}"
            ));
        }
        // It is there, and the call's text is at fault.
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            return StoreError::Rejected {
                kind: "bad_data".to_owned(),
                message: format!(
                    "{name}, or a proxy before it, answered {status}: ask for fewer or shorter values, or write a shorter expression"
                ),
            };
        }
        StoreError::Unreachable(format!("{name} answered {status}{said}{hint}"))
    }

    /// The message for a call that does not go out because of a pause.
    pub(in crate::prometheus) fn held_back(&self, left: Duration) -> StoreError {
        let left = left.max(Duration::from_secs(1));
        StoreError::Throttled {
            message: format!(
                "{} asks to slow down; queries to it wait another {}",
                self.name,
                in_seconds(left)
            ),
            retry_after: left,
        }
    }

    /// What Prometheus' own complaint means. VictoriaMetrics puts the status code where Prometheus
    /// puts a kind of error.
    pub(super) fn complaint(
        &self,
        status: StatusCode,
        kind: String,
        message: &str,
        secrets: &Secrets,
    ) -> StoreError {
        let message = quote(&without_echo(message), secrets);
        match (kind.as_str(), status) {
            ("timeout" | "canceled", _) => {
                StoreError::Timeout(format!("{} gave up on the query: {message}", self.name))
            }
            ("unavailable" | "internal", _) => {
                StoreError::Unreachable(format!("{} answered {status}: {message}", self.name))
            }
            (_, StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) => {
                StoreError::Rejected { kind, message }
            }
            _ => StoreError::Unreachable(format!("{} answered {status}: {message}", self.name)),
        }
    }

    fn redirected(&self, location: Option<&str>, secrets: &Secrets) -> StoreError {
        let base = &self.declared;
        let url = location.and_then(|location| base.join(location).ok());
        let (to, hint) = url.map_or_else(Default::default, |url| {
            let to = format!(" to {}", without_secrets(&url, secrets));
            (to, redirect_hint(base, &url))
        });
        StoreError::Unreachable(format!(
            "{} answered with a redirect{to}, is the URL right?{hint}",
            self.name
        ))
    }
}

/// VictoriaMetrics repeats the whole query before it comes to the point: `error when executing
/// query="…" on the time range (…): …`. Whoever sent it knows it, and of a long one nothing else
/// would be left.
fn without_echo(message: &str) -> Cow<'_, str> {
    const BEFORE: &str = "error when executing query=";
    let Some(echo) = message
        .strip_prefix(BEFORE)
        .filter(|rest| rest.starts_with('"'))
    else {
        return message.into();
    };
    let mut escaped = true;
    let end = echo.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    // The reason follows the times, which are in brackets.
    let reason = end.and_then(|end| echo[end..].split_once("): "));
    match reason {
        Some((_, reason)) => format!("error when executing the query: {reason}").into(),
        None => message.into(),
    }
}

/// What follows a status, unless it only repeats it.
fn behind_colon(status: StatusCode, words: &str) -> String {
    let plain = words.trim_end_matches(['.', '!']).to_lowercase();
    let name = status.canonical_reason().unwrap_or_default().to_lowercase();
    let code = status.as_str();
    let repeats = plain == name
        || plain == code
        || plain == format!("{code} {name}")
        || plain == format!("{code}: {name}");
    if words.is_empty() || repeats {
        String::new()
    } else {
        format!(": {words}")
    }
}

/// What follows a status that came with a page. A server's failure needs no hint at the URL.
fn page(status: StatusCode, title: Option<&str>) -> String {
    let title = title.map_or_else(String::new, |title| format!(" titled \"{title}\""));
    let hint = if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        String::new()
    } else {
        format!(": {PAGE_HINT}")
    };
    format!(" with an HTML page{title}{hint}")
}

/// Where a redirect leads, and what follows from it.
fn redirect_hint(base: &Url, to: &Url) -> String {
    let is_same_host = base.host_str() == to.host_str();
    let place = format!("{}{}", to.host_str().unwrap_or_default(), to.path()).to_ascii_lowercase();
    let leads_to_sign_in = place.split(['/', '.', '?']).any(|part| {
        SIGN_IN
            .iter()
            .any(|word| part == *word || part.starts_with(&format!("{word}2")))
    });
    let hint = if is_same_host && base.scheme() == "http" && to.scheme() == "https" {
        "write https:// in the URL"
    } else if leads_to_sign_in {
        "there is a sign-in in front; the target needs credentials that the API takes, or a URL behind it"
    } else if is_same_host && base.port_or_known_default() == to.port_or_known_default() {
        "is the path prefix missing or wrong?"
    } else {
        return String::new();
    };
    format!(" (hint: {hint})")
}

/// `url` without user info, query and fragment.
fn without_secrets(url: &Url, secrets: &Secrets) -> String {
    let mut url = url.clone();
    // Both fail only for URLs that have no host and so no user info.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    quote(url.as_str(), secrets)
}

/// In whole seconds, rounded up, as `Retry-After` will say.
fn in_seconds(time: Duration) -> String {
    format!("{} s", crate::prometheus::whole_seconds(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_repeat_the_status_are_left_out() {
        let table = [
            ("Unauthorized", ""),
            ("unauthorized.", ""),
            ("401 Unauthorized", ""),
            ("401: unauthorized", ""),
            ("", ""),
            ("no such user", ": no such user"),
        ];
        for (words, expected) in table {
            assert_eq!(behind_colon(StatusCode::UNAUTHORIZED, words), expected);
        }
    }

    #[test]
    fn the_query_that_victoriametrics_repeats_is_left_out() {
        let table = [
            (
                r#"error when executing query="sum(a{b=\"c\\\"): \"}) / nosuch(d)" on the time range (start=1, end=2, step=3): unknown func "nosuch""#,
                r#"error when executing the query: unknown func "nosuch""#,
            ),
            (
                r#"error when executing query="a" for (time=1700, step=300000): missing )"#,
                "error when executing the query: missing )",
            ),
            (
                r#"error when executing query="a"#,
                r#"error when executing query="a"#,
            ),
            ("1:6: parse error: x", "1:6: parse error: x"),
        ];
        for (message, expected) in table {
            assert_eq!(without_echo(message), expected);
        }
    }

    #[test]
    fn a_redirect_hints_at_what_is_wrong() {
        let hint = |base: &str, to: &str| {
            redirect_hint(&Url::parse(base).unwrap(), &Url::parse(to).unwrap())
        };
        let table = [
            ("http://p:80", "https://p/api/v1/query", "https://"),
            ("http://p", "https://login.example.com/x", "sign-in"),
            ("https://p", "https://p/oauth2/start", "sign-in"),
            ("https://p", "https://p/login", "sign-in"),
            ("https://p", "https://p/prometheus/api/v1/query", "prefix"),
        ];
        for (base, to, part) in table {
            assert!(
                hint(base, to).contains(part),
                "{base} {to}: {}",
                hint(base, to)
            );
        }
        assert_eq!(hint("http://p:1", "http://p:2/"), "");
        assert_eq!(hint("http://p", "http://authors.example/"), "");
    }
}
