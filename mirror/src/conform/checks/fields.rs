//! Field names, of everything and of what conditions select.

use super::{Chosen, KINDS, last_hour};
use crate::conform::answer::{ErrorKind, Listing, Reading};
use crate::conform::finding::{Fault, Note};
use crate::conform::report::Log;
use crate::conform::session::Session;
use crate::conform::wire::Condition;

/// The names of all fields.
pub(in crate::conform) async fn names(session: &mut Session, log: &Log) -> Vec<String> {
    let range = last_hour();
    let all = match session.field_names(log, &[], range, session.all()).await {
        Reading::Good(all) => all,
        Reading::Broken => return Vec::new(),
        Reading::Error(refused) => match session.field_names(log, &[], range, None).await {
            Reading::Good(all) => {
                session.forms.limit_all = false;
                let detail = format!(
                    "field names are answered without it, with it: {}",
                    refused.text
                );
                log.add(Fault::LimitAllRefused, detail);
                all
            }
            _ => {
                log.add(
                    Fault::RequestRefused,
                    format!("field names: {}", refused.text),
                );
                return Vec::new();
            }
        },
    };
    let Listing {
        entries,
        is_partial,
    } = all;
    if is_partial {
        log.add(Note::ListingPartial, "field names");
    }
    let mut sorted: Vec<&String> = entries.iter().collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        log.add(Note::ListingDuplicates, format!("field names: {}", pair[0]));
    }
    for kind in KINDS {
        if !entries.iter().any(|name| name == kind) {
            log.add(Note::KindNotListed, kind);
        }
    }
    log.detail(format!("{} fields", entries.len()));
    entries
}

/// Field names with each type of condition.
pub(in crate::conform) async fn with_conditions(session: &Session, log: &Log, chosen: &Chosen) {
    let range = last_hour();
    let of = |more: Option<Condition>| -> Vec<Condition> {
        let kind = Condition::text(chosen.kind, &chosen.name);
        std::iter::once(kind).chain(more).collect()
    };
    let conditions = of(None);
    let names = session.field_names(log, &conditions, range, session.all());
    let label = match names.await {
        Reading::Good(names) => {
            log.detail(format!("{} fields of {}", names.entries.len(), chosen.name));
            let is_label = |name: &&String| !KINDS.contains(&name.as_str()) && is_plain(name);
            names.entries.iter().find(is_label).cloned()
        }
        Reading::Error(error) => {
            let detail = format!("field names of {}: {}", chosen.name, error.text);
            log.add(Fault::RequestRefused, detail);
            return;
        }
        Reading::Broken => return,
    };
    let label = label.unwrap_or_else(|| "job".to_owned());
    let conditions = [
        ("InSetValue", Condition::one_of(&label, &["a", "b"])),
        ("DoubleValue", Condition::number(&label, 2.0)),
        ("BooleanValue", Condition::truth(&label, true)),
    ];
    for (value_type, condition) in conditions {
        let conditions = of(Some(condition));
        let names = session.field_names(log, &conditions, range, session.all());
        match names.await {
            // Most likely nothing matches; a mirror may say so.
            Reading::Error(error) if error.kind != ErrorKind::NotFound => {
                let detail = format!("{value_type}: {}", error.text);
                log.add(Fault::ValueTypeRefused, detail);
            }
            _ => {}
        }
    }
}

/// A label's name, and no query kind's key.
pub(in crate::conform) fn is_plain(name: &str) -> bool {
    !name.starts_with("__") && name != "~"
}
