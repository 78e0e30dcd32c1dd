//! Values of a field: all of them, through a prefix, and in small parts through patterns and pages,
//! which must be the same values.

use std::collections::BTreeSet;

use super::last_hour;
use crate::conform::answer::{FieldValue, Reading};
use crate::conform::finding::{Fault, Note};
use crate::conform::report::{Log, clipped};
use crate::conform::session::Session;
use crate::conform::wire::{Field, ValuesQuery};

/// More answers than a list of values in a dozen parts needs.
const MOST_REQUESTS: usize = 200;
/// How many parts a list is asked for in.
const PARTS: usize = 8;
/// Parts are not smaller than this where there are enough values: nobody folds a list for less.
const SMALLEST_PART: usize = 10;

/// What came of following a list to its end.
#[derive(Debug, Default)]
struct Collected {
    values: BTreeSet<String>,
    patterns: usize,
    /// All answers were as they should be, and the end was reached.
    is_whole: bool,
}

/// How a list is asked for.
struct Ask<'a> {
    field: &'a str,
    prefix: Option<&'a str>,
    limit: Option<u64>,
}

/// Lists the values of `field` in every way that a user of StackState's query editor can.
pub(in crate::conform) async fn listed(
    session: &mut Session,
    log: &Log,
    field: &str,
) -> Vec<String> {
    find_form(session, log, field).await;
    let ask = |prefix, limit| Ask {
        field,
        prefix,
        limit,
    };
    let all = collect(session, log, ask(None, session.all())).await;
    if all.is_whole && !all.values.is_empty() {
        let is_complete = through_prefix(session, log, field, &all.values).await;
        if is_complete {
            let part = all.values.len().div_ceil(PARTS);
            let part = if all.values.len() > SMALLEST_PART {
                part.max(SMALLEST_PART)
            } else {
                part.max(all.values.len() / 2)
            };
            let part = u64::try_from(part.max(1)).ok();
            let parts = collect(session, log, ask(None, part)).await;
            if parts.is_whole {
                compare(
                    session,
                    log,
                    ask(None, session.all()),
                    &all.values,
                    &parts.values,
                )
                .await;
            }
        }
    }
    all.values.into_iter().collect()
}

/// Asks with the field as an object, and if that is refused as a string.
async fn find_form(session: &mut Session, log: &Log, field: &str) {
    if !session.forms.field_object {
        return;
    }
    let query = |field| ValuesQuery {
        conditions: &[],
        field,
        prefix: None,
        range: last_hour(),
        limit: session.all(),
        offset: 0,
    };
    let what = format!("values of {field}");
    let object = query(Field::descriptor(field));
    let Reading::Error(refused) = session.field_values(log, &what, &object).await else {
        return;
    };
    let text = query(Field::Name(field.to_owned()));
    let as_text = session.field_values(log, &what, &text).await;
    if matches!(as_text, Reading::Good(_)) {
        log.add(
            Fault::FieldObjectRefused,
            format!("{what}: {}", refused.text),
        );
        session.forms.field_object = false;
    }
}

/// Follows pages by `offset` and patterns by `fieldValuePrefix`.
async fn collect(session: &Session, log: &Log, ask: Ask<'_>) -> Collected {
    let mut all = Collected {
        is_whole: true,
        ..Collected::default()
    };
    // A prefix, and whether it is a pattern of the mirror's.
    let mut due: Vec<(Option<String>, bool)> = vec![(ask.prefix.map(str::to_owned), false)];
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut requests = 0;
    while let Some((prefix, is_pattern)) = due.pop() {
        let mut offset = 0;
        loop {
            requests += 1;
            if requests > MOST_REQUESTS {
                log.add(Note::RefinementStopped, format!("values of {}", ask.field));
                all.is_whole = false;
                return all;
            }
            let what = match &prefix {
                None => format!("values of {}", ask.field),
                Some(prefix) => format!(
                    "values of {} that begin with {:?}",
                    ask.field,
                    clipped(prefix)
                ),
            };
            let query = ValuesQuery {
                conditions: &[],
                field: session.field(ask.field),
                prefix: prefix.as_deref(),
                range: last_hour(),
                limit: ask.limit,
                offset,
            };
            let page = match session.field_values(log, &what, &query).await {
                Reading::Good(page) => page,
                Reading::Error(error) => {
                    let fault = if is_pattern {
                        Fault::PatternNotRefined
                    } else {
                        Fault::RequestRefused
                    };
                    log.add(fault, format!("{what}: {}", error.text));
                    all.is_whole = false;
                    break;
                }
                Reading::Broken => {
                    all.is_whole = false;
                    break;
                }
            };
            let count = page.entries.len();
            if let Some(limit) = ask.limit
                && u64::try_from(count).unwrap_or(u64::MAX) > limit
            {
                log.add(
                    Fault::LimitExceeded,
                    format!("{what}: {count} values, the limit is {limit}"),
                );
                all.is_whole = false;
            }
            let begins = match (&prefix, is_pattern) {
                (Some(pattern), true) => pattern.strip_suffix('*').unwrap_or(pattern),
                (Some(prefix), false) => prefix,
                (None, _) => "",
            };
            let before = (all.values.len(), known.len());
            let mut repeated = None;
            for entry in page.entries {
                let (FieldValue::Complete(text) | FieldValue::Pattern(text)) = &entry;
                if !text.starts_with(begins) {
                    let detail = format!("{what}: {:?} is among them", clipped(text));
                    log.add(Fault::PrefixIgnored, detail);
                    all.is_whole = false;
                    break;
                }
                match entry {
                    FieldValue::Complete(value) => {
                        if !all.values.insert(value.clone()) {
                            repeated = Some(value);
                        }
                    }
                    FieldValue::Pattern(pattern) => {
                        all.patterns += 1;
                        if known.insert(pattern.clone()) {
                            due.push((Some(pattern), true));
                        } else if prefix.as_ref() == Some(&pattern) {
                            let detail = format!("{what}: the same pattern again");
                            log.add(Fault::PatternNotRefined, detail);
                            all.is_whole = false;
                        }
                    }
                }
            }
            let has_progress = (all.values.len(), known.len()) != before;
            if count == 0 && offset == 0 && is_pattern {
                log.add(Fault::PatternNotRefined, format!("{what}: there are none"));
                all.is_whole = false;
            }
            if !page.is_partial || !all.is_whole {
                if let Some(value) = repeated.filter(|_| offset == 0 && !is_pattern && has_progress)
                {
                    log.add(
                        Note::ListingDuplicates,
                        format!("{what}: {:?}", clipped(&value)),
                    );
                }
                break;
            }
            if !has_progress || count == 0 {
                let note = if offset == 0 {
                    Note::ListingPartial
                } else {
                    Note::OffsetIgnored
                };
                log.add(note, what);
                all.is_whole = false;
                break;
            }
            if ask
                .limit
                .is_none_or(|limit| limit >= crate::conform::wire::NO_LIMIT)
            {
                // The store may be incomplete; there may be another part all the same.
                log.add(Note::ListingPartial, what);
            }
            offset += count;
        }
    }
    if ask.prefix.is_none() {
        let patterns = match all.patterns {
            0 => String::new(),
            patterns => format!(", {patterns} patterns refined"),
        };
        log.detail(format!(
            "{}: {} listed{patterns}",
            ask.field,
            all.values.len()
        ));
    }
    all
}

/// What a user gets who has typed the beginning of a value.
async fn through_prefix(session: &Session, log: &Log, field: &str, all: &BTreeSet<String>) -> bool {
    let Some(middle) = all.iter().nth(all.len() / 2) else {
        return true;
    };
    let Some(prefix) = beginning(middle) else {
        return true;
    };
    let ask = || Ask {
        field,
        prefix: Some(prefix),
        limit: session.all(),
    };
    let found = collect(session, log, ask()).await;
    if !found.is_whole {
        return false;
    }
    let expected: BTreeSet<String> = (all.iter())
        .filter(|value| value.starts_with(prefix))
        .cloned()
        .collect();
    compare(session, log, ask(), &expected, &found.values).await
}

/// Up to the first separator, or else half of it. A prefix that ends in `*` could mean two things.
fn beginning(value: &str) -> Option<&str> {
    let middle = value.chars().count().div_ceil(2);
    let mut ends = value.char_indices().map(|(at, c)| (at + c.len_utf8(), c));
    let end = ends
        .clone()
        .find(|(_, c)| matches!(c, '_' | '.' | '-' | ':'))
        .or_else(|| ends.nth(middle.saturating_sub(1)))?
        .0;
    value.get(..end).filter(|prefix| !prefix.ends_with('*'))
}

/// Two lists of the same values. Series come and go: only what is still so in a second look counts.
async fn compare(
    session: &Session,
    log: &Log,
    ask: Ask<'_>,
    expected: &BTreeSet<String>,
    found: &BTreeSet<String>,
) -> bool {
    if expected == found {
        return true;
    }
    let what = format!("values of {}", ask.field);
    let prefix = ask.prefix.unwrap_or_default();
    let whole = Ask {
        prefix: None,
        limit: session.all(),
        ..ask
    };
    let again = collect(session, log, whole).await;
    if !again.is_whole {
        return false;
    }
    let again: BTreeSet<&String> = (again.values.iter())
        .filter(|value| value.starts_with(prefix))
        .collect();
    let missing: Vec<&String> = (expected.difference(found))
        .filter(|value| again.contains(value))
        .collect();
    let surplus: Vec<&String> = (found.difference(expected))
        .filter(|value| !again.contains(value))
        .collect();
    for (values, problem) in [
        (missing, "in the whole list, but not in its parts"),
        (surplus, "in the parts of the list, but not in the whole"),
    ] {
        if let Some(first) = values.first() {
            let detail = format!(
                "{what}: {} of {}, such as {:?}, are {problem}",
                values.len(),
                expected.len(),
                clipped(first)
            );
            log.add(Fault::ValuesIncomplete, detail);
        }
    }
    !log.has(Fault::ValuesIncomplete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_separator_or_in_the_middle() {
        let table = [
            ("node_cpu_seconds", Some("node_")),
            ("10.0.0.7:9100", Some("10.")),
            ("prometheus", Some("prome")),
            ("é", Some("é")),
            ("", None),
            ("*ab", Some("*a")),
            ("a*bc", None),
        ];
        for (value, expected) in table {
            assert_eq!(beginning(value), expected, "{value}");
        }
    }
}
