//! Points: raw, by each method, in pages, in windows that move, and over half a year.

use std::collections::BTreeMap;

use super::fields::is_plain;
use super::{Chosen, HOUR, KINDS, MINUTE, SETTLED, last_hour, settled_hour};
use crate::conform::answer::{ErrorKind, FieldValue, MirrorError, Reading};
use crate::conform::finding::{Fault, Note};
use crate::conform::points::{change, is_same};
use crate::conform::report::Log;
use crate::conform::session::{Read, Session};
use crate::conform::wire::{Aggregation, Condition, Range, ValuesQuery};

/// All that StackState knows.
pub(in crate::conform) const METHODS: [&str; 14] = [
    "MEAN",
    "PERCENTILE_25",
    "PERCENTILE_50",
    "PERCENTILE_75",
    "PERCENTILE_90",
    "PERCENTILE_95",
    "PERCENTILE_98",
    "PERCENTILE_99",
    "MAX",
    "MIN",
    "SUM",
    "EVENT_COUNT",
    "SUM_NO_ZEROS",
    "EVENT_COUNT_NO_ZEROS",
];

/// How many metrics of a kind are tried until one has points.
const CANDIDATES: usize = 8;
/// More labels than a series has.
const MOST_LABELS: usize = 40;
/// Fewer points cannot be read in pages.
const FEWEST_PAGED: usize = 4;
/// Half a year, in milliseconds: the longest range of StackState.
const HALF_YEAR: i64 = 182 * 24 * HOUR;

/// The names of the metrics of each of [`KINDS`], given or listed.
pub(in crate::conform) type Names = BTreeMap<&'static str, Vec<String>>;

fn mean() -> Aggregation {
    Aggregation::new("MEAN", MINUTE)
}

/// A metric of each kind that has points.
pub(in crate::conform) async fn choose(session: &Session, log: &Log, names: &Names) -> Vec<Chosen> {
    let mut chosen = Vec::new();
    let mut was_broken = false;
    for kind in KINDS {
        let Some(names) = names.get(kind) else {
            continue;
        };
        let last = names.len().saturating_sub(1);
        let tried = names.len().min(CANDIDATES);
        // From all over the list: neighbours are often alike.
        let candidates =
            (0..tried).filter_map(|index| names.get(index * last / (tried - 1).max(1)));
        let mut refused = None;
        for name in candidates {
            let candidate = Chosen::new(kind, name);
            let what = candidate.what(Some(mean()));
            let query = candidate.query(settled_hour(), Some(mean()));
            match session.read(log, &what, &query).await {
                Ok(read) if !read.points.is_empty() => {
                    refused = None;
                    chosen.push(candidate);
                    break;
                }
                Ok(read) => was_broken |= !read.is_sound,
                Err(None) => was_broken = true,
                Err(Some(error)) if error.kind == ErrorKind::NotFound => {}
                Err(Some(error)) => refused = Some(format!("{what}: {}", error.text)),
            }
        }
        if let Some(refused) = refused {
            log.add(Fault::RequestRefused, refused);
            was_broken = true;
        }
    }
    let words: Vec<String> = (chosen.iter())
        .map(|one| format!("{} {}", one.kind.trim_matches('_'), one.name))
        .collect();
    log.detail(words.join(", "));
    if chosen.is_empty() && !was_broken {
        let count: usize = names.values().map(Vec::len).sum();
        let detail = format!(
            "{count} metrics are known; name one that has points with --gauge, --counter or --histogram"
        );
        log.add(Fault::NothingToRead, detail);
    }
    chosen
}

/// Reads each metric raw, with the conditions that leave a single series.
pub(in crate::conform) async fn raw(session: &Session, log: &Log, chosen: &mut [Chosen]) {
    let mut read = Vec::new();
    for one in chosen {
        let what = one.what(None);
        let first = session
            .read(log, &what, &one.query(settled_hour(), None))
            .await;
        let outcome = match first {
            // Most likely there are several series.
            Err(Some(error)) if error.kind == ErrorKind::Remote => {
                let Some(conditions) = single_series(session, log, one).await else {
                    log.add(Note::RawNotRead, format!("{what}: {}", error.text));
                    continue;
                };
                one.conditions = conditions;
                session
                    .read(log, &what, &one.query(settled_hour(), None))
                    .await
            }
            outcome => outcome,
        };
        match outcome {
            Ok(points) => {
                one.is_single = points.is_sound;
                read.push(format!("{} points of {}", points.points.len(), one.name));
            }
            Err(Some(error)) => {
                log.add(Fault::RequestRefused, format!("{what}: {}", error.text));
            }
            Err(None) => {}
        }
    }
    log.detail(read.join(", "));
}

/// Conditions that leave one series: a value for each label, chosen one after the other among those
/// that are left.
async fn single_series(session: &Session, log: &Log, one: &Chosen) -> Option<Vec<Condition>> {
    let range = settled_hour();
    let names = session.field_names(log, &one.conditions, range, session.all());
    let Reading::Good(names) = names.await else {
        return None;
    };
    let labels: Vec<String> = (names.entries.into_iter())
        .filter(|name| is_plain(name))
        .collect();
    if labels.is_empty() || labels.len() > MOST_LABELS {
        return None;
    }
    let mut conditions = one.conditions.clone();
    for label in labels {
        let query = ValuesQuery {
            conditions: &conditions,
            field: session.field(&label),
            prefix: None,
            range,
            limit: session.all(),
            offset: 0,
        };
        let what = format!("values of {label}");
        let Reading::Good(values) = session.field_values(log, &what, &query).await else {
            return None;
        };
        let value = values.entries.into_iter().find_map(|value| match value {
            FieldValue::Complete(value) => Some(value),
            FieldValue::Pattern(_) => None,
        });
        if let Some(value) = value {
            conditions.push(Condition::text(&label, &value));
        }
    }
    Some(conditions)
}

/// Reads each metric by each method.
pub(in crate::conform) async fn aggregated(session: &Session, log: &Log, chosen: &mut [Chosen]) {
    let mut read = Vec::new();
    for one in chosen {
        for method in METHODS {
            let aggregation = Some(Aggregation::new(method, MINUTE));
            let what = one.what(aggregation);
            let query = one.query(settled_hour(), aggregation);
            match session.read(log, &what, &query).await {
                Ok(Read { is_sound: true, .. }) => one.methods.push(method),
                Ok(_) | Err(None) => {}
                Err(Some(MirrorError {
                    kind: ErrorKind::Unsupported,
                    text,
                    ..
                })) => {
                    log.add(Note::MethodUnsupported, format!("{what}: {text}"));
                }
                Err(Some(error)) => {
                    log.add(Fault::MethodRefused, format!("{what}: {}", error.text));
                }
            }
        }
        read.push(format!("{} methods of {}", one.methods.len(), one.name));
    }
    log.detail(read.join(", "));
}

/// Reads each metric at once and in pages, which must be the same points.
pub(in crate::conform) async fn pages(session: &Session, log: &Log, chosen: &[Chosen]) {
    let mut read = Vec::new();
    for one in chosen {
        let forms = [
            one.is_single.then_some(None),
            one.methods.contains(&"MEAN").then(|| Some(mean())),
        ];
        for aggregation in forms.into_iter().flatten() {
            let what = one.what(aggregation);
            let mut query = one.query(settled_hour(), aggregation);
            let Ok(whole) = session.read(log, &what, &query).await else {
                continue;
            };
            let count = whole.points.len();
            if !whole.is_sound || count < FEWEST_PAGED {
                continue;
            }
            query.limit = u64::try_from(count / 4 + 1).unwrap_or(u64::MAX);
            let what = format!("{what} with limit {}", query.limit);
            let paged = match session.read(log, &what, &query).await {
                Ok(paged) => paged,
                Err(Some(error)) => {
                    log.add(Fault::RequestRefused, format!("{what}: {}", error.text));
                    continue;
                }
                Err(None) => continue,
            };
            if !paged.is_sound {
                continue;
            }
            read.push(format!(
                "{count} points of {} in {} pages",
                one.name, paged.pages
            ));
            let lost = (whole.points.keys()).find(|start| !paged.points.contains_key(start));
            match lost {
                Some(_) if paged.pages == 1 => {
                    let got = paged.points.len();
                    let detail = format!("{what}: {got} of {count} points");
                    log.add(Fault::CutNotPartial, detail);
                }
                Some(lost) => {
                    log.add(
                        Fault::PagesIncomplete,
                        format!("{what}: the point at {lost} is lost"),
                    );
                }
                None => {
                    let differs = (whole.points.iter()).find(|(start, value)| {
                        paged
                            .points
                            .get(start)
                            .is_some_and(|paged| !is_same(**value, *paged))
                    });
                    if let (Some((start, value)), Some(_)) = (differs, aggregation) {
                        let detail =
                            format!("{what}: the bucket at {start} is {value} in another range");
                        log.add(Fault::BucketChanged, detail);
                    }
                }
            }
        }
    }
    log.detail(read.join(", "));
}

/// A range that moves on must leave old buckets alone, above all the one that it now begins within.
pub(in crate::conform) async fn moving_window(session: &Session, log: &Log, chosen: &[Chosen]) {
    let mut compared = 0;
    for one in chosen {
        let methods = ["MEAN", "SUM", "EVENT_COUNT"].into_iter();
        for method in methods.filter(|method| one.methods.contains(method)) {
            let aggregation = Some(Aggregation::new(method, MINUTE));
            let what = one.what(aggregation);
            let base = settled_hour();
            // At the start of a bucket, so that the later ranges begin within it and behind it.
            let start = base.start - base.start.rem_euclid(MINUTE);
            let at = |moved: i64| Range {
                start: start + moved,
                end: base.end + moved,
            };
            let mut first = None;
            for moved in [0, MINUTE / 3, MINUTE / 2 + 137, MINUTE] {
                let range = at(moved);
                let read = session
                    .read(log, &what, &one.query(range, aggregation))
                    .await;
                let Ok(Read {
                    points,
                    is_sound: true,
                    ..
                }) = read
                else {
                    break;
                };
                let Some(first) = &first else {
                    first = Some(points);
                    continue;
                };
                compared += 1;
                let from = range.start - range.start.rem_euclid(MINUTE);
                if let Some(change) = change(first, &points, MINUTE, from, base.end) {
                    log.add(
                        Fault::BucketChanged,
                        format!("{what}, {moved} ms later: {change}"),
                    );
                    break;
                }
            }
        }
    }
    log.detail(format!("{compared} windows compared"));
}

/// Half a year, answered before StackState gives up.
pub(in crate::conform) async fn long_range(session: &Session, log: &Log, one: &Chosen) {
    let end = last_hour().end - SETTLED;
    let range = Range {
        start: end - HALF_YEAR,
        end,
    };
    let aggregation = Some(Aggregation::new("MEAN", 24 * HOUR));
    let what = format!("{} over half a year", one.what(aggregation));
    match session
        .read(log, &what, &one.query(range, aggregation))
        .await
    {
        Ok(read) => log.detail(format!("{} days of {}", read.points.len(), one.name)),
        // A store may limit its ranges.
        Err(Some(error)) => log.add(Note::LongRangeRefused, format!("{what}: {}", error.text)),
        Err(None) => {}
    }
}
