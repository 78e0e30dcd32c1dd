//! All pods of a cluster, and what they mount.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crds::contract::{Readiness, TargetReachability};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};

use crate::process::{Loaded, Process, load};
use crate::volume::{self, Files, Objects, Source};

/// On a pod: the names of the targets that it cannot reach, with commas between them.
pub const UNREACHABLE_ANNOTATION: &str = "fake-pods/unreachable";

type NamespacedName = (String, String);

/// What is known of the cluster.
#[derive(Default)]
pub struct World(Mutex<Known>);

#[derive(Default)]
struct Known {
    config_maps: Objects,
    secrets: Objects,
    pods: HashMap<NamespacedName, FakePod>,
    by_address: HashMap<IpAddr, NamespacedName>,
    /// What pods of a mirror share is loaded once.
    loaded: HashMap<u64, Weak<Option<Loaded>>>,
    /// What a new list has named so far.
    listed: [HashSet<NamespacedName>; 3],
}

struct FakePod {
    address: IpAddr,
    sources: Vec<Source>,
    unreachable: BTreeSet<String>,
    process: Process,
    /// What it saw last.
    seen: Option<Arc<Option<Loaded>>>,
}

#[derive(Clone, Copy)]
enum Watch {
    Pods,
    ConfigMaps,
    Secrets,
}

/// What an event is for whoever keeps objects.
enum Change<K> {
    Is(NamespacedName, K),
    Gone(Vec<NamespacedName>),
}

impl World {
    /// What the pod with this address answers to `/readyz`; none if there is no such pod.
    #[must_use]
    pub fn readiness(&self, address: IpAddr) -> Option<Readiness> {
        let known = self.lock();
        Some(known.at(address)?.process.readiness())
    }

    /// What the pod with this address answers to `/targets`; none if there is no such pod or it
    /// serves nothing yet.
    #[must_use]
    pub fn targets(&self, address: IpAddr) -> Option<Vec<TargetReachability>> {
        let known = self.lock();
        let pod = known.at(address)?;
        pod.process.readiness().document?;
        let targets = pod.process.targets().iter();
        let reached = targets.map(|name| {
            let reachable = !pod.unreachable.contains(name);
            TargetReachability {
                name: name.clone(),
                reachable: Some(reachable),
                version: None,
                message: (!reachable).then(|| "simulated: unreachable".to_owned()),
                notices: Vec::new(),
                servers: Vec::new(),
            }
        });
        Some(reached.collect())
    }

    /// A change of a pod.
    pub fn pod(&self, event: Event<Pod>) {
        let mut known = self.lock();
        match known.change(Watch::Pods, event) {
            Some(Change::Is(name, pod)) => known.pod_is(name, &pod),
            Some(Change::Gone(names)) => names.iter().for_each(|name| known.pod_is_gone(name)),
            None => {}
        }
    }

    /// A change of a ConfigMap.
    pub fn config_map(&self, event: Event<ConfigMap>) {
        let mut known = self.lock();
        let change = known.change(Watch::ConfigMaps, event);
        known.object(Watch::ConfigMaps, change, |object| {
            let text = object.data.into_iter().flatten();
            let binary = object.binary_data.into_iter().flatten();
            text.map(|(key, value)| (key, value.into_bytes()))
                .chain(binary.map(|(key, value)| (key, value.0)))
                .collect()
        });
    }

    /// A change of a Secret.
    pub fn secret(&self, event: Event<Secret>) {
        let mut known = self.lock();
        let change = known.change(Watch::Secrets, event);
        known.object(Watch::Secrets, change, |object| {
            let data = object.data.into_iter().flatten();
            data.map(|(key, value)| (key, value.0)).collect()
        });
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn at(&self, address: IpAddr) -> Option<&FakePod> {
        self.pods.get(self.by_address.get(&address)?)
    }

    /// An event as a change. After a watch broke off, a new list tells what is there, and not what
    /// went.
    fn change<K: Resource>(&mut self, watch: Watch, event: Event<K>) -> Option<Change<K>> {
        let name = |object: &K| (object.namespace().unwrap_or_default(), object.name_any());
        let listed = &mut self.listed[watch as usize];
        match event {
            Event::Init => {
                listed.clear();
                None
            }
            Event::InitApply(object) => {
                listed.insert(name(&object));
                Some(Change::Is(name(&object), object))
            }
            Event::InitDone => {
                let listed = std::mem::take(listed);
                let mut names: Vec<_> = match watch {
                    Watch::Pods => self.pods.keys().cloned().collect(),
                    Watch::ConfigMaps => self.config_maps.keys().cloned().collect(),
                    Watch::Secrets => self.secrets.keys().cloned().collect(),
                };
                names.retain(|name| !listed.contains(name));
                Some(Change::Gone(names))
            }
            Event::Apply(object) => Some(Change::Is(name(&object), object)),
            Event::Delete(object) => Some(Change::Gone(vec![name(&object)])),
        }
    }

    fn pod_is(&mut self, name: NamespacedName, pod: &Pod) {
        let status = pod.status.as_ref();
        let address = status.and_then(|status| status.pod_ip.as_ref()?.parse().ok());
        let Some(address) = address else {
            return self.pod_is_gone(&name);
        };
        if let Some(before) = self.pods.get(&name)
            && before.address != address
        {
            // A pod of the same name after this one.
            self.pod_is_gone(&name);
        }
        let unreachable = pod.annotations().get(UNREACHABLE_ANNOTATION);
        let unreachable = unreachable.into_iter().flat_map(|names| names.split(','));
        let unreachable = unreachable.map(|name| name.trim().to_owned()).collect();
        self.by_address.insert(address, name.clone());
        let kept = self.pods.entry(name.clone()).or_insert_with(|| FakePod {
            address,
            sources: volume::sources(pod),
            unreachable: BTreeSet::new(),
            process: Process::default(),
            seen: None,
        });
        kept.unreachable = unreachable;
        self.look(&name);
    }

    fn pod_is_gone(&mut self, name: &NamespacedName) {
        if let Some(pod) = self.pods.remove(name) {
            // The address may be another pod's by now.
            if self.by_address.get(&pod.address) == Some(name) {
                self.by_address.remove(&pod.address);
            }
        }
    }

    fn object<K>(&mut self, watch: Watch, change: Option<Change<K>>, files: impl Fn(K) -> Files) {
        let secret = matches!(watch, Watch::Secrets);
        let objects = if secret {
            &mut self.secrets
        } else {
            &mut self.config_maps
        };
        // What went stays in the pods' volumes.
        let (namespace, name) = match change {
            Some(Change::Is(at, object)) => {
                objects.insert(at.clone(), files(object));
                at
            }
            Some(Change::Gone(names)) => {
                for name in names {
                    objects.remove(&name);
                }
                return;
            }
            None => return,
        };
        let mounting = self.pods.iter().filter(|(pod, kept)| {
            let mut sources = kept.sources.iter();
            pod.0 == namespace
                && sources.any(|source| source.secret == secret && source.name == name)
        });
        let mounting: Vec<_> = mounting.map(|(pod, _)| pod.clone()).collect();
        for pod in &mounting {
            self.look(pod);
        }
    }

    /// A pod looks at its volume.
    fn look(&mut self, name: &NamespacedName) {
        let Some(pod) = self.pods.get(name) else {
            return;
        };
        let files = volume::files(&name.0, &pod.sources, &self.config_maps, &self.secrets);
        let Some(files) = files else {
            return;
        };
        let found = self.load(&files);
        if let Some(pod) = self.pods.get_mut(name)
            && !pod
                .seen
                .as_ref()
                .is_some_and(|seen| Arc::ptr_eq(seen, &found))
        {
            pod.process.sees(found.as_ref().as_ref());
            pod.seen = Some(found);
        }
    }

    fn load(&mut self, files: &Files) -> Arc<Option<Loaded>> {
        let mut hasher = DefaultHasher::new();
        files.hash(&mut hasher);
        let key = hasher.finish();
        if let Some(loaded) = self.loaded.get(&key).and_then(Weak::upgrade) {
            return loaded;
        }
        self.loaded.retain(|_, loaded| loaded.strong_count() > 0);
        let loaded = Arc::new(load(files).ok());
        self.loaded.insert(key, Arc::downgrade(&loaded));
        loaded
    }
}
