//! Streams as StackState polls them: many, again and again, each time with a window that has moved
//! on.

use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::metrics::Names;
use super::{Chosen, MINUTE, SETTLED, last_hour};
use crate::conform::answer::ErrorKind;
use crate::conform::finding::{Fault, Note};
use crate::conform::points::{Points, change};
use crate::conform::report::Log;
use crate::conform::session::{Read, Session};
use crate::conform::wire::Aggregation;

/// How many requests are under way at once.
const AT_ONCE: usize = 32;
/// The lengths of buckets, in milliseconds.
const BUCKETS: [i64; 2] = [MINUTE, 5 * MINUTE];
/// One of so many streams is a raw one.
const RAW_EVERY: usize = 8;
/// Methods that every store can answer for many series at once.
const METHODS: [&str; 4] = ["MEAN", "MAX", "SUM", "EVENT_COUNT"];

/// One telemetry stream.
#[derive(Debug)]
struct Stream {
    metric: Chosen,
    aggregation: Option<Aggregation>,
    /// What the last poll brought, and the end of its range.
    last: Option<(Points, i64)>,
}

/// So many streams, of all metrics that are known, of each method, and of two lengths of buckets.
fn streams(count: usize, names: &Names, chosen: &[Chosen]) -> Vec<Stream> {
    let usable: Vec<&Chosen> = (chosen.iter())
        .filter(|one| METHODS.iter().any(|method| one.methods.contains(method)))
        .collect();
    let single: Vec<&Chosen> = chosen.iter().filter(|one| one.is_single).collect();
    let mut streams = Vec::with_capacity(count);
    for index in 0..count {
        if index % RAW_EVERY == RAW_EVERY - 1 && !single.is_empty() {
            streams.push(Stream {
                metric: single[index / RAW_EVERY % single.len()].clone(),
                aggregation: None,
                last: None,
            });
            continue;
        }
        let Some(kind) = usable.get(index % usable.len().max(1)) else {
            break;
        };
        let index = index / usable.len();
        let all = names.get(kind.kind).map_or(&[][..], Vec::as_slice);
        let metric = match all.get(index % all.len().max(1)) {
            Some(name) if *name != kind.name => Chosen::new(kind.kind, name),
            _ => (*kind).clone(),
        };
        let methods: Vec<&'static str> = (METHODS.into_iter())
            .filter(|method| kind.methods.contains(method))
            .collect();
        let method = methods[index % methods.len()];
        let width = BUCKETS[index / methods.len() % BUCKETS.len()];
        streams.push(Stream {
            metric,
            aggregation: Some(Aggregation::new(method, width)),
            last: None,
        });
    }
    streams
}

/// Polls `count` streams every `interval`, `rounds` times.
pub(in crate::conform) async fn poll(
    session: &Session,
    log: &Log,
    (count, interval, rounds): (usize, Duration, u32),
    names: &Names,
    chosen: &[Chosen],
) {
    let mut streams = streams(count, names, chosen);
    if streams.is_empty() {
        log.skip("there is no stream that could be polled");
        return;
    }
    let places = Semaphore::new(AT_ONCE);
    let mut due = Instant::now();
    for round in 0..rounds {
        tokio::time::sleep_until(due).await;
        let started = Instant::now();
        let polled = streams.iter_mut().map(|stream| async {
            // Never closed.
            let _place = places.acquire().await;
            stream.poll(session, log).await;
        });
        join_all(polled).await;
        if session.http.gave_up() {
            break;
        }
        if started.elapsed() > interval && round + 1 < rounds {
            let detail = format!("{count} streams took {} ms", started.elapsed().as_millis());
            log.add(Note::RoundTooLong, detail);
        }
        due = (due + interval).max(Instant::now());
    }
    log.detail(format!("{} streams, {rounds} rounds", streams.len()));
}

impl Stream {
    async fn poll(&mut self, session: &Session, log: &Log) {
        let what = self.metric.what(self.aggregation);
        let range = last_hour();
        let query = self.metric.query(range, self.aggregation);
        let points = match session.read(log, &what, &query).await {
            Ok(Read {
                points,
                is_sound: true,
                ..
            }) => points,
            Ok(_) | Err(None) => {
                self.last = None;
                return;
            }
            Err(Some(error)) => {
                // A series may be gone by now.
                if !matches!(error.kind, ErrorKind::NotFound | ErrorKind::Unsupported) {
                    log.add(Fault::RequestRefused, format!("{what}: {}", error.text));
                }
                self.last = None;
                return;
            }
        };
        if let Some(Aggregation {
            bucket_size_millis: width,
            ..
        }) = self.aggregation
        {
            if let Some((earlier, end)) = &self.last {
                let from = range.start - range.start.rem_euclid(width);
                if let Some(change) = change(earlier, &points, width, from, end - SETTLED) {
                    log.add(Fault::BucketChanged, format!("{what}: {change}"));
                }
            }
            self.last = Some((points, range.end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_as_many_as_asked_for_and_as_different_as_can_be() {
        let chosen = |kind, name, methods: &[&'static str], is_single| Chosen {
            methods: methods.to_vec(),
            is_single,
            ..Chosen::new(kind, name)
        };
        let all = [
            chosen("__gauge__", "b", &["MEAN", "MAX", "MIN"], true),
            chosen("__counter__", "c_total", &["SUM"], false),
            chosen("__histogram__", "h", &[], false),
        ];
        let names: Names = [
            ("__gauge__", vec!["a".to_owned(), "b".to_owned()]),
            ("__counter__", vec!["c_total".to_owned()]),
            ("__histogram__", vec!["h".to_owned()]),
        ]
        .into_iter()
        .collect();
        let words: Vec<String> = streams(12, &names, &all)
            .iter()
            .map(|stream| {
                let width = stream.aggregation.map(|one| one.bucket_size_millis);
                format!("{} {width:?}", stream.metric.what(stream.aggregation))
            })
            .collect();
        let expected = [
            "MEAN of gauge a Some(60000)",
            "SUM of counter c_total Some(60000)",
            "MAX of gauge b Some(60000)",
            "SUM of counter c_total Some(300000)",
            "MEAN of gauge a Some(300000)",
            "SUM of counter c_total Some(60000)",
            "MAX of gauge b Some(300000)",
            "raw gauge b None",
            "MEAN of gauge a Some(60000)",
            "SUM of counter c_total Some(60000)",
            "MAX of gauge b Some(60000)",
            "SUM of counter c_total Some(300000)",
        ];
        assert_eq!(words, expected);
        assert!(streams(5, &names, &[]).is_empty());
    }
}
