//! The objects of one kind in memory. Each is found in one step, by its name and by its group: what
//! it belongs to, such as its controller. How many others there are makes no difference, and
//! nothing looks through all of them.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::api::PartialObjectMeta;
use kube::core::ObjectMeta;
use kube::runtime::watcher::Event;

/// An object that is kept.
pub trait Stored: Resource + Clone {
    /// What it belongs to, in its namespace; none if nobody asks for that.
    fn group(&self) -> Option<&str>;

    /// As it is kept: without what only a change is asked for.
    #[must_use]
    fn kept(&self) -> Self {
        self.clone()
    }
}

impl<K> Stored for PartialObjectMeta<K>
where
    Self: Resource + Clone,
{
    fn group(&self) -> Option<&str> {
        controller(&self.metadata)
    }

    fn kept(&self) -> Self {
        let mut kept = self.clone();
        // What kind it is, the store knows.
        kept.types = None;
        only_controller(&mut kept.metadata);
        kept
    }
}

/// The uid of an object's controller.
pub(super) fn controller(metadata: &ObjectMeta) -> Option<&str> {
    let mut owners = metadata.owner_references.iter().flatten();
    let controller = owners.find(|owner| owner.controller == Some(true))?;
    Some(&controller.uid)
}

/// Of an object's owners, leaves the uid of the controller.
pub(super) fn only_controller(metadata: &mut ObjectMeta) {
    metadata.owner_references = controller(metadata).map(|uid| {
        vec![OwnerReference {
            controller: Some(true),
            uid: uid.to_owned(),
            ..OwnerReference::default()
        }]
    });
}

/// Objects by the hash of what they are found by. A bucket may also hold others of the same hash.
type Index<K> = HashMap<u64, Vec<Arc<K>>>;

/// The objects of a kind.
pub struct Objects<K> {
    hasher: RandomState,
    by_name: Index<K>,
    by_group: Index<K>,
    /// While there is a list: the hashes of the names that it has named so far.
    listed: Option<HashSet<u64>>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            by_name: HashMap::new(),
            by_group: HashMap::new(),
            listed: None,
        }
    }
}

impl<K: Stored> Objects<K> {
    /// One object. Of a kind without namespaces, `namespace` is empty.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<K>> {
        let bucket = self.by_name.get(&self.hash(namespace, name))?;
        bucket
            .iter()
            .find(|object| is(object.as_ref(), namespace, name))
    }

    /// The objects of a group.
    pub fn group<'a>(
        &'a self,
        namespace: &'a str,
        group: &'a str,
    ) -> impl Iterator<Item = &'a Arc<K>> {
        let bucket = self.by_group.get(&self.hash(namespace, group));
        let belongs = move |object: &&Arc<K>| {
            namespace_of(object.as_ref()) == namespace && object.group() == Some(group)
        };
        bucket.into_iter().flatten().filter(belongs)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Something changed. A list counts at once, object by object; what it has not named is gone at
    /// its end.
    pub fn take_in(&mut self, event: &Event<K>) {
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
                    self.remove(object.as_ref());
                }
            }
            Event::Apply(object) => drop(self.put(object.kept())),
            Event::Delete(object) => self.remove(object),
        }
    }

    /// Puts an object in the place of the one with its name. Returns the hash of the name.
    fn put(&mut self, object: K) -> u64 {
        self.remove(&object);
        let object = Arc::new(object);
        let namespace = namespace_of(object.as_ref());
        let hash = self.hash(namespace, name_of(object.as_ref()));
        if let Some(group) = object.group() {
            let group = self.hash(namespace, group);
            add(&mut self.by_group, group, Arc::clone(&object));
        }
        add(&mut self.by_name, hash, object);
        hash
    }

    /// Removes the object with the name of this one.
    fn remove(&mut self, like: &K) {
        let (namespace, name) = (namespace_of(like), name_of(like));
        let hash = self.hash(namespace, name);
        let same = |object: &K| is(object, namespace, name);
        let Some(removed) = take(&mut self.by_name, hash, same) else {
            return;
        };
        if let Some(group) = removed.group() {
            let group = self.hash(namespace, group);
            take(&mut self.by_group, group, same);
        }
    }

    fn hash(&self, namespace: &str, of: &str) -> u64 {
        self.hasher.hash_one((namespace, of))
    }
}

fn add<K>(index: &mut Index<K>, hash: u64, object: Arc<K>) {
    // Most buckets have one.
    let bucket = index.entry(hash).or_insert_with(|| Vec::with_capacity(1));
    bucket.push(object);
}

fn take<K>(index: &mut Index<K>, hash: u64, is: impl Fn(&K) -> bool) -> Option<Arc<K>> {
    let bucket = index.get_mut(&hash)?;
    let at = bucket.iter().position(|object| is(object))?;
    let taken = bucket.swap_remove(at);
    if bucket.is_empty() {
        index.remove(&hash);
    }
    Some(taken)
}

fn is<K: Resource>(object: &K, namespace: &str, name: &str) -> bool {
    name_of(object) == name && namespace_of(object) == namespace
}

fn name_of<K: Resource>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

fn namespace_of<K: Resource>(object: &K) -> &str {
    object.meta().namespace.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::core::NamespaceResourceScope;

    use super::*;

    /// An object that counts how often it is looked at.
    #[derive(Clone, Debug)]
    struct Counting {
        metadata: ObjectMeta,
        group: Option<String>,
        looks: Arc<AtomicUsize>,
    }

    impl Stored for Counting {
        fn group(&self) -> Option<&str> {
            self.group.as_deref()
        }
    }

    impl Resource for Counting {
        type DynamicType = ();
        type Scope = NamespaceResourceScope;

        fn kind(_: &()) -> Cow<'_, str> {
            "Counting".into()
        }

        fn group(_: &()) -> Cow<'_, str> {
            "".into()
        }

        fn version(_: &()) -> Cow<'_, str> {
            "v1".into()
        }

        fn plural(_: &()) -> Cow<'_, str> {
            "countings".into()
        }

        fn meta(&self) -> &ObjectMeta {
            self.looks.fetch_add(1, Ordering::Relaxed);
            &self.metadata
        }

        fn meta_mut(&mut self) -> &mut ObjectMeta {
            &mut self.metadata
        }
    }

    fn object(namespace: &str, name: &str, group: &str) -> Counting {
        Counting {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            group: Some(group.to_owned()).filter(|group| !group.is_empty()),
            looks: Arc::default(),
        }
    }

    fn names(objects: &Objects<Counting>, namespace: &str, group: &str) -> Vec<String> {
        let found = objects.group(namespace, group);
        let mut names: Vec<_> = found.filter_map(|it| it.metadata.name.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_object_is_found_by_its_name_and_by_its_present_group() {
        let mut objects = Objects::default();
        for (namespace, name, group) in [("n", "a", "x"), ("n", "b", "x"), ("m", "c", "x")] {
            objects.take_in(&Event::Apply(object(namespace, name, group)));
        }
        assert_eq!(names(&objects, "n", "x"), ["a", "b"]);
        assert!(objects.get("n", "a").is_some() && objects.get("m", "a").is_none());
        objects.take_in(&Event::Apply(object("n", "a", "y")));
        objects.take_in(&Event::Delete(object("n", "b", "")));
        assert_eq!(names(&objects, "n", "x"), [""; 0]);
        assert_eq!(names(&objects, "n", "y"), ["a"]);
        objects.take_in(&Event::Delete(object("n", "a", "x")));
        objects.take_in(&Event::Delete(object("m", "c", "x")));
        assert!(objects.is_empty() && objects.by_group.is_empty());
    }

    #[test]
    fn what_a_new_list_does_not_name_is_gone_at_its_end() {
        let mut objects = Objects::default();
        objects.take_in(&Event::Apply(object("n", "a", "x")));
        objects.take_in(&Event::Apply(object("n", "b", "x")));
        let mut there = Vec::new();
        for event in [
            Event::Init,
            Event::InitApply(object("n", "d", "x")),
            // The list broke off, and begins again.
            Event::Init,
            Event::InitApply(object("n", "b", "x")),
            Event::InitApply(object("n", "c", "x")),
            Event::InitDone,
        ] {
            objects.take_in(&event);
            there.push(names(&objects, "n", "x").concat());
        }
        assert_eq!(there, ["ab", "abd", "abd", "abd", "abcd", "bc"]);
    }

    #[test]
    fn steps_of_a_lookup_do_not_grow_with_other_objects() {
        let steps = |others: usize| {
            let looks = Arc::new(AtomicUsize::new(0));
            let mut objects = Objects::default();
            for number in 0..others {
                let group = format!("g{number}");
                for name in ["a", "b"] {
                    let mut object = object("n", &format!("{name}{number}"), &group);
                    object.looks = Arc::clone(&looks);
                    objects.take_in(&Event::Apply(object));
                }
            }
            looks.store(0, Ordering::Relaxed);
            assert!(objects.get("n", "a7").is_some());
            assert_eq!(objects.group("n", "g7").count(), 2);
            objects.take_in(&Event::Apply(object("n", "a7", "g8")));
            looks.load(Ordering::Relaxed)
        };
        assert_eq!(steps(10), steps(1_000));
    }
}
