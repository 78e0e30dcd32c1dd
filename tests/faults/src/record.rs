//! What the operator asked of the API server, in order.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::kubernetes::{ApiRequest, Verb};

/// One request of an operator.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it came.
    pub at: Instant,
    /// Whose it was.
    pub replica: usize,
    /// What it asked.
    pub request: ApiRequest,
    /// What the API server answered; none if it was never asked or has not answered.
    pub answered: Option<u16>,
}

/// How often an object was made and removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lives {
    /// Applied where there was none.
    pub creates: usize,
    /// Deleted by the operator.
    pub deletes: usize,
}

/// All requests since the beginning.
#[derive(Default)]
pub struct Record(Mutex<Vec<Entry>>);

impl Record {
    /// Notes a request and returns its number.
    pub fn begin(&self, replica: usize, request: ApiRequest) -> usize {
        let mut entries = self.lock();
        entries.push(Entry {
            at: Instant::now(),
            replica,
            request,
            answered: None,
        });
        entries.len() - 1
    }

    /// Notes the API server's answer to it.
    pub fn answered(&self, number: usize, code: u16) {
        if let Some(entry) = self.lock().get_mut(number) {
            entry.answered = Some(code);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those from `number` on.
    #[must_use]
    pub fn since(&self, number: usize) -> Vec<Entry> {
        self.lock().get(number..).unwrap_or_default().to_vec()
    }

    /// How long ago the operator last wrote; none if never.
    #[must_use]
    pub fn quiet_for(&self) -> Option<Duration> {
        let entries = self.lock();
        let last = entries.iter().rev().find(|entry| entry.request.is_write());
        last.map(|entry| entry.at.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writes among some requests.
#[must_use]
pub fn writes(entries: &[Entry]) -> Vec<&Entry> {
    entries
        .iter()
        .filter(|entry| entry.request.is_write())
        .collect()
}

/// What some requests did to children, object by object. Pods are the Deployment's, and events
/// nobody's.
#[must_use]
pub fn lives(entries: &[Entry]) -> BTreeMap<String, Lives> {
    let mut lives = BTreeMap::<String, Lives>::new();
    for entry in writes(entries) {
        let request = &entry.request;
        if request.is_event() || request.resource == "pods" {
            continue;
        }
        let object = format!(
            "{} {}",
            request.resource,
            request.name.as_deref().unwrap_or_default()
        );
        match (request.verb, entry.answered) {
            // Server-side apply answers 201 where there was nothing.
            (Verb::Create | Verb::Patch, Some(201)) => {
                lives.entry(object).or_default().creates += 1;
            }
            (Verb::Delete, Some(200..=202)) => lives.entry(object).or_default().deletes += 1,
            _ => {}
        }
    }
    lives
}

/// The most often that the same was asked within a second.
#[must_use]
pub fn busiest_second(entries: &[Entry]) -> (usize, String) {
    let mut asked = BTreeMap::<String, Vec<Instant>>::new();
    for entry in entries {
        let key = entry.request.to_string();
        asked.entry(key).or_default().push(entry.at);
    }
    let busiest = asked.into_iter().map(|(request, times)| {
        let within = |from: &Instant| {
            times
                .iter()
                .filter(|at| *at >= from && at.duration_since(*from) < Duration::from_secs(1))
                .count()
        };
        (times.iter().map(within).max().unwrap_or_default(), request)
    });
    busiest.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn creates_and_deletes_are_told_by_what_the_api_server_answered() {
        let record = Record::default();
        let ask = |method: Method, uri: &str, code: Option<u16>| {
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            let number = record.begin(0, ApiRequest::parse(&method, path, query));
            if let Some(code) = code {
                record.answered(number, code);
            }
        };
        let (service, claim) = (
            "/api/v1/namespaces/n/services/s",
            "/apis/apps/v1/namespaces/n/deployments/d",
        );
        ask(Method::PATCH, service, Some(201));
        ask(Method::PATCH, service, Some(200));
        ask(Method::DELETE, service, Some(200));
        ask(Method::DELETE, service, Some(404));
        ask(Method::PATCH, service, None);
        ask(Method::PATCH, &format!("{claim}?dryRun=All"), Some(201));
        ask(Method::PATCH, claim, Some(201));
        let expected = [
            (
                "deployments d",
                Lives {
                    creates: 1,
                    deletes: 0,
                },
            ),
            (
                "services s",
                Lives {
                    creates: 1,
                    deletes: 1,
                },
            ),
        ];
        let expected = expected.map(|(object, lives)| (object.to_owned(), lives));
        assert_eq!(lives(&record.since(0)), BTreeMap::from(expected));
        assert_eq!(
            busiest_second(&record.since(0)),
            (3, "Patch services s".to_owned())
        );
    }
}
