//! What the API server wrote down of the operator's requests.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The operator's user.
const OPERATOR: &str = "system:serviceaccount:prometheus-mirror-system:prometheus-mirror-operator";

/// The audit log of the cluster.
pub(crate) struct AuditLog {
    file: PathBuf,
}

/// One request of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The answer's code.
    pub(crate) code: u64,
    /// Refused for want of a right, not for another reason such as the end of the namespace.
    pub(crate) denied: bool,
    /// `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`.
    pub(crate) verb: String,
    /// `group/resource/subresource`; the group may be empty.
    pub(crate) resource: String,
    /// Of the object or the collection; empty for the whole cluster.
    pub(crate) namespace: String,
    /// Of the object; empty for a collection.
    pub(crate) name: String,
}

impl AuditLog {
    pub(crate) fn of(state: &Path) -> Self {
        Self {
            file: state.join("logs/audit.log"),
        }
    }

    /// Where the log ends now.
    pub(crate) fn end(&self) -> Result<usize> {
        Ok(self.text()?.len())
    }

    /// The operator's requests since the log ended there.
    pub(crate) fn requests_since(&self, start: usize) -> Result<Vec<Request>> {
        let text = self.text()?;
        let new = text.get(start..).unwrap_or_default();
        // Of other users there are many more: their lines are not worth being parsed. The last line
        // may be half written.
        let lines = new.lines().filter(|line| line.contains(OPERATOR));
        let entries = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(entries.filter_map(|entry| Request::read(&entry)).collect())
    }

    /// The operator's writes, in one namespace or all, leases aside.
    pub(crate) fn writes_since(
        &self,
        start: usize,
        namespace: Option<&str>,
    ) -> Result<Vec<Request>> {
        let mut requests = self.requests_since(start)?;
        requests.retain(|request| {
            request.writes() && namespace.is_none_or(|namespace| request.namespace == namespace)
        });
        Ok(requests)
    }

    fn text(&self) -> Result<String> {
        std::fs::read_to_string(&self.file).with_context(|| self.file.display().to_string())
    }
}

impl Request {
    fn read(entry: &Value) -> Option<Self> {
        if entry["user"]["username"] != OPERATOR {
            return None;
        }
        let of = &entry["objectRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut resource = format!("{}/{}", text(&of["apiGroup"]), of["resource"].as_str()?);
        if let Some(part) = of["subresource"].as_str() {
            resource = format!("{resource}/{part}");
        }
        Some(Self {
            code: entry["responseStatus"]["code"].as_u64().unwrap_or_default(),
            denied: entry["annotations"]["authorization.k8s.io/decision"] == "forbid",
            verb: text(&entry["verb"]),
            resource,
            namespace: text(&of["namespace"]),
            name: text(&of["name"]),
        })
    }

    fn writes(&self) -> bool {
        ["create", "update", "patch", "delete"].contains(&self.verb.as_str())
            && self.resource != "coordination.k8s.io/leases"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> AuditLog {
        let folder = tempfile::tempdir().unwrap().keep();
        std::fs::create_dir(folder.join("logs")).unwrap();
        std::fs::write(folder.join("logs/audit.log"), lines.join("\n")).unwrap();
        AuditLog::of(&folder)
    }

    #[test]
    fn only_the_operators_writes_count_and_no_leases() {
        let line = |user: &str, verb: &str, group: &str, resource: &str, namespace: &str| {
            serde_json::json!({
                "user": {"username": user}, "verb": verb, "responseStatus": {"code": 200},
                "annotations": {"authorization.k8s.io/decision": "allow"},
                "objectRef": {
                    "apiGroup": group, "resource": resource, "namespace": namespace, "name": "a",
                },
            })
            .to_string()
        };
        let log = log(&[
            &line(OPERATOR, "patch", "apps", "deployments", "demo"),
            &line("somebody", "patch", "apps", "deployments", "demo"),
            &line(OPERATOR, "update", "coordination.k8s.io", "leases", "demo"),
            &line(OPERATOR, "get", "", "secrets", "demo"),
            &line(OPERATOR, "patch", "apps", "deployments", "other"),
            r#"{"user": {"username": "half"#,
        ]);
        let write = Request {
            code: 200,
            denied: false,
            verb: "patch".to_owned(),
            resource: "apps/deployments".to_owned(),
            namespace: "demo".to_owned(),
            name: "a".to_owned(),
        };
        assert_eq!(log.writes_since(0, Some("demo")).unwrap(), [write]);
        assert_eq!(log.writes_since(0, None).unwrap().len(), 2);
        assert_eq!(log.requests_since(log.end().unwrap()).unwrap(), []);
        let _ = std::fs::remove_dir_all(log.file.parent().unwrap().parent().unwrap());
    }
}
