//! "Did you mean …?"

/// The candidate that `typed` is probably a typo of: the nearest, if at most a third of it
/// differs.
pub(super) fn closest<'a>(
    typed: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    if typed.len() > 64 {
        return None;
    }
    let lower = typed.to_lowercase();
    let near = candidates.map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate));
    near.filter(|(distance, candidate)| distance * 3 <= candidate.len().max(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Names in a sentence.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Edits (insert, delete, replace, swap of neighbours) from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replace = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut least = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = [
            "url",
            "service",
            "requestTimeout",
            "apiKeySecretRef",
            "paused",
        ];
        let meant = |typed| closest(typed, known.into_iter());
        assert_eq!(meant("ulr"), Some("url"));
        assert_eq!(meant("URL"), Some("url"));
        assert_eq!(meant("request_timeout"), Some("requestTimeout"));
        assert_eq!(meant("apiKeySecret"), Some("apiKeySecretRef"));
        assert_eq!(meant("colour"), None);
        assert_eq!(meant(""), None);
    }
}
