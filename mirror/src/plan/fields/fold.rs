//! Long lists of metric names, cut to a limit or folded into patterns. Pure.

use std::collections::BTreeMap;

use super::{FieldValue, Listing};

/// Below this limit a list of patterns says less than the list's beginning.
const FEWEST_PATTERNS: usize = 10;

/// The first `limit` values; or patterns, where `prefix` says that folding is wanted and they cover
/// everything.
#[must_use]
pub fn cut(values: Vec<String>, limit: usize, prefix: Option<&str>) -> Listing<FieldValue> {
    if values.len() > limit
        && limit >= FEWEST_PATTERNS
        && let Some(prefix) = prefix
    {
        let folded = fold(&values, prefix.len());
        if folded.len() <= limit {
            return Listing {
                entries: folded,
                is_partial: false,
            };
        }
    }
    let is_partial = values.len() > limit;
    Listing {
        entries: values
            .into_iter()
            .take(limit)
            .map(FieldValue::Complete)
            .collect(),
        is_partial,
    }
}

/// Values that share a beginning up to the next `_` or `.` behind `typed` bytes become one pattern.
fn fold(values: &[String], typed: usize) -> Vec<FieldValue> {
    let mut groups: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for value in values {
        let beginning = value
            .char_indices()
            .find(|(at, c)| *at >= typed && matches!(c, '_' | '.'))
            .map_or(value.as_str(), |(at, _)| &value[..=at]);
        groups.entry(beginning).or_default().push(value);
    }
    groups
        .into_iter()
        .map(|(beginning, members)| match members.as_slice() {
            [only] => FieldValue::Complete((*only).clone()),
            _ => FieldValue::Pattern(format!("{beginning}*")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed_names(count: usize) -> Vec<String> {
        (0..count)
            .map(|index| format!("node_{}_{index:02}", ["cpu", "disk", "net"][index % 3]))
            .chain(["up".to_owned()])
            .collect()
    }

    #[test]
    fn too_many_names_are_folded_where_that_tells_them_all() {
        let names: Vec<String> = listed_names(30);
        let pattern = |text: &str| FieldValue::Pattern(text.to_owned());
        assert_eq!(
            cut(names.clone(), 20, Some("")),
            Listing {
                entries: vec![pattern("node_*"), FieldValue::Complete("up".to_owned())],
                is_partial: false
            }
        );
        assert_eq!(
            cut(names[..30].to_vec(), 20, Some("node_")),
            Listing {
                entries: vec![
                    pattern("node_cpu_*"),
                    pattern("node_disk_*"),
                    pattern("node_net_*")
                ],
                is_partial: false
            }
        );
    }

    #[test]
    fn a_short_list_is_cut_at_its_limit() {
        let names = listed_names(30);
        let first = names
            .iter()
            .take(2)
            .cloned()
            .map(FieldValue::Complete)
            .collect();
        assert_eq!(
            cut(names, 2, Some("")),
            Listing {
                entries: first,
                is_partial: true
            }
        );
    }

    #[test]
    fn what_fits_is_complete() {
        let names = listed_names(3);
        let all = names.iter().cloned().map(FieldValue::Complete).collect();
        assert_eq!(
            cut(names, 4, Some("")),
            Listing {
                entries: all,
                is_partial: false
            }
        );
    }
}
