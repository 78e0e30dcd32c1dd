//! Memory settings that do not fit each other: one rule for the mirror's `check` and log, and for
//! the operator's condition.

use serde_json::Value;

use super::size::ByteSize;
use super::{DEFAULT_LIMIT, DEFAULT_WORKERS, LEAST_LIMIT, needed_by};
use crate::Fault;

/// What is wrong with a memory limit where the container may use `most`, in words that follow the
/// limit's name.
#[must_use]
pub fn problem(limit: ByteSize, most: Option<ByteSize>) -> Option<String> {
    let least = ByteSize(LEAST_LIMIT);
    if let Some(most) = most.filter(|most| limit > *most) {
        return Some(format!(
            "{limit} is more than the {most} that the container may use; lower it, or raise the container's limit: until then the kernel may stop the mirror before requests wait"
        ));
    }
    (limit < least).then(|| {
        format!(
            "{limit} is too little: the mirror uses up to {least} whatever the limit, so a container with less may be stopped by the kernel; raise it"
        )
    })
}

/// Where the memory limits of a spec do not fit each other or the workers, or are too small. The
/// mirror works all the same.
#[must_use]
pub fn unfit(spec: &Value) -> Option<Fault> {
    const FIELD: &str = "spec.limits.memory";
    const CONTAINER: &str = "spec.resources.limits.memory";
    let container = container_limit(spec);
    let own = spec["limits"]["memory"]
        .as_str()
        .and_then(|text| text.parse::<ByteSize>().ok());
    let is_written = !spec["resources"]["limits"]["memory"].is_null();
    let (field, limit) = match (own, container) {
        (Some(own), _) => (FIELD, own),
        (None, Some(container)) if is_written => (CONTAINER, container),
        (None, Some(container)) => ("spec.workers", container),
        (None, None) => return None,
    };
    if let Some(problem) = problem(limit, own.and(container)) {
        return Some(Fault::new(field, problem));
    }
    let workers = spec["workers"].as_u64().unwrap_or(DEFAULT_WORKERS);
    let needed = ByteSize(needed_by(workers));
    (limit < needed).then(|| {
        let message = format!(
            "{workers} workers need {needed} of memory for large answers at once, and the limit is {limit}"
        );
        let hint = "raise the limit or lower the workers: until then, requests that find no memory wait, and may be answered with 503";
        Fault::new(field, message).hint(hint)
    })
}

/// The memory limit that the mirror's container gets.
fn container_limit(spec: &Value) -> Option<ByteSize> {
    let written = &spec["resources"]["limits"]["memory"];
    match (written.as_str(), written.as_u64()) {
        (Some(text), _) => text.parse().ok(),
        (None, Some(bytes)) => Some(ByteSize(bytes)),
        // The operator sets its default only where nothing is said about resources.
        (None, None) => {
            let default = ByteSize(DEFAULT_LIMIT);
            spec["resources"].is_null().then_some(default)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_memory_limit_beyond_the_containers_or_too_small_is_noted() {
        let spec = |own: &str, container: Option<&str>| {
            let mut spec = json!({"workers": 1, "limits": {"memory": own}});
            if let Some(container) = container {
                spec["resources"] = json!({"limits": {"memory": container}});
            }
            spec
        };
        let beyond = |own, most| {
            format!(
                "spec.limits.memory: {own} is more than the {most} that the container may use; lower it, or raise the container's limit: until then the kernel may stop the mirror before requests wait"
            )
        };
        let little = |field, limit| {
            format!(
                "{field}: {limit} is too little: the mirror uses up to 86 MiB whatever the limit, so a container with less may be stopped by the kernel; raise it"
            )
        };
        let table = [
            (spec("400Mi", None), None),
            (spec("512Mi", None), None),
            (spec("513Mi", None), Some(beyond("513 MiB", "512 MiB"))),
            (
                spec("400Mi", Some("256Mi")),
                Some(beyond("400 MiB", "256 MiB")),
            ),
            (spec("1Gi", Some("2Gi")), None),
            (
                spec("10M", None),
                Some(little("spec.limits.memory", "9 MiB")),
            ),
            (
                json!({"workers": 1, "resources": {"limits": {"memory": "64Mi"}}}),
                Some(little("spec.resources.limits.memory", "64 MiB")),
            ),
        ];
        for (spec, expected) in table {
            let shown = unfit(&spec).map(|fault| fault.to_string());
            assert_eq!(shown, expected, "{spec}");
        }
    }

    #[test]
    fn a_memory_limit_that_does_not_fit_the_workers_is_noted() {
        let hint = "raise the limit or lower the workers: until then, requests that find no memory wait, and may be answered with 503";
        let limits = |memory: Value| json!({"limits": {"memory": memory}});
        let table = [
            (json!({}), None),
            (json!({"workers": 28}), None),
            (
                json!({"workers": 29}),
                Some(
                    "spec.workers: 29 workers need 528 MiB of memory for large answers at once, and the limit is 512 MiB",
                ),
            ),
            (
                json!({"workers": 20, "resources": limits(json!("256Mi"))}),
                Some(
                    "spec.resources.limits.memory: 20 workers need 384 MiB of memory for large answers at once, and the limit is 256 MiB",
                ),
            ),
            (
                json!({"resources": limits(json!(134_217_728))}),
                Some(
                    "spec.resources.limits.memory: 20 workers need 384 MiB of memory for large answers at once, and the limit is 128 MiB",
                ),
            ),
            (
                json!({"workers": 4, "resources": limits(json!("128Mi"))}),
                None,
            ),
            (
                json!({"workers": 100, "resources": limits(json!("2Gi"))}),
                None,
            ),
            // No limit, and one that is written in a way that nobody uses for memory.
            (json!({"workers": 1000, "resources": {}}), None),
            (
                json!({"workers": 1000, "resources": limits(json!("1e9"))}),
                None,
            ),
        ];
        for (spec, expected) in table {
            let shown = unfit(&spec).map(|fault| fault.to_string());
            let expected = expected.map(|message| format!("{message} (hint: {hint})"));
            assert_eq!(shown, expected, "{spec}");
        }
    }
}
