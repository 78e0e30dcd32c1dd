//! Step 4: makes the cluster hold what was built. The only code that writes children.
//!
//! Server-side apply with one field manager: fields of others (an autoscaler's replicas, an
//! injected sidecar, annotations) stay. A child is written only if it differs, see `decide`; an
//! object of somebody else is never touched: a child is created under the condition that nothing
//! has its name, see `ABSENT` there.

mod advice;
mod decide;
mod difference;
mod ingress_rules;
mod misfit;
mod overruled;
mod replicas;
mod write;

use std::collections::BTreeSet;
use std::time::Instant;

use kube::api::DynamicObject;
use kube::{Client, ResourceExt as _};
use serde_json::json;

use self::decide::{Decision, stamped, wanted};
pub use self::difference::Difference;
use self::difference::differences;
use self::overruled::is_same;
pub use self::overruled::{By, Contested, Overruled};
use self::write::Writer;
use super::begun;
use super::build::{Built, Child};
use super::validate::ValidatedMirror;
use crate::cluster::answer::words;
use crate::cluster::caches::Caches;
use crate::cluster::kind::Kind;
use crate::cluster::owner::owned_by;
use crate::cluster::references::NamespacedName;
use crate::cluster::watched::{Cache, NOT_INSTALLED};
use crate::cluster::written::{Change, ObjectName, Written};

/// What applying came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What was written.
    pub written: Vec<Written>,
    /// What could not be created because something else has its name.
    pub taken: Vec<ObjectName>,
    /// What could not be created yet: an earlier resource's child of that name is about to go.
    pub leaving: Vec<ObjectName>,
    /// What could not be created because its kind is not available, and why.
    pub missing: Vec<(ObjectName, String)>,
    /// What something else sets to other values than the operator does.
    pub overruled: Vec<Overruled>,
}

/// Why applying failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server will never take this; the spec must change.
    #[error("{object}: {message}")]
    Refused {
        /// The child.
        object: ObjectName,
        /// What the API server said.
        message: String,
    },
    /// A policy, a webhook or a quota of the cluster is against this.
    #[error("{object}: {message}")]
    Denied {
        /// The child.
        object: ObjectName,
        /// Who denied it, and why.
        message: String,
    },
    /// The resource has been deleted, and the cache has not heard yet.
    #[error("the resource is gone")]
    Gone,
    /// The resource itself could not be read; another try may work.
    #[error("cannot write children of {name}: {}", words(source))]
    Resource {
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// A request about a child failed; another try may work.
    #[error("cannot write {object}: {}", words(source))]
    Failed {
        /// The child.
        object: ObjectName,
        /// Why.
        source: kube::Error,
    },
}

/// Creates and updates what was `built`, and deletes what belongs to the resource and is not part
/// of it.
///
/// A `new` resource most likely has no children yet, so they are created without reading first.
///
/// # Errors
/// At the first request that fails.
pub async fn apply(
    client: &Client,
    caches: &Caches,
    contested: &Contested,
    mirror: &ValidatedMirror,
    built: &Built,
    new: bool,
) -> Result<Applied, Error> {
    let step = Apply {
        contested,
        writer: Writer {
            client,
            caches,
            mirror,
            configuration: &built.document.configuration,
        },
        new,
    };
    let children = &built.children;
    let mut applied = Applied::default();
    let writes = step.plan(children, &mut applied).await?;
    step.check(&writes).await?;
    for (child, decision) in writes {
        match step.writer.write(&child, decision).await {
            Ok(done) => {
                if let Decision::Update { uid: Some(uid) } = &done {
                    let of = (mirror.namespace.clone(), mirror.name.clone());
                    contested.note_applied(&of, &child, uid);
                }
                applied.note(&child, &done);
            }
            // It was there when its watch began. The cache does not hear that a kind is gone.
            Err(error) if error.is_absent_api() => {
                applied
                    .missing
                    .push((child.object(), NOT_INSTALLED.to_owned()));
            }
            Err(error) => return Err(error),
        }
    }
    step.delete_unwanted(children, &mut applied).await?;
    Ok(applied)
}

/// Whether a child is to be applied once more.
enum Again {
    /// It is.
    Write,
    /// It would be in vain.
    Overruled(Overruled),
    /// The cache is behind: what differs may be as it should be.
    NotYet,
}

/// What applying a child would do to it.
enum Effect {
    /// It would leave the object as it is.
    None,
    /// It would change the object.
    Change,
    /// It would change an object that the cache does not know yet.
    Unknown,
}

struct Apply<'a> {
    writer: Writer<'a>,
    contested: &'a Contested,
    new: bool,
}

impl Apply<'_> {
    /// What is to be written. Children that are not written are noted.
    async fn plan(
        &self,
        children: &[Child],
        applied: &mut Applied,
    ) -> Result<Vec<(Child, Decision)>, Error> {
        let mut writes = Vec::new();
        for child in children {
            let cache = self.writer.caches.children.get(&child.kind);
            if let Some(why) = cache.and_then(Cache::unavailable) {
                applied.missing.push((child.object(), why));
                continue;
            }
            let mut child = stamped(child.clone());
            let there = self.writer.cached(&child).await?;
            if child.kind == Kind::Ingress
                && let Some(there) = &there
                && owned_by(there, &self.writer.mirror.uid)
            {
                ingress_rules::keep(&mut child.manifest, there);
            }
            if child.kind == Kind::Deployment
                && let Some(there) = &there
            {
                begun::keep(&mut child.manifest, there);
            }
            match self.decide(&child, there.as_ref()).await? {
                decision @ Decision::Create => writes.push((child, decision)),
                decision @ Decision::Update { .. } => {
                    match self.again(&child, there.as_ref(), &decision).await? {
                        Again::Write => writes.push((child, decision)),
                        Again::Overruled(overruled) => applied.overruled.push(overruled),
                        Again::NotYet => {}
                    }
                }
                other => applied.note(&child, &other),
            }
        }
        Ok(writes)
    }

    /// What is to be done for a child, of which the cache has `there`.
    async fn decide(
        &self,
        child: &Child,
        there: Option<&DynamicObject>,
    ) -> Result<Decision, Error> {
        if let Some(there) = there {
            return Ok(decide::decide(child, there, &self.writer.mirror.uid));
        }
        // The cache holds only what carries our label, and may be a moment behind.
        if self.new {
            return Ok(Decision::Create);
        }
        self.writer.read(child).await
    }

    /// Whether a child that differs from what was applied is to be applied again.
    async fn again(
        &self,
        child: &Child,
        there: Option<&DynamicObject>,
        decision: &Decision,
    ) -> Result<Again, Error> {
        let Some(there) = there else {
            return Ok(Again::Write);
        };
        let mirror = self.writer.mirror;
        let of = (mirror.namespace.clone(), mirror.name.clone());
        if !self.contested.was_applied(&of, child, there) {
            return Ok(Again::Write);
        }
        let fields = differences(&json!(there), &wanted(child));
        let by = match self.effect(child, decision, &of, there).await? {
            Effect::None => By::Admission,
            Effect::Unknown => return Ok(Again::NotYet),
            Effect::Change => {
                let now = Instant::now();
                if !self.contested.is_in_vain(&of, there, &fields, now) {
                    return Ok(Again::Write);
                }
                match self.contested.by(&of, there) {
                    Some(by) => by,
                    None => {
                        let by = self.writer.last_manager(child, &fields).await?;
                        self.contested.note(&of, there, &by);
                        by
                    }
                }
            }
        };
        let object = child.object();
        Ok(Again::Overruled(Overruled { object, fields, by }))
    }

    /// What applying a child would do to it. A dry run goes through admission like a write.
    async fn effect(
        &self,
        child: &Child,
        decision: &Decision,
        of: &NamespacedName,
        there: &DynamicObject,
    ) -> Result<Effect, Error> {
        if self.contested.is_settled(of, child, there) {
            return Ok(Effect::None);
        }
        let Some(answer) = self.writer.patch(child, decision, true).await? else {
            return Ok(Effect::Change);
        };
        if is_same(&answer, there) {
            self.contested.settle(of, child, there);
            return Ok(Effect::None);
        }
        // A dry run answers with the version that there is. The object as the cache has it may be
        // that from before the operator's own write: its watch broke off. To apply what belongs to
        // that one would take back what was done since. What the cache hears next leads here again.
        let versions = (answer.resource_version(), there.resource_version());
        Ok(match versions {
            (Some(is), Some(was)) if is != was => Effect::Unknown,
            _ => Effect::Change,
        })
    }

    /// Finds out before the first write whether there is a reason to write nothing at all.
    async fn check(&self, writes: &[(Child, Decision)]) -> Result<(), Error> {
        let creates = |(_, decision): &(Child, Decision)| *decision == Decision::Create;
        // The deletion of children may be heard of before that of the resource: each kind has a
        // watch of its own. Children of a new resource that is gone again are removed by the
        // garbage collector.
        if !self.new && writes.iter().any(creates) && !self.writer.resource_exists().await? {
            return Err(Error::Gone);
        }
        // A pod template that the API server refuses must leave the other children as they are.
        for (child, decision) in writes {
            let creates = *decision == Decision::Create;
            if child.kind != Kind::Deployment || creates && !self.shapes_pods() {
                continue;
            }
            match self.writer.patch(child, decision, true).await {
                // Reported when its turn comes.
                Err(error) if creates && error.is_conflict() => {}
                checked => drop(checked?),
            }
        }
        Ok(())
    }

    /// Whether the spec says something of pods that only the API server can judge.
    fn shapes_pods(&self) -> bool {
        let spec = &self.writer.mirror.spec;
        spec.pod_template.is_some()
            || !spec.pod_template_remove.is_empty()
            || spec.resources.is_some()
    }

    async fn delete_unwanted(
        &self,
        children: &[Child],
        applied: &mut Applied,
    ) -> Result<(), Error> {
        let names = children.iter();
        let wanted: BTreeSet<_> = names.map(|child| (child.kind, child.name())).collect();
        for (object, uid) in self.writer.unwanted(&wanted) {
            if self.writer.delete(&object, uid).await? {
                let change = Change::Deleted;
                applied.written.push(Written { change, object });
            }
        }
        Ok(())
    }
}

impl Error {
    /// Whether the API server does not know the kind. That an object or its namespace does not
    /// exist is said in other words.
    fn is_absent_api(&self) -> bool {
        matches!(self, Self::Failed { source: kube::Error::Api(status), .. }
            if status.code == 404 && status.message.trim_end() == "404 page not found")
    }

    /// Whether something exists under the name of what was to be created.
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Failed { source: kube::Error::Api(status), .. } if status.code == 409)
    }
}

impl Applied {
    /// Notes what was done with a child.
    fn note(&mut self, child: &Child, decision: &Decision) {
        let object = child.object();
        let change = match decision {
            Decision::Nothing => return,
            Decision::Taken => return self.taken.push(object),
            Decision::Leaving => return self.leaving.push(object),
            Decision::Create => Change::Created,
            Decision::Update { .. } => Change::Updated,
        };
        self.written.push(Written { change, object });
    }
}
