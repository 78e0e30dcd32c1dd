//! The pods of a mirror, and which of them can be asked.

use crds::contract::{API_PORT_NUMBER, CONTAINER, SIDECAR_CONTAINER, labels};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ListParams};

use crate::cluster::Cluster;
use crate::list::since;
use crate::problem::{LIST_PODS, Problem};
use crate::table::age;

/// How a mirror runs in its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The mirror's name.
    pub name: String,
    /// Which pods are its.
    pub selector: String,
    /// The container in them.
    pub container: &'static str,
    /// The port of its API.
    pub port: u16,
}

impl Place {
    /// That of a mirror.
    #[must_use]
    pub fn of(mirror: &DynamicObject) -> Self {
        let name = mirror.name_any();
        let port = mirror.data["spec"]["port"].as_u64();
        let port = port.and_then(|port| u16::try_from(port).ok());
        let is_sidecar = mirror.data["spec"]["mode"] == "Sidecar";
        let (selector, container) = if is_sidecar {
            (format!("{}={name}", labels::INJECT), SIDECAR_CONTAINER)
        } else {
            let program = format!("{}={}", labels::NAME, labels::PROGRAM);
            (format!("{program},{}={name}", labels::INSTANCE), CONTAINER)
        };
        Self {
            name,
            selector,
            container,
            port: port.unwrap_or(API_PORT_NUMBER),
        }
    }

    /// Its pods, by their names.
    ///
    /// # Errors
    /// If the user may not list them.
    pub async fn pods(&self, cluster: &Cluster) -> Result<Vec<Seen>, Problem> {
        let params = ListParams::default().labels(&self.selector);
        let pods = cluster.pods().list(&params).await;
        let pods = pods.map_err(|error| Problem::of(&error, LIST_PODS, &cluster.namespace))?;
        let now = Timestamp::now();
        let mut pods: Vec<_> = pods.iter().map(|pod| self.seen(pod, now)).collect();
        pods.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(pods)
    }

    /// The pod to ask: the one that is named, or else a ready one.
    ///
    /// # Errors
    /// If there is none.
    pub async fn pod(&self, cluster: &Cluster, named: Option<&str>) -> Result<String, Problem> {
        let pods = self.pods(cluster).await?;
        self.chosen(&pods, named)
    }

    fn chosen(&self, pods: &[Seen], named: Option<&str>) -> Result<String, Problem> {
        let mut fitting = pods.iter().filter(|pod| match named {
            Some(name) => pod.name == name,
            None => pod.ready,
        });
        if let Some(pod) = fitting.next() {
            return Ok(pod.name.clone());
        }
        let states = pods
            .iter()
            .map(|pod| format!("{} is {}", pod.name, pod.state));
        let states: Vec<_> = states.collect();
        Err(Problem::NoPod {
            mirror: self.name.clone(),
            pods: match (states.is_empty(), named) {
                (true, _) => "there is none; kubectl pmirror status says why".to_owned(),
                (false, None) => states.join(", "),
                (false, Some(name)) => format!("there is no {name}; {}", states.join(", ")),
            },
        })
    }

    /// What a user wants to know of a pod.
    fn seen(&self, pod: &Pod, now: Timestamp) -> Seen {
        let status = pod.status.clone().unwrap_or_default();
        let containers = status.container_statuses.unwrap_or_default();
        let containers = containers
            .into_iter()
            .chain(status.init_container_statuses.unwrap_or_default());
        let mut own = containers.filter(|container| container.name == self.container);
        let own = own.next();
        let created = pod.metadata.creation_timestamp.as_ref();
        let ends = pod.metadata.deletion_timestamp.is_some();
        let state = if ends {
            "Terminating".to_owned()
        } else {
            let reason = own.as_ref().and_then(reason);
            let phase = || status.phase.clone().unwrap_or_else(|| "Unknown".to_owned());
            match &own {
                None if status.phase.as_deref() == Some("Running") => "without sidecar".to_owned(),
                _ => reason.unwrap_or_else(phase),
            }
        };
        Seen {
            name: pod.name_any(),
            ready: !ends && own.as_ref().is_some_and(|own| own.ready),
            restarts: own.as_ref().map_or(0, |own| own.restart_count),
            age: created.map_or_else(String::new, |time| age(since(time.0, now))),
            node: pod
                .spec
                .clone()
                .and_then(|spec| spec.node_name)
                .unwrap_or_default(),
            state,
        }
    }
}

/// What keeps a container from running.
fn reason(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    let waiting = state
        .waiting
        .as_ref()
        .and_then(|state| state.reason.clone());
    let ended = state
        .terminated
        .as_ref()
        .and_then(|state| state.reason.clone());
    waiting.or(ended)
}

/// A pod as a user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Whether its mirror is ready.
    pub ready: bool,
    /// How often its mirror was restarted.
    pub restarts: i32,
    /// How old it is.
    pub age: String,
    /// Where it runs.
    pub node: String,
    /// `Running`, or why not.
    pub state: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn place(spec: Value) -> Place {
        let mirror = json!({
            "apiVersion": crds::API_VERSION, "kind": crds::KIND,
            "metadata": {"name": "production"}, "spec": spec,
        });
        Place::of(&serde_json::from_value(mirror).unwrap())
    }

    fn seen(place: &Place, metadata: Value, status: Value) -> Seen {
        let pod = json!({"metadata": metadata, "spec": {"containers": [], "nodeName": "n"}, "status": status});
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        place.seen(&serde_json::from_value(pod).unwrap(), now)
    }

    fn container(name: &str, ready: bool, state: Value) -> Value {
        json!({"name": name, "ready": ready, "restartCount": 2, "image": "", "imageID": "", "state": state})
    }

    #[test]
    fn a_mirror_is_found_in_its_own_pods_or_beside_others() {
        let own = place(json!({}));
        assert_eq!(
            (own.selector.as_str(), own.container, own.port),
            (
                "app.kubernetes.io/name=prometheus-mirror,app.kubernetes.io/instance=production",
                "mirror",
                9900
            )
        );
        let beside = place(json!({"mode": "Sidecar", "port": 9950}));
        assert_eq!(
            (beside.selector.as_str(), beside.container, beside.port),
            (
                "prometheus-mirror.io/inject=production",
                "prometheus-mirror",
                9950
            )
        );
    }

    #[test]
    fn a_pod_is_what_its_mirror_is() {
        let (own, beside) = (place(json!({})), place(json!({"mode": "Sidecar"})));
        let created = json!({"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"});
        let ends = json!({"name": "p", "deletionTimestamp": "2026-01-01T00:04:00Z"});
        let runs = container("mirror", true, json!({"running": {}}));
        let crashes = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let crashes = container("mirror", false, crashes);
        let sidecar = container("prometheus-mirror", true, json!({"running": {}}));
        let of =
            |statuses: &str, container: &Value| json!({"phase": "Running", statuses: [container]});
        let table = [
            (
                &own,
                &created,
                of("containerStatuses", &runs),
                (true, 2, "Running"),
            ),
            (
                &own,
                &created,
                of("containerStatuses", &crashes),
                (false, 2, "CrashLoopBackOff"),
            ),
            (
                &own,
                &ends,
                of("containerStatuses", &runs),
                (false, 2, "Terminating"),
            ),
            (
                &own,
                &created,
                json!({"phase": "Pending"}),
                (false, 0, "Pending"),
            ),
            (
                &beside,
                &created,
                of("initContainerStatuses", &sidecar),
                (true, 2, "Running"),
            ),
            (
                &beside,
                &created,
                json!({"phase": "Running"}),
                (false, 0, "without sidecar"),
            ),
        ];
        for (place, metadata, status, expected) in table {
            let seen = seen(place, metadata.clone(), status.clone());
            let found = (seen.ready, seen.restarts, seen.state.as_str());
            assert_eq!(found, expected, "{status}");
        }
    }

    #[test]
    fn a_ready_pod_is_asked_or_the_one_that_is_named() {
        let place = place(json!({}));
        let pod = |name: &str, ready: bool, state: &str| Seen {
            name: name.to_owned(),
            ready,
            restarts: 0,
            age: String::new(),
            node: String::new(),
            state: state.to_owned(),
        };
        let pods = [pod("a", false, "Pending"), pod("b", true, "Running")];
        let chosen = |pods: &[Seen], named| {
            place
                .chosen(pods, named)
                .map_err(|problem| problem.to_string())
        };
        assert_eq!(chosen(&pods, None), Ok("b".to_owned()));
        assert_eq!(chosen(&pods, Some("a")), Ok("a".to_owned()));
        assert_eq!(
            chosen(&pods, Some("c")),
            Err(
                "no pod of production can be asked: there is no c; a is Pending, b is Running"
                    .to_owned()
            )
        );
        assert_eq!(
            chosen(&pods[..1], None),
            Err("no pod of production can be asked: a is Pending".to_owned())
        );
        assert_eq!(
            chosen(&[], None),
            Err(
                "no pod of production can be asked: there is none; kubectl pmirror status says why"
                    .to_owned()
            )
        );
    }
}
