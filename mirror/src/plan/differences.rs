//! What tells series apart, for a message.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::model::series::Labels;

/// The labels that tell these series apart, each with some of its values: `instance ("a", "b", …),
/// job ("x", "y")`. Of labels and values that are many or long, some and the beginnings.
#[must_use]
pub fn differences(series: &[&Labels], ignores_name: bool) -> String {
    const SHOWN: usize = 3;
    const SHOWN_LABELS: usize = 10;
    let names: BTreeSet<&String> = series.iter().flat_map(|labels| labels.keys()).collect();
    let mut differing: Vec<String> = names
        .into_iter()
        .filter(|name| !(ignores_name && name.as_str() == "__name__"))
        .filter_map(|name| {
            let values: BTreeSet<&str> = series
                .iter()
                .map(|labels| labels.get(name).map_or("", String::as_str))
                .collect();
            let shown: Vec<String> = values
                .iter()
                .take(SHOWN)
                .map(|value| format!("{:?}", beginning(value)))
                .collect();
            let more = if values.len() > SHOWN { ", …" } else { "" };
            (values.len() > 1).then(|| format!("{} ({}{more})", beginning(name), shown.join(", ")))
        })
        .take(SHOWN_LABELS + 1)
        .collect();
    if differing.len() > SHOWN_LABELS {
        differing[SHOWN_LABELS] = "…".to_owned();
    }
    differing.join(", ")
}

/// The beginning of a store's text: a message must not grow with its answer.
fn beginning(text: &str) -> Cow<'_, str> {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_told_apart_by_the_labels_that_differ() {
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let (a, b) = (
            labels(&[("job", "x"), ("instance", "1"), ("zone", "z")]),
            labels(&[("job", "x"), ("instance", "2")]),
        );
        assert_eq!(
            differences(&[&a, &b], false),
            r#"instance ("1", "2"), zone ("", "z")"#
        );
    }

    #[test]
    fn many_and_long_differences_are_cut() {
        let labels = |value: &str| -> Labels {
            (0..1_000)
                .map(|index| (format!("{index:03}"), value.to_owned()))
                .collect()
        };
        let long = "x".repeat(1_000_000);
        let said = differences(&[&labels(&long), &labels("y")], false);
        let of_one = format!("(\"{}…\", \"y\")", "x".repeat(80));
        let expected: Vec<_> = (0..10)
            .map(|index| format!("{index:03} {of_one}"))
            .collect();
        assert_eq!(said, format!("{}, …", expected.join(", ")));
    }
}
