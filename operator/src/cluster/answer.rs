//! What the API server says when a request fails: in words for people, and whether it will say the
//! same again.

use kube::core::Status;

/// Why a request will be refused again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The operator lacks a right.
    Forbidden,
    /// A policy, a webhook or a quota of the cluster is against it.
    Denied,
    /// The object itself is wrong.
    Invalid,
}

/// Why a request will be refused again; none if it may work when it is tried again.
#[must_use]
pub fn refusal(error: &kube::Error) -> Option<Refusal> {
    let kube::Error::Api(status) = error else {
        return None;
    };
    let says = |words: &str| status.message.contains(words);
    if denies(status) {
        return Some(Refusal::Denied);
    }
    match status.code {
        // The authorizer names the user; everybody else who says 403 is an admission plugin.
        403 if says("User \"") && says(" cannot ") => Some(Refusal::Forbidden),
        403 if says("because it is being terminated") => Some(Refusal::Forbidden),
        403 if says(" is forbidden: ") => Some(Refusal::Denied),
        403 => Some(Refusal::Forbidden),
        400 | 413 | 422 => Some(Refusal::Invalid),
        // Of the wrong type, for server-side apply.
        500 if MALFORMED
            .iter()
            .any(|words| status.message.starts_with(words)) =>
        {
            Some(Refusal::Invalid)
        }
        _ => None,
    }
}

/// How server-side apply begins when a value has the wrong type, although it says 500.
const MALFORMED: [&str; 2] = [
    "failed to create typed patch object",
    "failed to convert new object",
];

/// Whether a webhook or a policy has denied a request. They choose the code themselves.
fn denies(status: &Status) -> bool {
    let by = |who: &str, verdict: &str| {
        let mut said = status.message.split(who).skip(1);
        said.any(|said| said.contains(verdict))
    };
    by("admission webhook \"", " denied the request") || by("AdmissionPolicy '", " denied request")
}

/// Whether a webhook cannot be asked without a write.
#[must_use]
pub fn needs_a_write(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.message.contains("does not support dry run"))
}

/// What went wrong, in the API server's words where it has answered.
#[must_use]
pub fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => explained(&status.message),
        kube::Error::Api(status) => format!("status {}", status.code),
        other => other.to_string(),
    }
}

/// A message of server-side apply without the names of its Go types, and with what to do.
fn explained(message: &str) -> String {
    let malformed = MALFORMED.iter().any(|words| message.starts_with(words));
    let parts = message
        .split_once("): ")
        .or_else(|| message.split_once(") to proper version: "));
    let Some((_, fault)) = parts.filter(|_| malformed) else {
        return message.to_owned();
    };
    let fault = fault
        .strip_prefix("unable to convert unstructured object to ")
        .map_or(fault, |fault| {
            fault.split_once(": ").map_or(fault, |(_, fault)| fault)
        });
    let fault = fault.strip_prefix('.').unwrap_or(fault);
    let hint = HINTS.iter().find(|(words, _)| fault.contains(words));
    let hint = hint.map(|(_, hint)| format!(" (hint: {hint})"));
    format!("{}{}", plain(fault), hint.unwrap_or_default())
}

/// What to do about a fault, by a part of its message.
const HINTS: [(&str, &str); 7] = [
    ("expected string", "write it in quotes"),
    ("expected boolean", "write true or false without quotes"),
    ("expected numeric", "write a number without quotes"),
    (
        "field not declared in schema",
        "it is misspelt, or in the wrong place",
    ),
    ("duplicate entries for key", "write each only once"),
    (
        "quantities must match",
        "write for example 100m or 1Gi, without a space",
    ),
    ("float64 to int", "write a whole number"),
];

/// Without `&value.valueUnstructured{Value:…}` and `&{…}` around a value.
fn plain(fault: &str) -> String {
    for (begins, ends) in [("&value.valueUnstructured{Value:", "}"), ("&{", "}")] {
        if let Some((before, rest)) = fault.split_once(begins)
            && let Some((value, after)) = rest.rsplit_once(ends)
        {
            return format!("{before}{value}{after}");
        }
    }
    fault.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u16, message: &str) -> kube::Error {
        let status = Status::failure(message, "Reason").with_code(code);
        kube::Error::Api(status.boxed())
    }

    #[test]
    fn a_denial_is_not_a_missing_right_and_not_an_invalid_object() {
        let user = r#"services "s" is forbidden: User "system:serviceaccount:a:b" cannot patch resource "services" in API group "" in the namespace "n""#;
        let webhook = r#"admission webhook "validate.kyverno.svc-fail" denied the request: resource Deployment/n/s was blocked"#;
        let policy = r#"deployments.apps "s" is forbidden: ValidatingAdmissionPolicy 'limits' with binding 'limits' denied request: set limits"#;
        let quota = r#"services "s" is forbidden: exceeded quota: q, requested: services=1"#;
        let down = r#"Internal error occurred: failed calling webhook "w": failed to call webhook: Post "https://w.svc": no endpoints"#;
        let typed = "failed to create typed patch object (n/s; apps/v1, Kind=Deployment): .spec.x: expected string";
        let found = [
            (403, user),
            (403, webhook),
            (400, webhook),
            (422, policy),
            (403, quota),
            (
                422,
                "Deployment.apps \"s\" is invalid: spec.x: Required value",
            ),
            (500, typed),
            (500, down),
            (503, "etcdserver: request timed out"),
            (409, "the object has been modified"),
        ]
        .map(|(code, message)| refusal(&error(code, message)));
        let denied = Some(Refusal::Denied);
        let invalid = Some(Refusal::Invalid);
        let expected = [
            Some(Refusal::Forbidden),
            denied,
            denied,
            denied,
            denied,
            invalid,
            invalid,
            None,
            None,
            None,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_message_names_the_field_and_says_what_to_do() {
        let typed =
            "failed to create typed patch object (n/s; apps/v1, Kind=Deployment): .spec.template";
        let converted = "failed to convert new object (n/s; apps/v1, Kind=Deployment) to proper version: unable to convert unstructured object to apps/v1, Kind=Deployment: ";
        let table = [
            (
                format!(
                    "{typed}.metadata.labels.x: expected string, got &value.valueUnstructured{{Value:true}}"
                ),
                "spec.template.metadata.labels.x: expected string, got true (hint: write it in quotes)",
            ),
            (
                format!("{typed}.spec.hostNetwork: expected boolean, got &{{true}}"),
                "spec.template.spec.hostNetwork: expected boolean, got true (hint: write true or false without quotes)",
            ),
            (
                format!("{typed}.spec.nodeselector: field not declared in schema"),
                "spec.template.spec.nodeselector: field not declared in schema (hint: it is misspelt, or in the wrong place)",
            ),
            (
                format!("{converted}cannot convert float64 to int64"),
                "cannot convert float64 to int64 (hint: write a whole number)",
            ),
            ("services is forbidden".to_owned(), "services is forbidden"),
        ];
        for (message, expected) in table {
            assert_eq!(words(&error(500, &message)), expected);
        }
        let silent = kube::Error::Api(Status::failure("", "").with_code(502).boxed());
        assert_eq!(words(&silent), "status 502");
    }
}
