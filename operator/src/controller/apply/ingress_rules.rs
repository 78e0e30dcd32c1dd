//! The rules of an Ingress that others have added: cert-manager's challenges, for example. `rules`
//! is one list for server-side apply, so whoever applies it owns all of it, and it must be sent
//! with what others have put there. Pure.

use kube::api::DynamicObject;
use serde_json::{Value, json};

/// Adds to a manifest the rules and paths of an Ingress that lead to other Services than its own.
/// It is then written only to the version that they were read from.
pub(super) fn keep(manifest: &mut Value, there: &DynamicObject) {
    let ours = manifest["spec"]["rules"][0].clone();
    let service = &ours["http"]["paths"][0]["backend"]["service"]["name"];
    let is_ours = |path: &&Value| path["backend"]["service"]["name"] == *service;
    let before = list(&there.data["spec"]["rules"]);
    let foreign = |rule: &Value| -> Vec<Value> {
        let paths = list(&rule["http"]["paths"]).iter();
        paths.filter(|path| !is_ours(path)).cloned().collect()
    };
    if before.iter().all(|rule| foreign(rule).is_empty()) {
        return;
    }
    let mut rules = Vec::new();
    let mut placed = false;
    for rule in before {
        let mut rule = rule.clone();
        let mut paths = foreign(&rule);
        if rule["host"] == ours["host"] && !placed {
            placed = true;
            // Where it is, or the order of a list would be a difference.
            let at = list(&rule["http"]["paths"])
                .iter()
                .position(|path| is_ours(&path));
            let at = at.unwrap_or_default().min(paths.len());
            paths.insert(at, ours["http"]["paths"][0].clone());
        }
        if !paths.is_empty() {
            rule["http"]["paths"] = json!(paths);
            rules.push(rule);
        }
    }
    if !placed {
        rules.insert(0, ours);
    }
    manifest["spec"]["rules"] = json!(rules);
    manifest["metadata"]["resourceVersion"] = json!(there.metadata.resource_version);
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str, service: &str) -> Value {
        json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": service}}})
    }

    fn rule(host: &str, paths: &[Value]) -> Value {
        json!({"host": host, "http": {"paths": paths}})
    }

    #[test]
    fn rules_of_others_are_kept_and_ours_follow_the_spec() {
        let (mirror, solver) = (path("/", "shop"), path("/.well-known", "solver"));
        let old = path("/old", "shop");
        let kept = |there: &[Value]| {
            let mut manifest = json!({"metadata": {}, "spec": {"rules": [rule("a", std::slice::from_ref(&mirror))]}});
            let there = json!({"metadata": {"name": "i", "resourceVersion": "7"}, "spec": {"rules": there}});
            keep(&mut manifest, &serde_json::from_value(there).unwrap());
            let version = manifest["metadata"]["resourceVersion"].as_str() == Some("7");
            (manifest["spec"]["rules"].clone(), version)
        };
        let alone = json!([rule("a", std::slice::from_ref(&mirror))]);
        let two = [solver.clone(), mirror.clone()];
        let of_solver = rule("b", std::slice::from_ref(&solver));
        let table = [
            (vec![], alone.clone(), false),
            (vec![rule("b", std::slice::from_ref(&old))], alone, false),
            (
                vec![rule("a", &[solver.clone(), old.clone()])],
                json!([rule("a", &two)]),
                true,
            ),
            (
                vec![of_solver.clone(), rule("a", &[old, solver.clone()])],
                json!([of_solver, rule("a", &[mirror.clone(), solver.clone()])]),
                true,
            ),
            (
                vec![rule("b", &[path("/old", "shop"), solver])],
                json!([rule("a", std::slice::from_ref(&mirror)), of_solver]),
                true,
            ),
        ];
        for (there, rules, versioned) in table {
            assert_eq!(kept(&there), (rules, versioned));
        }
    }
}
