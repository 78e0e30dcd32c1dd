//! Sends events to the API server. One that is repeated soon becomes a series of the first: its
//! count goes up.
//!
//! Of an event that was sent only what a series needs is remembered, and for a while: kube's own
//! recorder keeps all of it, and looks through all of them for each event.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crds::contract::OPERATOR;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as Sent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType};
use serde_json::json;

/// So long after the last of them, the same event belongs to the series.
const SERIES: Duration = Duration::from_secs(360);

/// So many events are remembered at most, twice: the younger and the older half.
const MOST: usize = 4096;

/// Sends events. Clones remember the same.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    /// Which of the operator's replicas this is.
    instance: String,
    remembered: Arc<Mutex<Remembered>>,
}

/// What makes events the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Same {
    uid: Box<str>,
    reason: Box<str>,
    action: Box<str>,
    is_warning: bool,
}

/// An event that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Series {
    name: Box<str>,
    count: i32,
    last: Instant,
}

/// In two generations, so that what is old goes without a look at each. The first is younger.
#[derive(Debug)]
struct Remembered {
    generations: [HashMap<Same, Series>; 2],
    begun: Instant,
}

impl Remembered {
    fn new(now: Instant) -> Self {
        Self {
            generations: Default::default(),
            begun: now,
        }
    }

    /// Takes out the series that an event belongs to.
    fn take(&mut self, same: &Same, now: Instant) -> Option<Series> {
        let found = self.generations.iter_mut().find_map(|all| all.remove(same));
        found.filter(|series| now.saturating_duration_since(series.last) < SERIES)
    }

    fn put(&mut self, same: Same, series: Series, now: Instant) {
        let age = now.saturating_duration_since(self.begun);
        if age >= SERIES || self.generations[0].len() >= MOST {
            self.generations[1] = std::mem::take(&mut self.generations[0]);
            self.begun = now;
        }
        self.generations[0].insert(same, series);
    }
}

impl Recorder {
    /// `client` should belong to a leader.
    #[must_use]
    pub fn new(client: Client, instance: String) -> Self {
        let remembered = Arc::new(Mutex::new(Remembered::new(Instant::now())));
        Self {
            client,
            instance,
            remembered,
        }
    }

    /// Sends an event about a resource.
    ///
    /// # Errors
    /// If the API server does not take it.
    pub async fn publish(&self, event: &Event, about: &ObjectReference) -> kube::Result<()> {
        let same = Same {
            uid: about.uid.as_deref().unwrap_or_default().into(),
            reason: event.reason.as_str().into(),
            action: event.action.as_str().into(),
            is_warning: matches!(event.type_, EventType::Warning),
        };
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let api: Api<Sent> = Api::namespaced(self.client.clone(), namespace);
        let before = self.lock().take(&same, Instant::now());
        let continued = match before {
            Some(series) => continue_series(&api, series).await?,
            None => None,
        };
        let series = match continued {
            Some(series) => series,
            None => self.begin(&api, event, about).await?,
        };
        let now = series.last;
        self.lock().put(same, series, now);
        Ok(())
    }

    async fn begin(
        &self,
        api: &Api<Sent>,
        event: &Event,
        about: &ObjectReference,
    ) -> kube::Result<Series> {
        let now = Timestamp::now();
        let resource = about.name.as_deref().unwrap_or(OPERATOR);
        let name = format!("{resource}.{:x}", now.as_nanosecond());
        let sent = Sent {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: about.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some(event.action.clone()),
            reason: Some(event.reason.clone()),
            note: event.note.clone(),
            type_: Some(kind(event.type_).to_owned()),
            event_time: Some(MicroTime(now)),
            regarding: Some(about.clone()),
            related: event.secondary.clone(),
            reporting_controller: Some(OPERATOR.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Sent::default()
        };
        api.create(&PostParams::default(), &sent).await?;
        Ok(Series {
            name: name.into(),
            count: 1,
            last: Instant::now(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds one to a series; none if the API server does not have the first event any more.
async fn continue_series(api: &Api<Sent>, series: Series) -> kube::Result<Option<Series>> {
    let count = series.count.saturating_add(1);
    let now = MicroTime(Timestamp::now());
    let patch = Patch::Merge(json!({"series": {"count": count, "lastObservedTime": now}}));
    match api
        .patch(&series.name, &PatchParams::default(), &patch)
        .await
    {
        Ok(_) => Ok(Some(Series {
            count,
            last: Instant::now(),
            ..series
        })),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

const fn kind(type_: EventType) -> &'static str {
    match type_ {
        EventType::Normal => "Normal",
        EventType::Warning => "Warning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(uid: &str) -> Same {
        Same {
            uid: uid.into(),
            reason: "Created".into(),
            action: "Apply".into(),
            is_warning: false,
        }
    }

    #[test]
    fn a_series_ends_some_minutes_after_its_last_event() {
        let start = Instant::now();
        let mut remembered = Remembered::new(start);
        let series = |last: Instant| Series {
            name: "e".into(),
            count: 1,
            last,
        };
        remembered.put(same("a"), series(start), start);
        assert_eq!(remembered.take(&same("b"), start), None);
        let late = start + SERIES - Duration::from_secs(1);
        let found = remembered.take(&same("a"), late);
        assert_eq!(found, Some(series(start)));
        remembered.put(same("a"), series(late), late);
        // In the older half by now.
        remembered.put(same("b"), series(start + SERIES), start + SERIES);
        assert_eq!(remembered.take(&same("a"), late + SERIES), None);
    }

    #[test]
    fn however_many_resources_there_are_few_events_are_remembered() {
        let now = Instant::now();
        let mut remembered = Remembered::new(now);
        for number in 0..5 * MOST {
            let series = Series {
                name: "e".into(),
                count: 1,
                last: now,
            };
            remembered.put(same(&number.to_string()), series, now);
        }
        let kept: usize = remembered.generations.iter().map(HashMap::len).sum();
        assert_eq!(kept, 2 * MOST);
    }
}
