//! The objects of one kind that the operator watches, and whether they can be watched at all.
//!
//! A kind may be absent (its API is not installed) or forbidden. Its watch then goes on trying, at
//! a slow pace, and the cache says why it is empty.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::Resource;
use kube::api::Api;
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::backoff::Patience;
use super::store::{Kept, Objects, Watched};

/// Why there is nothing of a kind whose API is absent.
pub const NOT_INSTALLED: &str = "its API is not installed in this cluster";

/// Whether the objects of a kind can be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// The first list has not arrived, but so many failures.
    Unknown(u32),
    /// The store holds what there is.
    Available,
    /// Why there is nothing in the store.
    Unavailable(String),
}

/// A stream of what changed.
pub type Changes<K> = BoxStream<'static, Result<K, watcher::Error>>;

/// The objects of a kind.
pub struct Cache<T> {
    objects: Arc<RwLock<Objects<T>>>,
    availability: watch::Receiver<Availability>,
}

impl<T: Kept> Cache<T> {
    /// Starts nothing: the cache fills while the stream is polled. The stream's items are the
    /// objects that changed or went.
    pub(super) fn watch<K>(
        api: Api<K>,
        config: watcher::Config,
        resource: &K::DynamicType,
        strip: impl FnMut(&mut K) + Send + 'static,
    ) -> (Self, Changes<K>)
    where
        K: Watched<Kept = T>,
    {
        let objects = Arc::new(RwLock::new(Objects::default()));
        let (known, availability) = watch::channel(Availability::Unknown(0));
        let cache = Self {
            objects: Arc::clone(&objects),
            availability,
        };
        let take_in = move |event: &watcher::Event<K>| {
            let objects = objects.write();
            let mut objects = objects.unwrap_or_else(PoisonError::into_inner);
            objects.take_in(event);
        };
        (cache, changes(api, config, resource, strip, take_in, known))
    }

    /// One object. Of a kind without namespaces, `namespace` is empty.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.read().get(namespace, name).cloned()
    }

    /// The objects that belong to the same, in no order: see [`Kept::group`].
    #[must_use]
    pub(super) fn of(&self, namespace: &str, group: &str) -> Vec<Arc<T>> {
        self.read().group(namespace, group).cloned().collect()
    }

    /// Why nothing can be known of what is in it, if that is so.
    #[must_use]
    pub fn unavailable(&self) -> Option<String> {
        match &*self.availability.borrow() {
            Availability::Unavailable(why) => Some(why.clone()),
            Availability::Unknown(_) => Some("the API server fails to list it".to_owned()),
            Availability::Available => None,
        }
    }

    /// The same, if there never was anything in it.
    #[must_use]
    pub fn never_seen(&self) -> Option<String> {
        self.unavailable().filter(|_| self.read().is_empty())
    }

    /// Waits until it is known what there is, or that nothing can be known, or lists have failed
    /// too often.
    pub async fn settled(&self, patience: u32) {
        let open =
            |known: &Availability| matches!(known, Availability::Unknown(n) if *n < patience);
        let mut availability = self.availability.clone();
        // The sender lives as long as the watch, and the watch as long as the controller.
        let _ = availability.wait_for(|known| !open(known)).await;
    }

    fn read(&self) -> RwLockReadGuard<'_, Objects<T>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same watch for kube's own store, in which its controller looks for what it reconciles;
/// `noted` sees every event after it.
pub(super) fn reflect<K>(
    api: Api<K>,
    config: watcher::Config,
    resource: &K::DynamicType,
    strip: impl FnMut(&mut K) + Send + 'static,
    noted: impl Fn(&watcher::Event<K>) + Send + 'static,
) -> (Store<K>, Changes<K>)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Hash + Eq + Clone + Send + Sync,
{
    let mut writer = Writer::<K>::new(resource.clone());
    let store = writer.as_reader();
    let take_in = move |event: &watcher::Event<K>| {
        writer.apply_watcher_event(event);
        noted(event);
    };
    let (known, _) = watch::channel(Availability::Unknown(0));
    (store, changes(api, config, resource, strip, take_in, known))
}

/// The objects that changed or went. Whoever hears of one, or from `known` that a list is complete,
/// finds it taken in.
fn changes<K>(
    api: Api<K>,
    config: watcher::Config,
    resource: &K::DynamicType,
    mut strip: impl FnMut(&mut K) + Send + 'static,
    mut take_in: impl FnMut(&watcher::Event<K>) + Send + 'static,
    known: watch::Sender<Availability>,
) -> Changes<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let kind = K::kind(resource).into_owned();
    watcher(api, config)
        .backoff(Patience::default())
        .modify(move |object| {
            object.meta_mut().managed_fields = None;
            strip(object);
        })
        .inspect_ok(move |event| take_in(event))
        .inspect(move |event| note(event.as_ref(), &kind, &known))
        .touched_objects()
        // An error is noted above and slows this watch down, not those of the other kinds.
        .filter(|object| std::future::ready(object.is_ok()))
        .boxed()
}

fn note<K>(
    event: Result<&watcher::Event<K>, &watcher::Error>,
    kind: &str,
    known: &watch::Sender<Availability>,
) {
    match event {
        Ok(watcher::Event::InitDone) => {
            let before = known.send_replace(Availability::Available);
            if matches!(before, Availability::Unavailable(_)) {
                tracing::info!(kind, "the API is there now");
            }
        }
        Ok(_) => {}
        Err(error) => match refusal(error) {
            Some(why) => {
                let now = Availability::Unavailable(why.clone());
                if known.send_replace(now.clone()) != now {
                    tracing::warn!(
                        kind,
                        why,
                        "cannot be watched, trying again from time to time"
                    );
                }
            }
            None => {
                tracing::debug!(kind, %error, "the watch broke off, trying again");
                let answered = matches!(
                    error,
                    watcher::Error::InitialListFailed(kube::Error::Api(_))
                );
                known.send_if_modified(|known| match known {
                    Availability::Unknown(failures) if answered => {
                        *failures = failures.saturating_add(1);
                        true
                    }
                    _ => false,
                });
            }
        },
    }
}

/// Why the API server will not let this kind be listed, if it said so. A watch that is refused
/// after that says nothing: an API server that has just started refuses everything for a moment,
/// and what was listed stays known.
fn refusal(error: &watcher::Error) -> Option<String> {
    let watcher::Error::InitialListFailed(kube::Error::Api(status)) = error else {
        return None;
    };
    match status.code {
        404 | 405 => Some(NOT_INSTALLED.to_owned()),
        401 | 403 => Some(format!(
            "the operator has no right to it: {}",
            status.message
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_unavailable_when_its_list_is_refused_but_not_when_a_later_watch_is() {
        let (known, seen) = watch::channel(Availability::Unknown(0));
        let note = |event: Result<watcher::Event<()>, watcher::Error>| {
            note(event.as_ref(), "Ingress", &known);
            seen.borrow().clone()
        };
        let refused = || {
            kube::Error::Api(
                kube::core::Status::failure("no", "Forbidden")
                    .with_code(403)
                    .boxed(),
            )
        };
        let gone = || {
            kube::Error::Api(
                kube::core::Status::failure("no", "NotFound")
                    .with_code(404)
                    .boxed(),
            )
        };
        let broken = || {
            kube::Error::Api(
                kube::core::Status::failure("no", "x")
                    .with_code(500)
                    .boxed(),
            )
        };
        let unavailable = |why: &str| Availability::Unavailable(why.to_owned());
        let states = [
            note(Ok(watcher::Event::Init)),
            note(Err(watcher::Error::NoResourceVersion)),
            note(Err(watcher::Error::InitialListFailed(broken()))),
            note(Err(watcher::Error::InitialListFailed(broken()))),
            note(Err(watcher::Error::InitialListFailed(gone()))),
            note(Err(watcher::Error::InitialListFailed(refused()))),
            note(Ok(watcher::Event::InitDone)),
            note(Err(watcher::Error::WatchStartFailed(refused()))),
        ];
        assert_eq!(
            states,
            [
                Availability::Unknown(0),
                Availability::Unknown(0),
                Availability::Unknown(1),
                Availability::Unknown(2),
                unavailable("its API is not installed in this cluster"),
                unavailable("the operator has no right to it: no"),
                Availability::Available,
                Availability::Available,
            ]
        );
    }
}
