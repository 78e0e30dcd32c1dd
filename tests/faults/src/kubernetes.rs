//! What a request asks of the API server, told by its method, path and query.

use std::fmt;

use http::Method;

/// What is done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
}

impl Verb {
    /// Whether it changes anything.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Update | Self::Patch | Self::Delete
        )
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRequest {
    /// What is done.
    pub verb: Verb,
    /// In plural, with its subresource: `deployments`, `prometheusmirrors/status`. Empty if the
    /// path is not one of objects.
    pub resource: String,
    /// Of the object or of the collection.
    pub namespace: Option<String>,
    /// Of the object.
    pub name: Option<String>,
    /// Asked to do everything except to keep the result.
    pub dry_run: bool,
}

impl ApiRequest {
    /// Reads a request line.
    #[must_use]
    pub fn parse(method: &Method, path: &str, query: &str) -> Self {
        let has = |name: &str| {
            url::form_urlencoded::parse(query.as_bytes())
                .any(|(key, value)| key == name && value != "false" && value != "0")
        };
        let (namespace, resource, name) = parts(path);
        let verb = match *method {
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ if has("watch") => Verb::Watch,
            _ if name.is_none() && !resource.is_empty() => Verb::List,
            _ => Verb::Get,
        };
        Self {
            verb,
            resource,
            namespace,
            name,
            dry_run: has("dryRun"),
        }
    }

    /// Whether it changes something that is the operator's work: its lease aside, and what it only
    /// tries.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.verb.writes() && !self.is_lease() && !self.dry_run
    }

    /// Whether it is about leadership.
    #[must_use]
    pub fn is_lease(&self) -> bool {
        self.resource == "leases"
    }

    /// Whether it reports an event, on which nothing depends.
    #[must_use]
    pub fn is_event(&self) -> bool {
        self.resource == "events"
    }
}

impl fmt::Display for ApiRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} {}", self.verb, self.resource)?;
        if let Some(name) = &self.name {
            write!(formatter, " {name}")?;
        }
        if self.dry_run {
            write!(formatter, " (dry run)")?;
        }
        Ok(())
    }
}

/// Namespace, resource with subresource, and name.
fn parts(path: &str) -> (Option<String>, String, Option<String>) {
    let mut segments = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned);
    let versions = match segments.next().as_deref() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => return (None, String::new(), None),
    };
    let mut rest: Vec<_> = segments.skip(versions).collect();
    let namespace = (rest.len() > 2 && rest[0] == "namespaces").then(|| {
        let namespace = rest[1].clone();
        rest.drain(..2);
        namespace
    });
    let mut rest = rest.into_iter();
    let resource = rest.next().unwrap_or_default();
    let name = rest.next();
    let resource = match rest.next() {
        Some(subresource) => format!("{resource}/{subresource}"),
        None => resource,
    };
    (namespace, resource, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_says_what_is_done_to_what() {
        let read = |method: Method, uri: &str| {
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            let request = ApiRequest::parse(&method, path, query);
            let namespace = request.namespace.clone().unwrap_or_default();
            format!("{request} in {namespace:?}")
        };
        let services = "/api/v1/namespaces/n/services";
        let mirrors = "/apis/prometheus-mirror.io/v1alpha1/prometheusmirrors";
        let deployment = "/apis/apps/v1/namespaces/n/deployments/d";
        let status = "/apis/prometheus-mirror.io/v1alpha1/namespaces/n/prometheusmirrors/a/status";
        let table = [
            (read(Method::GET, services), r#"List services in "n""#),
            (
                read(Method::GET, &format!("{services}?watch=true")),
                r#"Watch services in "n""#,
            ),
            (
                read(Method::GET, &format!("{services}/s")),
                r#"Get services s in "n""#,
            ),
            (
                read(Method::GET, &format!("{mirrors}?limit=500&watch=0")),
                r#"List prometheusmirrors in """#,
            ),
            (
                read(
                    Method::PATCH,
                    &format!("{deployment}?dryRun=All&force=true"),
                ),
                r#"Patch deployments d (dry run) in "n""#,
            ),
            (
                read(Method::PATCH, status),
                r#"Patch prometheusmirrors/status a in "n""#,
            ),
            (
                read(Method::DELETE, deployment),
                r#"Delete deployments d in "n""#,
            ),
            (
                read(Method::GET, "/api/v1/namespaces/n"),
                r#"Get namespaces n in """#,
            ),
            (read(Method::GET, "/version"), r#"Get  in """#),
        ];
        for (read, expected) in table {
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn leases_and_dry_runs_are_no_writes_of_the_operators_work() {
        let is_write = |method: Method, path: &str, query: &str| {
            ApiRequest::parse(&method, path, query).is_write()
        };
        let lease = "/apis/coordination.k8s.io/v1/namespaces/n/leases/l";
        let deployment = "/apis/apps/v1/namespaces/n/deployments/d";
        assert!(!is_write(Method::PUT, lease, ""));
        assert!(!is_write(Method::PATCH, deployment, "dryRun=All"));
        assert!(!is_write(Method::GET, deployment, ""));
        assert!(is_write(Method::PATCH, deployment, "force=true"));
    }
}
