//! What a scenario works with: a namespace of its own, and the verbs it needs.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster_client::{Cluster, MIRROR, condition, is_ready, kind, mirror};
use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

use crate::audit::AuditLog;
use crate::programs::{self, Place};
use crate::wait::{eventually, timed};

/// What all scenarios of a run share.
pub(crate) struct Common {
    pub(crate) cluster: Cluster,
    pub(crate) audit: AuditLog,
    pub(crate) place: Place,
    describe: &'static [&'static [&'static str]],
}

impl Common {
    pub(crate) async fn new(
        place: Place,
        describe: &'static [&'static [&'static str]],
    ) -> Result<Self> {
        Ok(Self {
            cluster: Cluster::connect().await?,
            audit: AuditLog::of(&place.state),
            place,
            describe,
        })
    }
}

/// Where a scenario takes place.
pub(crate) struct Scene {
    pub(crate) common: Arc<Common>,
    pub(crate) namespace: String,
    name: &'static str,
}

/// An IP address as a URL has it.
pub(crate) fn url_host(ip: &str) -> String {
    match ip.contains(':') {
        true => format!("[{ip}]"),
        false => ip.to_owned(),
    }
}

/// The selector of what an operator made for a mirror.
pub(crate) fn pods_of(mirror: &str) -> String {
    format!("app.kubernetes.io/instance={mirror}")
}

impl Scene {
    pub(crate) fn new(common: Arc<Common>, name: &'static str) -> Self {
        Self {
            common,
            namespace: name.replace('_', "-"),
            name,
        }
    }

    /// The same scenario in another namespace.
    pub(crate) fn within(&self, namespace: &str) -> Self {
        Self {
            common: Arc::clone(&self.common),
            namespace: namespace.to_owned(),
            name: self.name,
        }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.common.cluster
    }

    pub(crate) fn place(&self) -> &Place {
        &self.common.place
    }

    /// Makes the namespace, empty: one of a run before may be left.
    pub(crate) async fn open(&self) -> Result<()> {
        self.remove_namespace(&self.namespace).await?;
        self.restricted_namespace(&self.namespace).await?;
        self.secret("mirror-key", &[("apiKey", "key")]).await
    }

    /// Lets the namespace go. One of a scenario that failed stays, to be looked at.
    pub(crate) async fn close(&self) -> Result<()> {
        // Owned objects end with their mirrors; what is left goes with the namespace.
        self.cluster()
            .delete(kind("Namespace")?, "", &self.namespace)
            .await
    }

    /// A namespace that admits only pods of the restricted Pod Security Standard.
    pub(crate) async fn restricted_namespace(&self, name: &str) -> Result<()> {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let metadata = json!({"name": name, "labels": labels});
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        self.cluster().apply(&manifest).await?;
        Ok(())
    }

    /// Deletes a namespace and waits until it is gone.
    pub(crate) async fn remove_namespace(&self, name: &str) -> Result<()> {
        let namespaces = kind("Namespace")?;
        self.cluster().delete(namespaces, "", name).await?;
        eventually(format!("namespace {name} is gone"), async || {
            let there = self.cluster().get(namespaces, "", name).await?;
            ensure!(there.is_none(), "it is there");
            Ok(())
        })
        .await
    }

    /// Prints that something was seen to hold.
    pub(crate) fn claim(&self, what: impl Display) {
        println!("ok: {}: {what}", self.name);
    }

    /// Prints what there is beside a claim that does not hold.
    pub(crate) async fn describe(&self) {
        let own: [&[&str]; 2] = [&["get", "pmirror", "-o", "yaml"], &["get", "pods,events"]];
        for arguments in own {
            println!("{}", self.kubectl(arguments).await.unwrap_or_default());
        }
        for arguments in self.common.describe {
            let said = programs::run("kubectl", arguments).await;
            println!("{}", said.unwrap_or_default());
        }
    }

    /// kubectl in the scenario's namespace.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let all = [&["-n", self.namespace.as_str()], arguments].concat();
        programs::run("kubectl", &all).await
    }

    /// kubectl in the scenario's namespace, with a manifest to read.
    pub(crate) async fn kubectl_with(&self, arguments: &[&str], input: &Value) -> Result<String> {
        let all = [&["-n", self.namespace.as_str()], arguments].concat();
        programs::feed("kubectl", &all, &input.to_string()).await
    }

    /// Makes a Secret so.
    pub(crate) async fn secret(&self, name: &str, entries: &[(&str, &str)]) -> Result<()> {
        let entries = entries.iter().map(|&(key, value)| {
            let value = ByteString(value.as_bytes().to_owned());
            (key.to_owned(), json!(value))
        });
        self.keep("Secret", name, entries.collect()).await
    }

    /// Makes a ConfigMap so.
    pub(crate) async fn config_map(&self, name: &str, entries: &[(&str, &str)]) -> Result<()> {
        let entries = entries
            .iter()
            .map(|&(key, value)| (key.to_owned(), json!(value)));
        self.keep("ConfigMap", name, entries.collect()).await
    }

    async fn keep(&self, what: &str, name: &str, data: Map<String, Value>) -> Result<()> {
        let manifest = json!({
            "apiVersion": "v1", "kind": what,
            "metadata": {"name": name, "namespace": self.namespace},
            "data": data,
        });
        self.cluster().apply(&manifest).await?;
        Ok(())
    }

    /// Makes a mirror with this spec, or gives it this spec and nothing of the one before.
    pub(crate) async fn mirror(&self, name: &str, spec: &Value) -> Result<()> {
        let manifest = mirror(&self.namespace, name, spec);
        match self.cluster().get(MIRROR, &self.namespace, name).await? {
            Some(_) => self.cluster().replace(MIRROR, &manifest).await?,
            None => self.cluster().apply(&manifest).await?,
        };
        Ok(())
    }

    /// Merges a patch into the spec of a mirror.
    pub(crate) async fn change(&self, name: &str, spec: &Value) -> Result<()> {
        let patch = json!({ "spec": spec });
        self.merge("PrometheusMirror", name, &patch).await
    }

    /// Merges a patch into an object.
    pub(crate) async fn merge(&self, what: &str, name: &str, patch: &Value) -> Result<()> {
        self.cluster()
            .merge(kind(what)?, &self.namespace, name, patch)
            .await
    }

    /// An object, which must be there.
    pub(crate) async fn object(&self, what: &str, name: &str) -> Result<Value> {
        let found = self
            .cluster()
            .get(kind(what)?, &self.namespace, name)
            .await?;
        Ok(json!(
            found.with_context(|| format!("there is no {what} {name}"))?
        ))
    }

    /// Waits until an object is there.
    pub(crate) async fn appears(&self, what: &str, name: &str) -> Result<Duration> {
        timed(format!("there is {what} {name}"), async || {
            self.object(what, name).await
        })
        .await
    }

    /// Waits until no object has that name.
    pub(crate) async fn vanishes(&self, what: &str, name: &str) -> Result<Duration> {
        timed(format!("there is no {what} {name}"), async || {
            ensure!(!self.exists(what, name).await?, "it is there");
            Ok(())
        })
        .await
    }

    pub(crate) async fn exists(&self, what: &str, name: &str) -> Result<bool> {
        Ok(self
            .cluster()
            .get(kind(what)?, &self.namespace, name)
            .await?
            .is_some())
    }

    pub(crate) async fn delete(&self, what: &str, name: &str) -> Result<()> {
        self.cluster()
            .delete(kind(what)?, &self.namespace, name)
            .await
    }

    /// Objects with labels, whole.
    pub(crate) async fn objects(&self, what: &str, labels: &str) -> Result<Vec<Value>> {
        let said = self
            .kubectl(&["get", what, "-l", labels, "-o", "json"])
            .await?;
        let list: Value = serde_json::from_str(&said)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Names of objects with labels, in order, as `kind/name`.
    pub(crate) async fn names(&self, what: &str, labels: &str) -> Result<Vec<String>> {
        let said = self
            .kubectl(&["get", what, "-l", labels, "-o", "name"])
            .await?;
        let mut names: Vec<_> = said.lines().map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// The pods of a mirror.
    pub(crate) async fn pods(&self, mirror: &str) -> Result<Vec<String>> {
        self.names("pods", &pods_of(mirror)).await
    }

    /// Waits until a mirror has so many pods, those that are ending included.
    pub(crate) async fn has_pods(&self, mirror: &str, number: usize) -> Result<Vec<String>> {
        eventually(format!("{mirror} has {number} pods"), async || {
            let pods = self.pods(mirror).await?;
            ensure!(pods.len() == number, "pods: {}", pods.join(" "));
            Ok(pods)
        })
        .await
    }

    /// Waits until a mirror is ready.
    pub(crate) async fn ready(&self, name: &str) -> Result<Duration> {
        timed(format!("{name} is ready"), async || {
            let resource = self.object("PrometheusMirror", name).await?;
            ensure!(
                is_ready(&resource),
                "conditions: {}",
                resource["status"]["conditions"]
            );
            Ok(())
        })
        .await
    }

    /// Waits until a condition of a mirror begins with `state` and says all of `words`. Returns
    /// what it says.
    pub(crate) async fn becomes(
        &self,
        name: &str,
        type_: &str,
        state: &str,
        words: &[&str],
    ) -> Result<String> {
        eventually(format!("{name}: {type_} is {state}"), async || {
            let resource = self.object("PrometheusMirror", name).await?;
            let found = condition(&resource, type_);
            let found = found.with_context(|| format!("no {type_} of this generation"))?;
            let holds = found.state.starts_with(state)
                && words.iter().all(|word| found.message.contains(word));
            ensure!(holds, "{} {}", found.state, found.message);
            Ok(found.message)
        })
        .await
    }

    /// Waits for an event of this reason here, and returns what it says. The operator publishes
    /// events after it has written the status.
    pub(crate) async fn event(&self, reason: &str) -> Result<String> {
        let of = format!("--field-selector=reason={reason}");
        let message = "--output=jsonpath={.items[*].message}";
        eventually(format!("an event {reason}"), async || {
            let said = self.kubectl(&["get", "events", &of, message]).await?;
            ensure!(!said.is_empty(), "there is none");
            Ok(said)
        })
        .await
    }

    /// Waits until the operator has written nothing of this scenario's for so long: what it still
    /// had to say of the last change, such as an event, comes first.
    pub(crate) async fn writes_end(&self, quiet: Duration) -> Result<()> {
        let audit = &self.common.audit;
        eventually(format!("nothing is written for {quiet:?}"), async || {
            let since = audit.end()?;
            tokio::time::sleep(quiet).await;
            let writes = audit.writes_since(since, Some(&self.namespace))?;
            ensure!(writes.is_empty(), "written: {writes:?}");
            Ok(())
        })
        .await
    }

    /// The URL of a Service, by its cluster IP.
    pub(crate) async fn address(&self, service: &str) -> Result<String> {
        let spec = &self.object("Service", service).await?["spec"];
        let ip = spec["clusterIP"].as_str().context("no cluster IP")?;
        Ok(format!(
            "http://{}:{}",
            url_host(ip),
            spec["ports"][0]["port"]
        ))
    }

    /// The document that a mirror is given to serve.
    pub(crate) async fn document(&self, mirror: &str) -> Result<String> {
        let map = self
            .object("ConfigMap", &format!("{mirror}-mirror"))
            .await?;
        let document = map["data"]["mirror.yaml"].as_str();
        Ok(document.context("no document")?.to_owned())
    }
}
