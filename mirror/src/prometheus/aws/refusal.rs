//! Servers that issue AWS's keys: what their refusals say.

use std::time::Duration;

use http::StatusCode;

use super::keys::element;
use crate::prometheus::StoreError;
use crate::prometheus::http::{Said, Whole, quote};
use crate::prometheus::issuer::{Issuer, IssuerKind};

/// One that messages call `what`.
pub(super) const fn of_keys(what: &'static str) -> IssuerKind {
    IssuerKind {
        what,
        issues: "keys",
        // Requests have 15 seconds in all.
        timeout: Duration::from_secs(5),
    }
}

/// Why there are no keys in an answer. `sent` are the secrets that were sent.
pub(super) fn refusal(issuer: &Issuer, answer: &Whole, sent: &[&str]) -> StoreError {
    let status = answer.status;
    if let Some(refused) = issuer.refused_by_proxy(status) {
        return refused;
    }
    let secrets = issuer.secrets().and_all(sent.iter().copied());
    // Nothing of a success is quoted: it may hold keys in another form.
    if status.is_success() {
        return issuer.failed("answered something that is no keys");
    }
    let words = xml_error(&answer.body).map(|words| quote(&words, &secrets));
    let words = words.or_else(|| match answer.said(&secrets) {
        Said::Words(words) | Said::Json(words) | Said::Xml(words) => Some(words),
        _ => None,
    });
    let because = words.map_or_else(String::new, |words| format!(": {words}"));
    if Issuer::asks_to_slow_down(answer) || because.starts_with(": Throttling") {
        return issuer.throttled(answer, &because);
    }
    if super::is_refusal(status) {
        return issuer.refused(status, &because);
    }
    issuer.failed(&format!("answered {status}{because}"))
}

/// `AccessDenied: User … is not authorized`, as the Security Token Service says it in XML.
fn xml_error(body: &[u8]) -> Option<String> {
    let text = str::from_utf8(body).ok()?;
    let (code, message) = (element(text, "Code")?, element(text, "Message")?);
    Some(format!("{code}: {}", without_entities(message)))
}

/// Text in which the characters that XML writes as entities are themselves. The ampersand is the
/// last: what it makes is no entity.
fn without_entities(text: &str) -> String {
    const ENTITIES: [(&str, &str); 7] = [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    let replaced =
        |text: String, (entity, character): &(&str, &str)| text.replace(entity, character);
    ENTITIES.iter().fold(text.to_owned(), replaced)
}

/// Whether the status says that nothing is there.
pub(super) fn is_absent(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_says_is_read_from_its_xml() {
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>\n the &quot;token&quot; &amp;lt; it&#39;s &lt;old&gt;</Message></Error></ErrorResponse>";
        let expected = "ExpiredToken: the \"token\" &lt; it's <old>";
        assert_eq!(xml_error(body.as_bytes()).as_deref(), Some(expected));
        assert_eq!(xml_error(b"<Code>a</Code>"), None);
    }
}
