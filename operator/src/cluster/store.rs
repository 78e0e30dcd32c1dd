//! The objects of one kind in memory. Each is found in one step, by its name and by its group: what
//! it belongs to, such as its controller. How many others there are makes no difference, and
//! nothing looks through all of them.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use kube::Resource;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;

/// An object as it is kept.
pub trait Kept: Send + Sync + 'static {
    /// Empty for a kind without namespaces.
    fn namespace(&self) -> &str;

    /// `metadata.name`.
    fn name(&self) -> &str;

    /// What it belongs to, in its namespace; none if nobody asks for that.
    fn group(&self) -> Option<&str>;
}

/// An object as a watch reports it, with all that kube looks at.
pub trait Watched: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static {
    /// What is kept of it.
    type Kept: Kept;

    /// What is kept of it.
    fn kept(&self) -> Self::Kept;
}

/// Objects by the hash of what they are found by. A bucket may also hold others of the same hash.
type Index<T> = HashMap<u64, Vec<Arc<T>>>;

/// The objects of a kind.
pub(super) struct Objects<T> {
    hasher: RandomState,
    by_name: Index<T>,
    by_group: Index<T>,
    /// While there is a list: the hashes of the names that it has named so far.
    listed: Option<HashSet<u64>>,
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            by_name: HashMap::new(),
            by_group: HashMap::new(),
            listed: None,
        }
    }
}

impl<T: Kept> Objects<T> {
    /// One object. Of a kind without namespaces, `namespace` is empty.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        let bucket = self.by_name.get(&self.hash(namespace, name))?;
        let mut bucket = bucket.iter();
        bucket.find(|object| is(object.as_ref(), namespace, name))
    }

    /// The objects of a group, in no order.
    pub(super) fn group<'a>(
        &'a self,
        namespace: &'a str,
        group: &'a str,
    ) -> impl Iterator<Item = &'a Arc<T>> {
        let bucket = self.by_group.get(&self.hash(namespace, group));
        let belongs = move |it: &&Arc<T>| it.namespace() == namespace && it.group() == Some(group);
        bucket.into_iter().flatten().filter(belongs)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Something changed. A list counts at once, object by object; what it has not named is gone at
    /// its end.
    pub(super) fn take_in<K: Watched<Kept = T>>(&mut self, event: &Event<K>) {
        match event {
            Event::Init => self.listed = Some(HashSet::new()),
            Event::InitApply(object) => {
                let hash = self.put(object.kept());
                self.listed.get_or_insert_default().insert(hash);
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let names = self.by_name.iter();
                // An object that is gone may have the hash of one that is there: once in more lists
                // than anybody makes.
                let gone = names.filter(|(hash, _)| !listed.contains(*hash));
                let gone: Vec<_> = gone.flat_map(|(_, bucket)| bucket).cloned().collect();
                for object in gone {
                    self.remove(object.namespace(), object.name());
                }
            }
            Event::Apply(object) => drop(self.put(object.kept())),
            Event::Delete(object) => {
                self.remove(namespace_of(object), name_of(object));
            }
        }
    }

    /// Puts an object in the place of the one with its name. Returns the hash of the name.
    fn put(&mut self, object: T) -> u64 {
        let object = Arc::new(object);
        let namespace = object.namespace();
        self.remove(namespace, object.name());
        let hash = self.hash(namespace, object.name());
        if let Some(group) = object.group() {
            let group = self.hash(namespace, group);
            add(&mut self.by_group, group, Arc::clone(&object));
        }
        add(&mut self.by_name, hash, object);
        hash
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        let hash = self.hash(namespace, name);
        let same = |object: &T| is(object, namespace, name);
        let Some(removed) = take(&mut self.by_name, hash, same) else {
            return;
        };
        // It may have moved to another group since, so what was there counts.
        if let Some(group) = removed.group() {
            let group = self.hash(namespace, group);
            take(&mut self.by_group, group, same);
        }
    }

    fn hash(&self, namespace: &str, of: &str) -> u64 {
        self.hasher.hash_one((namespace, of))
    }
}

fn add<T>(index: &mut Index<T>, hash: u64, object: Arc<T>) {
    // Most buckets have one.
    let bucket = index.entry(hash).or_insert_with(|| Vec::with_capacity(1));
    bucket.push(object);
}

fn take<T>(index: &mut Index<T>, hash: u64, is: impl Fn(&T) -> bool) -> Option<Arc<T>> {
    let bucket = index.get_mut(&hash)?;
    let at = bucket.iter().position(|object| is(object))?;
    let taken = bucket.swap_remove(at);
    if bucket.is_empty() {
        index.remove(&hash);
    }
    Some(taken)
}

fn is<T: Kept>(object: &T, namespace: &str, name: &str) -> bool {
    object.name() == name && object.namespace() == namespace
}

/// The name of an object that is kept as it is.
pub(super) fn name_of(object: &impl Resource) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

/// The namespace of an object that is kept as it is.
pub(super) fn namespace_of(object: &impl Resource) -> &str {
    object.meta().namespace.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
