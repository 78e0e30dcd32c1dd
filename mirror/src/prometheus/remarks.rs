//! What a store says beside its data: does the answer lack something, or is it a comment on the
//! query? Pure.
//!
//! Prometheus' field `warnings` holds both. Annotations of the PromQL engine begin with `PromQL
//! info:` or `PromQL warning:` (`util/annotations`); up to 2.53, and in Thanos, the infos are among
//! the warnings. They speak about the expression and the series it read, so asking again brings
//! nothing. Everything else that is known says that data is missing: limits of the store (`results
//! truncated due to limit`), remote stores that failed (Prometheus' remote read, Thanos'
//! StoreAPIs), and what this code has never seen.

/// So many remarks of one answer are kept, those about missing data first.
pub const MOST_KEPT: usize = 10;

/// So much of a remark is kept, in characters.
const LONGEST: usize = 300;

/// Something that a store says about its own answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What follows from it.
    pub meaning: Meaning,
    /// The store's words, cut to 300 characters.
    pub text: String,
}

/// What follows from a remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The answer lacks data that the store may have.
    DataMissing,
    /// The query could be better; the answer is what the store has.
    Comment,
}

/// How the PromQL engine begins its annotations.
const ANNOTATIONS: [&str; 2] = ["promql info:", "promql warning:"];

/// Words of a store that failed to ask another one: an annotation that it passes on between such
/// words does not make data complete.
const FAILURES: [&str; 7] = [
    "rpc error",
    "truncated",
    "no storeapis matched",
    "context deadline exceeded",
    "connection refused",
    "unavailable",
    "failed to",
];

impl Remark {
    /// An element of `warnings`.
    #[must_use]
    pub fn warning(text: &str) -> Self {
        let lower = text
            .trim_start()
            .chars()
            .take(4 * LONGEST)
            .collect::<String>()
            .to_ascii_lowercase();
        let begins = ANNOTATIONS.iter().any(|begin| lower.starts_with(begin));
        let passed_on = ANNOTATIONS.iter().any(|begin| lower.contains(begin))
            && !FAILURES.iter().any(|failure| lower.contains(failure));
        Self {
            meaning: if begins || passed_on {
                Meaning::Comment
            } else {
                Meaning::DataMissing
            },
            text: cut(text),
        }
    }

    /// An element of `infos`: always a comment.
    #[must_use]
    pub fn info(text: &str) -> Self {
        Self {
            meaning: Meaning::Comment,
            text: cut(text),
        }
    }

    /// Adds this one to `kept`, unless it is there already or there are enough. One about missing
    /// data takes the place of a comment.
    pub fn keep_in(self, kept: &mut Vec<Self>) {
        if kept.contains(&self) {
            return;
        }
        if kept.len() < MOST_KEPT {
            kept.push(self);
        } else if self.meaning == Meaning::DataMissing
            && let Some(comment) = kept.iter_mut().find(|one| one.meaning == Meaning::Comment)
        {
            *comment = self;
        }
    }
}

fn cut(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    // As Prometheus 2.53, Prometheus 3 and Thanos send them.
    #[case(
        r#"PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "shop_requests" (1:6)"#
    )]
    #[case(
        "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs) (1:25)"
    )]
    #[case(r#"PromQL warning: bucket label "le" is missing or has a malformed value of "" (1:25)"#)]
    #[case("PromQL warning: encountered a mix of histograms and floats for aggregation (1:5)")]
    #[case(r#"PromQL info: ignored histograms in a range containing both floats and histograms for metric name "x" (1:1)"#)]
    #[case("PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)")]
    #[case("PromQL warning: vector contains histograms with incompatible custom buckets (1:5)")]
    #[case(r#"  PromQL info: metric might not be a counter: "a_rpc error_b""#)]
    #[case("http://10.0.0.1:9090: PromQL info: metric might not be a counter (1:6)")]
    fn annotations_of_the_engine_are_comments(#[case] text: &str) {
        assert_eq!(Remark::warning(text).meaning, Meaning::Comment, "{text}");
    }

    #[rstest]
    #[case("results truncated due to limit")]
    #[case("No StoreAPIs matched for this query")]
    #[case(
        "receive series from Addr: 10.0.0.1:10901 LabelSets: {replica=\"a\"}: rpc error: code = Unavailable desc = transport is closing"
    )]
    #[case("fetch series for {__block_id=\"1\"}: context deadline exceeded")]
    #[case("remote_read: remote server http://other:9090/api/v1/read returned HTTP status 500")]
    #[case(
        "10.0.0.1:10901: rpc error: code = Aborted desc = PromQL info: metric might not be a counter"
    )]
    #[case("something that no version said before")]
    #[case("")]
    fn everything_else_says_that_data_is_missing(#[case] text: &str) {
        assert_eq!(
            Remark::warning(text).meaning,
            Meaning::DataMissing,
            "{text}"
        );
    }

    #[test]
    fn an_info_is_a_comment_whatever_it_says() {
        assert_eq!(
            Remark::info("results truncated due to limit\u{1b}[0m"),
            Remark {
                meaning: Meaning::Comment,
                text: "results truncated due to limit [0m".to_owned()
            }
        );
    }

    #[test]
    fn a_flood_of_comments_does_not_hide_that_data_is_missing() {
        let mut kept = Vec::new();
        for index in 0..1_000 {
            Remark::info(&format!("i{index}")).keep_in(&mut kept);
        }
        Remark::warning(&"x".repeat(100_000)).keep_in(&mut kept);
        assert_eq!(kept.len(), MOST_KEPT);
        let missing: Vec<_> = kept
            .iter()
            .filter(|remark| remark.meaning == Meaning::DataMissing)
            .map(|remark| remark.text.len())
            .collect();
        assert_eq!(missing, [LONGEST]);
    }

    #[test]
    fn the_same_words_are_kept_once() {
        let mut kept = Vec::new();
        for _ in 0..3 {
            Remark::warning("a").keep_in(&mut kept);
        }
        assert_eq!(kept, [Remark::warning("a")]);
    }
}
