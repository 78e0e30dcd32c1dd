use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::Pod;
use kube::core::ObjectMeta;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

static LOOKS: AtomicUsize = AtomicUsize::new(0);

/// An object whose group is its label, and that counts how often such an object is looked at.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = Pod)]
struct Labelled {
    metadata: ObjectMeta,
}

struct Counting {
    name: String,
    group: Option<String>,
}

impl Kept for Counting {
    fn namespace(&self) -> &str {
        "n"
    }

    fn name(&self) -> &str {
        LOOKS.fetch_add(1, Ordering::Relaxed);
        &self.name
    }

    fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }
}

impl Watched for Labelled {
    type Kept = Counting;

    fn kept(&self) -> Counting {
        let mut labels = self.metadata.labels.iter().flatten();
        Counting {
            name: self.metadata.name.clone().unwrap_or_default(),
            group: labels.next().map(|(_, group)| group.clone()),
        }
    }
}

fn object(name: &str, group: Option<&str>) -> Labelled {
    let label = group.map(|group| [("group".to_owned(), group.to_owned())].into());
    Labelled {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("n".to_owned()),
            labels: label,
            ..ObjectMeta::default()
        },
    }
}

fn names<'a>(objects: impl Iterator<Item = &'a Arc<Counting>>) -> Vec<String> {
    let mut names: Vec<_> = objects.map(|object| object.name.clone()).collect();
    names.sort();
    names
}

fn in_group(objects: &Objects<Counting>, group: &str) -> Vec<String> {
    names(objects.group("n", group))
}

#[test]
fn an_object_is_found_in_the_group_that_it_belongs_to_now() {
    let mut objects = Objects::default();
    objects.take_in(&Event::Apply(object("a", Some("x"))));
    objects.take_in(&Event::Apply(object("b", Some("x"))));
    assert_eq!(in_group(&objects, "x"), ["a", "b"]);
    assert!(objects.get("n", "a").is_some() && objects.get("m", "a").is_none());
    assert_eq!(objects.group("m", "x").count(), 0);
    objects.take_in(&Event::Apply(object("a", Some("y"))));
    // As it was deleted, it belongs to nothing any more.
    objects.take_in(&Event::Delete(object("b", None)));
    assert_eq!(in_group(&objects, "x"), [""; 0]);
    assert_eq!(in_group(&objects, "y"), ["a"]);
    objects.take_in(&Event::Delete(object("a", Some("x"))));
    assert!(objects.is_empty() && objects.by_group.is_empty());
}

#[test]
fn what_a_new_list_does_not_name_is_gone_at_its_end() {
    let mut objects = Objects::default();
    objects.take_in(&Event::Apply(object("a", Some("x"))));
    objects.take_in(&Event::Apply(object("b", Some("x"))));
    let events = [
        Event::Init,
        Event::InitApply(object("d", Some("x"))),
        // The list broke off, and begins again.
        Event::Init,
        Event::InitApply(object("b", Some("x"))),
        Event::InitApply(object("c", Some("x"))),
        Event::InitDone,
    ];
    let there = events.map(|event| {
        objects.take_in(&event);
        in_group(&objects, "x").concat()
    });
    assert_eq!(there, ["ab", "abd", "abd", "abd", "abcd", "bc"]);
}

#[test]
fn steps_of_a_lookup_do_not_grow_with_other_objects() {
    let steps = |others: usize| {
        let mut objects = Objects::default();
        for number in 0..others {
            let group = format!("g{number}");
            for name in ["a", "b"] {
                let name = format!("{name}{number}");
                objects.take_in(&Event::Apply(object(&name, Some(&group))));
            }
        }
        let before = LOOKS.load(Ordering::Relaxed);
        assert!(objects.get("n", "a7").is_some());
        assert_eq!(objects.group("n", "g7").count(), 2);
        objects.take_in(&Event::Apply(object("a7", Some("g8"))));
        LOOKS.load(Ordering::Relaxed) - before
    };
    // Other tests may look at the same time.
    let least = |others: usize| (0..20).map(|_| steps(others)).min();
    assert_eq!(least(10), least(1_000));
}

proptest! {
    #[test]
    fn whatever_is_reported_the_groups_are_those_of_the_objects(
        events in prop::collection::vec((0..5_u8, 0..4_u8, prop::option::of(0..3_u8)), 0..40),
    ) {
        let mut objects = Objects::default();
        for (kind, name, group) in events {
            let group = group.map(|group| group.to_string());
            let object = object(&name.to_string(), group.as_deref());
            objects.take_in(&match kind {
                0 => Event::Apply(object),
                1 => Event::Delete(object),
                2 => Event::Init,
                3 => Event::InitApply(object),
                _ => Event::InitDone,
            });
            for group in ["0", "1", "2"] {
                let all = objects.by_name.values().flatten();
                let walked = names(all.filter(|it| it.group() == Some(group)));
                prop_assert_eq!(in_group(&objects, group), walked);
            }
        }
    }
}
