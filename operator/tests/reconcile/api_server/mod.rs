//! An API server in memory: what the operator asks of one, and a record of every request.
//!
//! It stores what is applied, patched and deleted, serves watches, and can be told to fail. It
//! checks no schema and gives no rights: what an API server would refuse, a scenario lets it refuse
//! (see [`ApiServer::fails`]).

mod request;
mod store;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes};
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body as KubeBody;
use serde_json::{Value, json};

pub(crate) use self::request::{Asked, Verb};
use self::store::{Change, Key, Store};

/// Where the kinds of policies are listed.
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";

/// A running API server. It ends with the last client.
#[derive(Clone, Default)]
pub(crate) struct ApiServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    store: Store,
    watches: Vec<Watch>,
    asked: Vec<Asked>,
    failures: Vec<Failure>,
    /// What admission policies make of objects of a resource.
    rewrites: Vec<(String, Rewrite)>,
    /// Resources whose API is not installed.
    absent: BTreeSet<String>,
    /// Lists that a watch is to follow.
    listed: usize,
    /// How many objects lists and watches have answered with.
    sent: usize,
}

struct Watch {
    asked: Asked,
    events: UnboundedSender<Result<Bytes, std::convert::Infallible>>,
}

/// What requests of one kind are answered with.
struct Failure {
    request: String,
    times: usize,
    answer: Refusal,
}

/// What an admission policy makes of an object.
type Rewrite = fn(&mut Value);

/// An answer that is not 2xx.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    code: u16,
    reason: String,
    message: String,
}

impl Refusal {
    /// With the words of the API server.
    pub(crate) fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    fn not_found(what: &str) -> Self {
        Self::new(404, "NotFound", format!("{what} not found"))
    }

    fn conflict(message: &str) -> Self {
        Self::new(409, "Conflict", message)
    }
}

impl ApiServer {
    /// A client whose requests end here.
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<KubeBody>| {
            let server = server.clone();
            async move { server.answer(request).await }
        });
        Client::new(service, "default")
    }

    /// Puts an object there, or another state of it, as somebody other than the operator does.
    pub(crate) fn put(&self, object: Value) {
        let mut state = self.lock();
        let change = state.store.put(Key::of(&object), object);
        state.publish(change);
    }

    /// Changes an object that is there.
    pub(crate) fn edit(&self, what: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = self.get(what).unwrap_or_else(|| panic!("no {what}"));
        edit(&mut object);
        self.put(object);
    }

    /// Takes an object away, and what it controls.
    pub(crate) fn remove(&self, what: &str) {
        let mut state = self.lock();
        for change in state.store.remove(what) {
            state.publish(Some(change));
        }
    }

    /// An object by `resource/name`.
    pub(crate) fn get(&self, what: &str) -> Option<Value> {
        self.lock().store.named(what)
    }

    /// All objects of these resources, in order.
    pub(crate) fn all(&self, resources: &[&str]) -> Vec<Value> {
        let state = self.lock();
        let of = |resource: &&str| state.store.of(resource).cloned().collect::<Vec<_>>();
        resources.iter().flat_map(of).collect()
    }

    /// The next so many requests that begin so, such as `apply services/shop`, are refused.
    pub(crate) fn fails(&self, request: &str, times: usize, answer: Refusal) {
        self.lock().failures.push(Failure {
            request: request.to_owned(),
            times,
            answer,
        });
    }

    /// All requests that begin so are refused until [`ApiServer::works_again`].
    pub(crate) fn always_fails(&self, request: &str, answer: Refusal) {
        self.fails(request, usize::MAX, answer);
    }

    /// From now on an admission policy changes the objects of a resource when they are applied.
    pub(crate) fn rewrites(&self, resource: &str, rewrite: Rewrite) {
        self.lock().rewrites.push((resource.to_owned(), rewrite));
    }

    /// No request is refused any more.
    pub(crate) fn works_again(&self) {
        self.lock().failures.clear();
    }

    /// The API of a resource is not installed.
    pub(crate) fn lacks(&self, resource: &str) {
        self.lock().absent.insert(resource.to_owned());
    }

    /// The kinds of the group that has the policies that add sidecars. Discovery, which everybody
    /// may ask; it is not counted among the requests.
    fn policies(&self) -> Response<Body> {
        let mut kinds = vec!["mutatingwebhookconfigurations", "mutatingadmissionpolicies"];
        kinds.retain(|kind| !self.lock().absent.contains(*kind));
        let kinds: Vec<_> = kinds
            .into_iter()
            .map(|name| json!({"name": name, "singularName": "", "namespaced": false, "kind": "K", "verbs": ["list"]}))
            .collect();
        let list = json!({
            "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": "admissionregistration.k8s.io/v1", "resources": kinds,
        });
        json_answer(StatusCode::OK, &list)
    }

    /// The requests since the last call, without those of the watches.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.lock().asked)
    }

    /// How many objects its lists and watches have answered with; none while a list waits for its
    /// watch.
    pub(crate) fn sent(&self) -> Option<usize> {
        let state = self.lock();
        (state.listed == 0).then_some(state.sent)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<KubeBody>) -> Result<Response<Body>, kube::Error> {
        let (head, body) = request.into_parts();
        if head.uri.path() == POLICIES {
            return Ok(self.policies());
        }
        let asked = Asked::parse(&head, &body.collect_bytes().await?);
        let mut state = self.lock();
        if asked.verb != Verb::Watch && !asked.is_list_to_watch() {
            state.asked.push(asked.clone());
        }
        Ok(match state.answer(&asked) {
            Ok(Answer::Object(object)) => json_answer(StatusCode::OK, &object),
            Ok(Answer::Stream(events)) => Response::new(events),
            Err(refusal) => {
                let code = StatusCode::from_u16(refusal.code).unwrap_or_default();
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": refusal.message, "reason": refusal.reason, "code": refusal.code,
                });
                json_answer(code, &status)
            }
        })
    }
}

enum Answer {
    Object(Value),
    Stream(Body),
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
}

impl State {
    fn answer(&mut self, asked: &Asked) -> Result<Answer, Refusal> {
        if self.absent.contains(&asked.resource) {
            return Err(Refusal::new(404, "NotFound", "404 page not found"));
        }
        let text = asked.to_string();
        let failure = self.failures.iter_mut().find(|failure| {
            failure.times > 0 && (text.starts_with(&failure.request) || failure.request.is_empty())
        });
        if let Some(failure) = failure {
            failure.times -= 1;
            return Err(failure.answer.clone());
        }
        let key = Key::asked(asked);
        let object = match asked.verb {
            Verb::Watch => return Ok(Answer::Stream(self.watch(asked))),
            Verb::List => self.list(asked),
            Verb::Get => self
                .store
                .get(&key)
                .cloned()
                .ok_or_else(|| Refusal::not_found(&text))?,
            Verb::Create if asked.subresource.as_deref() == Some("eviction") => {
                let there = self.store.get(&key);
                let there = there.ok_or_else(|| Refusal::not_found(&text))?;
                let uid = &asked.body["deleteOptions"]["preconditions"]["uid"];
                if *uid != there["metadata"]["uid"] {
                    return Err(Refusal::conflict("Precondition failed: UID"));
                }
                let mut ending = there.clone();
                ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                let change = self.store.put(key, ending);
                self.publish(change);
                json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})
            }
            Verb::Create => {
                let change = self.store.put(key.clone(), asked.body.clone());
                self.publish(change);
                asked.body.clone()
            }
            Verb::Apply | Verb::Merge => {
                let rewrites = self.rewrites.iter();
                let rewrites = rewrites.filter(|(of, _)| *of == asked.resource);
                let rewrite = |object: &mut Value| {
                    rewrites.clone().for_each(|(_, rewrite)| rewrite(object));
                };
                let (object, change) = match asked.verb {
                    Verb::Apply => self.store.apply(&key, asked, rewrite)?,
                    _ => self.store.merge(&key, asked)?,
                };
                if asked.dry_run {
                    return Ok(Answer::Object(object));
                }
                self.publish(change);
                self.store.get(&key).cloned().unwrap_or_default()
            }
            Verb::Delete => {
                let there = self
                    .store
                    .get(&key)
                    .ok_or_else(|| Refusal::not_found(&text))?;
                let uid = &asked.body["preconditions"]["uid"];
                if !uid.is_null() && *uid != there["metadata"]["uid"] {
                    return Err(Refusal::conflict("Precondition failed: UID"));
                }
                for change in self.store.remove(&key.to_string()) {
                    self.publish(Some(change));
                }
                json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})
            }
        };
        Ok(Answer::Object(object))
    }

    fn list(&mut self, asked: &Asked) -> Value {
        let items: Vec<_> = self
            .store
            .of(&asked.resource)
            .filter(|object| asked.selects(object))
            .cloned()
            .collect();
        if asked.is_list_to_watch() {
            self.listed += 1;
            self.sent += items.len();
        }
        json!({
            "apiVersion": "v1", "kind": "List",
            "metadata": {"resourceVersion": self.store.version().to_string()},
            "items": items,
        })
    }

    /// What changed since the version that a watch names, and what changes from now on.
    fn watch(&mut self, asked: &Asked) -> Body {
        let (events, changes) = unbounded();
        let watch = Watch {
            asked: asked.clone(),
            events,
        };
        self.listed = self.listed.saturating_sub(1);
        let earlier = self
            .store
            .since(asked.version)
            .filter_map(|change| watch.send(change));
        self.sent += earlier.count();
        self.watches.push(watch);
        Body::from_stream(changes)
    }

    fn publish(&mut self, change: Option<Change>) {
        let Some(change) = change else { return };
        self.watches.retain(|watch| !watch.events.is_closed());
        let told = self.watches.iter().filter_map(|watch| watch.send(&change));
        self.sent += told.count();
    }
}

impl Watch {
    /// Sends an event, if the change concerns this watch and it is there still.
    fn send(&self, change: &Change) -> Option<()> {
        let selected = |object: &Option<Value>| {
            let mut object = object.iter();
            object.any(|object| self.asked.selects(object))
        };
        if change.resource != self.asked.resource {
            return None;
        }
        let (event, object) = match (selected(&change.before), selected(&change.after)) {
            (false, false) => return None,
            (false, true) => ("ADDED", &change.after),
            (true, true) => ("MODIFIED", &change.after),
            (true, false) => ("DELETED", &change.before),
        };
        let mut object = object.clone()?;
        object["metadata"]["resourceVersion"] = json!(change.version.to_string());
        let line = format!("{}\n", json!({"type": event, "object": object}));
        self.events.unbounded_send(Ok(line.into())).ok()
    }
}
