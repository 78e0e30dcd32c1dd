//! What the operator may do, compared with what it did: after scenarios that went through
//! everything.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use cluster_client::OPERATOR;
use serde_json::Value;

use crate::audit::Request;
use crate::operator_pods::SYSTEM;
use crate::programs::run;
use crate::scene::Scene;

/// Asked for by an admission plugin that is off by default
/// (`OwnerReferencesPermissionEnforcement`), never by a request.
const NEVER_REQUESTED: &str = "prometheus-mirror.io/prometheusmirrors/finalizers:update";

pub(super) async fn every_right_is_used_and_none_is_missing(scene: &Scene) -> Result<()> {
    let requests = scene.common.audit.requests_since(0)?;
    ensure!(
        !requests.is_empty(),
        "the audit log has no request of the operator"
    );
    let (granted, served) = (granted().await?, served().await?);
    let used = used(&requests);
    let unused: Vec<_> = granted.difference(&used).collect();
    // Kinds whose API this cluster does not have are asked for in vain.
    let excused = |right: &str| {
        let resource = right
            .rsplit_once(':')
            .map_or(right, |(resource, _)| resource);
        right == NEVER_REQUESTED || !served.contains(resource)
    };
    let wrong: Vec<_> = unused.iter().filter(|right| !excused(right)).collect();
    ensure!(wrong.is_empty(), "granted and never used: {wrong:?}");
    let denied = denied(&requests);
    ensure!(denied.is_empty(), "denied: {denied:?}");
    scene.claim(format!("unused, as they may be: {unused:?}"));
    scene.claim(format!(
        "every other of {} rights was used, {} requests, none denied",
        granted.len(),
        requests.len()
    ));
    Ok(())
}

/// The rules of every role that is bound to the operator, as `group/resource:verb`.
async fn granted() -> Result<BTreeSet<String>> {
    let bindings = get(&[
        "get",
        "clusterrolebindings,rolebindings",
        "-A",
        "-o",
        "json",
    ])
    .await?;
    let mut rights = BTreeSet::new();
    for binding in items(&bindings["items"]) {
        let ours = items(&binding["subjects"]).any(|subject| {
            subject["kind"] == "ServiceAccount"
                && subject["namespace"] == SYSTEM
                && subject["name"] == OPERATOR
        });
        if !ours {
            continue;
        }
        let role = &binding["roleRef"];
        let namespace = text(&binding["metadata"]["namespace"]);
        let namespace = if namespace.is_empty() {
            "default"
        } else {
            namespace
        };
        let (kind, name) = (text(&role["kind"]), text(&role["name"]));
        let role = get(&["-n", namespace, "get", kind, name, "-o", "json"]).await?;
        for rule in items(&role["rules"]) {
            rights.extend(rights_of(rule));
        }
    }
    ensure!(
        !rights.is_empty(),
        "no role is bound to {SYSTEM}:{OPERATOR}"
    );
    Ok(rights)
}

fn rights_of(rule: &Value) -> Vec<String> {
    let mut rights = vec![];
    for group in items(&rule["apiGroups"]).map(text) {
        for resource in items(&rule["resources"]).map(text) {
            let verbs = items(&rule["verbs"]).map(text);
            rights.extend(verbs.map(|verb| format!("{group}/{resource}:{verb}")));
        }
    }
    rights
}

/// What the API server serves, subresources included, as `group/resource`.
async fn served() -> Result<BTreeSet<String>> {
    let groups = get(&["get", "--raw", "/apis"]).await?;
    let mut paths = vec!["/api/v1".to_owned()];
    for group in items(&groups["groups"]) {
        let versions = items(&group["versions"]);
        paths.extend(versions.map(|version| format!("/apis/{}", text(&version["groupVersion"]))));
    }
    let mut served = BTreeSet::new();
    for path in paths {
        let list = get(&["get", "--raw", &path]).await?;
        let group = text(&list["groupVersion"])
            .split_once('/')
            .map_or("", |(group, _)| group);
        let names = items(&list["resources"]).map(|resource| text(&resource["name"]));
        served.extend(names.map(|name| format!("{group}/{name}")));
    }
    Ok(served)
}

/// The rights that requests took, found or not: it was asked, and allowed. An apply is logged as a
/// patch; where it makes the object, it takes the right to create as well.
fn used(requests: &[Request]) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for Request {
        code,
        denied,
        verb,
        resource,
        ..
    } in requests
    {
        if !denied {
            used.insert(format!("{resource}:{verb}"));
        }
        if *code == 201 && verb == "patch" {
            used.insert(format!("{resource}:create"));
        }
    }
    used
}

/// Requests that were denied. What was allowed at another time was asked of an API server that had
/// just started and not read its roles yet.
fn denied(requests: &[Request]) -> BTreeSet<String> {
    let told = |request: &Request| {
        let Request {
            verb,
            resource,
            namespace,
            name,
            ..
        } = request;
        format!("{resource}:{verb} {namespace}/{name}")
    };
    let of = |denied: bool| {
        let matching = requests
            .iter()
            .filter(move |request| request.denied == denied);
        matching.map(told).collect::<BTreeSet<_>>()
    };
    &of(true) - &of(false)
}

async fn get(arguments: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&run("kubectl", arguments).await?)?)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(code: u64, verb: &str, name: &str) -> Request {
        Request {
            code,
            denied: code == 403,
            verb: verb.to_owned(),
            resource: "apps/deployments".to_owned(),
            namespace: "demo".to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn an_apply_that_creates_uses_both_rights() {
        let requests = [request(201, "patch", "a"), request(403, "get", "a")];
        let expected = ["apps/deployments:create", "apps/deployments:patch"];
        assert_eq!(used(&requests), expected.map(str::to_owned).into());
    }

    #[test]
    fn what_was_allowed_at_another_time_was_not_denied() {
        let requests = [
            request(403, "get", "a"),
            request(403, "get", "b"),
            request(404, "get", "a"),
        ];
        assert_eq!(
            denied(&requests),
            ["apps/deployments:get demo/b".to_owned()].into()
        );
    }
}
