//! Watches on their way to the operator: line by line, cut, or with events held back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// An event that does not come is let go after so long.
const PATIENCE: Duration = Duration::from_secs(8);

/// Holds back an event until the one that cancels it.
#[derive(Clone, Debug)]
pub struct Withhold {
    /// Plural.
    pub resource: &'static str,
    /// Of the object.
    pub name: String,
    /// It is let go together with the event of the same object that comes so many after it.
    pub until: usize,
}

/// How watches end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Between two events, as the API server itself does from time to time.
    Cleanly,
    /// The connection breaks in the middle of a line.
    InALine,
    /// The API server says that it has forgotten what happened since.
    Expired,
}

/// What is done to all watches.
pub struct Watches {
    cuts: watch::Sender<Option<(u64, Cut)>>,
    withheld: Mutex<Vec<Withhold>>,
    delayed_until: Mutex<Option<Instant>>,
}

impl Default for Watches {
    fn default() -> Self {
        Self {
            cuts: watch::Sender::new(None),
            withheld: Mutex::default(),
            delayed_until: Mutex::default(),
        }
    }
}

/// What the operator's connection gets.
pub type Line = Result<Bytes, std::io::Error>;

impl Watches {
    /// Ends all that are open. Returns how many there were.
    pub fn cut(&self, how: Cut) -> usize {
        self.cuts.send_modify(|cut| {
            *cut = Some((cut.map_or(0, |(number, _)| number) + 1, how));
        });
        self.cuts.receiver_count()
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.cuts.receiver_count()
    }

    /// Holds back the next event of an object, once.
    pub fn withhold(&self, withhold: Withhold) {
        lock(&self.withheld).push(withhold);
    }

    /// How many are still to be held back.
    #[must_use]
    pub fn to_withhold(&self) -> usize {
        lock(&self.withheld).len()
    }

    /// Watches that begin from now on hear nothing for so long.
    pub fn delay(&self, time: Duration) {
        *lock(&self.delayed_until) = Some(Instant::now() + time);
    }

    /// When a watch that begins now may be asked for.
    #[must_use]
    pub fn begins(&self) -> Option<Instant> {
        *lock(&self.delayed_until)
    }

    /// Hands the lines of `upstream` on until either side ends or they are cut.
    pub async fn pump(
        &self,
        resource: &str,
        mut upstream: impl futures::Stream<Item = reqwest::Result<Bytes>> + Unpin,
        operator: mpsc::Sender<Line>,
    ) {
        let mut cuts = self.cuts.subscribe();
        cuts.mark_unchanged();
        let mut lines = Lines::default();
        let mut held: Option<Held> = None;
        loop {
            let patience = held.as_ref().map_or_else(
                || Instant::now() + Duration::from_secs(3600),
                |held| held.since + PATIENCE,
            );
            let chunk = tokio::select! {
                chunk = upstream.next() => chunk,
                _ = cuts.changed() => {
                    let how = cuts.borrow().map(|(_, how)| how);
                    return end(how, &operator).await;
                }
                () = operator.closed() => return,
                () = tokio::time::sleep_until(patience) => {
                    for line in held.take().map(|held| held.lines).unwrap_or_default() {
                        if operator.send(Ok(line)).await.is_err() {
                            return;
                        }
                    }
                    continue;
                }
            };
            let Some(Ok(chunk)) = chunk else {
                return;
            };
            for line in lines.add(&chunk) {
                for line in self.held_back(resource, line, &mut held) {
                    if operator.send(Ok(line)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// What may go on now that `line` has come.
    fn held_back(&self, resource: &str, line: Bytes, held: &mut Option<Held>) -> Vec<Bytes> {
        let name = object_name(&line);
        if let Some(holding) = held {
            holding.lines.push(line);
            if name.as_deref() == Some(&holding.name) {
                holding.to_come -= 1;
            }
            return match holding.to_come {
                0 => held.take().map(|held| held.lines).unwrap_or_default(),
                _ => vec![],
            };
        }
        let mut withheld = lock(&self.withheld);
        let found = withheld
            .iter()
            .position(|rule| rule.resource == resource && Some(&rule.name) == name.as_ref());
        let Some(found) = found else {
            return vec![line];
        };
        let rule = withheld.remove(found);
        *held = Some(Held {
            name: rule.name,
            to_come: rule.until,
            lines: vec![line],
            since: Instant::now(),
        });
        vec![]
    }
}

struct Held {
    name: String,
    to_come: usize,
    lines: Vec<Bytes>,
    since: Instant,
}

async fn end(how: Option<Cut>, operator: &mpsc::Sender<Line>) {
    // A connection that is gone already cannot be cut any more.
    let last = match how {
        None | Some(Cut::Cleanly) => return,
        Some(Cut::InALine) => {
            let _ = operator
                .send(Ok(Bytes::from_static(b"{\"type\":\"MODI")))
                .await;
            Err(std::io::Error::other("cut by the plan"))
        }
        Some(Cut::Expired) => Ok(expired()),
    };
    let _ = operator.send(last).await;
}

/// The event that says that a version is too old.
#[must_use]
pub fn expired() -> Bytes {
    let event = serde_json::json!({
        "type": "ERROR",
        "object": {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version: 1 (2)", "reason": "Expired", "code": 410,
        },
    });
    Bytes::from(format!("{event}\n"))
}

fn object_name(line: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(line).ok()?;
    event["object"]["metadata"]["name"]
        .as_str()
        .map(str::to_owned)
}

/// Bytes to lines, each with its end.
#[derive(Default)]
struct Lines(BytesMut);

impl Lines {
    fn add(&mut self, chunk: &[u8]) -> Vec<Bytes> {
        self.0.extend_from_slice(chunk);
        let mut lines = Vec::new();
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            lines.push(self.0.split_to(end + 1).freeze());
        }
        lines
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, number: u32) -> Bytes {
        let event = serde_json::json!({"object": {"metadata": {"name": name}}, "number": number});
        Bytes::from(format!("{event}\n"))
    }

    #[test]
    fn an_event_and_what_follows_it_wait_for_the_one_that_cancels_it() {
        let watches = Watches::default();
        watches.withhold(Withhold {
            resource: "services",
            name: "a".to_owned(),
            until: 1,
        });
        let mut held = None;
        let mut passed =
            |resource: &str, line: &Bytes| watches.held_back(resource, line.clone(), &mut held);
        let events = [event("a", 1), event("b", 2), event("a", 3), event("a", 4)];
        assert_eq!(passed("pods", &events[0]), [events[0].clone()]);
        assert!(passed("services", &events[0]).is_empty());
        assert!(passed("services", &events[1]).is_empty());
        assert_eq!(passed("services", &events[2]), events[..3]);
        assert_eq!(passed("services", &events[3]), [events[3].clone()]);
    }

    #[test]
    fn lines_come_whole_however_the_bytes_arrive() {
        let mut lines = Lines::default();
        assert!(lines.add(b"on").is_empty());
        assert_eq!(lines.add(b"e\ntwo\nth"), ["one\n", "two\n"]);
        assert_eq!(lines.add(b"ree\n"), ["three\n"]);
    }
}
