//! The faults that can be found, by the names that reports and their readers rely on, and the
//! notes.

use std::fmt;

/// An enum whose variants have a name on the wire and a meaning in words.
macro_rules! named {
    ($(#[$about:meta])* $kind:ident { $($variant:ident $name:literal $meaning:literal)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $kind {
            $(#[doc = $meaning] $variant,)+
        }

        impl $kind {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name, in kebab case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it means, in one sentence or two.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// A breach of the contract. One is enough for the whole run to fail.
    Fault {
        NoAnswer "no-answer" "The mirror cannot be reached, or it closed the connection before its answer was complete."
        TooSlow "too-slow" "No complete answer within the time after which StackState gives up."
        AnswerTooLarge "answer-too-large" "An answer is larger than any complete one could be."
        Redirected "redirected" "The answer is a redirect. StackState is not known to follow any, and this client never does."
        KeyMissing "key-missing" "An answer has no `X-MIRROR-API-KEY`."
        KeyMissingOnErrors "key-missing-on-errors" "Answers have the key, but errors do not."
        KeyWrong "key-wrong" "An answer has another key than the one given with `--api-key`."
        KeyChanges "key-changes" "No key was given, and the answers do not all have the same one."
        KeyGivenAway "key-given-away" "A request with a wrong key is refused, and the refusal shows the right one."
        KeyRefused "key-refused" "The mirror answers 401 although the right key was sent, or it wants a key and none was given."
        NotJson "not-json" "The body of an answer is not JSON."
        StatusWrong "status-wrong" "The body is the right response, but the HTTP status is not 200."
        ErrorIn200 "error-in-200" "The body is an error, but the HTTP status says success."
        ErrorUntyped "error-untyped" "An error's body is none of the contract's four."
        TypeWrong "type-wrong" "A `_type` is not the one that belongs there."
        MemberMissing "member-missing" "An object lacks a member."
        MemberExtra "member-extra" "An object has a member that the contract does not have."
        MemberTwice "member-twice" "An object has the same member twice."
        MemberType "member-type" "A member has another JSON type than in the contract."
        ConnectionFailed "connection-failed" "The connection test answers `FAILURE`: the mirror cannot query its store, so there is nothing to read."
        ConnectionFailureAsError "connection-failure-as-error" "The connection test of a store that cannot be reached is answered with an error instead of `FAILURE` with status 200."
        NothingToRead "nothing-to-read" "No metric with points in the last hour was found, so most of the contract could not be tried."
        RequestRefused "request-refused" "A request as StackState sends it is answered with an error."
        DoubleSlashRefused "double-slash-refused" "`//api/…` is not answered, so a data source URL that ends in `/` does not work."
        FieldObjectRefused "field-object-refused" "`query.field` is refused as the FieldDescriptor object that StackState sends; the mirror wants a string."
        LimitAllRefused "limit-all-refused" "`limit: 2147483647`, which means all, is refused."
        NullAggregationRefused "null-aggregation-refused" "`aggregation: null`, which means raw, is refused."
        FloatsRefused "floats-refused" "Whole numbers that are written with `.0` are refused."
        AbsentTypeRefused "absent-type-refused" "A request without a `_type` is refused although its place says what it must be."
        OptionalMembersRefused "optional-members-refused" "A request is refused because an optional member is absent, null, or there."
        ValueTypeRefused "value-type-refused" "A condition with a `DoubleValue`, `BooleanValue` or `InSetValue` is refused."
        PrefixIgnored "prefix-ignored" "Values are answered that do not begin with `fieldValuePrefix`."
        PatternNotRefined "pattern-not-refined" "A `FieldValuePattern` that comes back as `fieldValuePrefix` is refused or leads to nothing new."
        ValuesIncomplete "values-incomplete" "Values that the mirror itself listed are missing when it is asked through prefixes, patterns or pages, or the reverse."
        LimitExceeded "limit-exceeded" "An answer has more entries than `limit`."
        MethodRefused "method-refused" "An aggregation method is refused, and not with an `UnsupportedFieldTypeError`."
        DataFormat "data-format" "`dataFormat` is not the one of raw or of aggregated points."
        PointShape "point-shape" "A point is not an array of a value and one or two whole timestamps."
        ValueNotANumber "value-not-a-number" "The value of a point is `NaN`, infinite, null, or a string."
        PointsUnsorted "points-unsorted" "Points are not ascending."
        PointsDuplicate "points-duplicate" "Two points have the same timestamp."
        PointOutsideRange "point-outside-range" "A point lies before `startTime` (a bucket: ends before it) or after `endTime`."
        BucketWidth "bucket-width" "A bucket is not as long as `bucketSizeMillis`."
        BucketUnaligned "bucket-unaligned" "A bucket does not start at a multiple of its length."
        BucketChanged "bucket-changed" "A bucket that was over has another value, or is gone, when the range moves on."
        CutNotPartial "cut-not-partial" "The limit cuts an answer, but `isPartial` is false."
        PagesIncomplete "pages-incomplete" "Points are lost when one follows `isPartial` to its end."
        PartialWithoutProgress "partial-without-progress" "An answer is partial and has nothing new: whoever follows it asks for ever."
        PartialEndless "partial-endless" "Answers stay partial for more pages than any range could need."
        WrongTypeAccepted "wrong-type-accepted" "A request with a wrong `_type` is answered as if it were right."
        BrokenJsonAccepted "broken-json-accepted" "A request that is not JSON is answered as if it were right."
        UnknownMetric "unknown-metric" "A metric that does not exist is not answered with a `MetricNotFoundError`."
    }
}

named! {
    /// Worth knowing, but no breach of the contract.
    Note {
        KeyRequired "key-required" "Requests without a key are refused. StackState is not known to send one."
        WrongKeyAccepted "wrong-key-accepted" "A request with a wrong key is answered."
        ContentType "content-type" "An answer's `Content-Type` is not `application/json`."
        ConnectionDetailsIgnored "connection-details-ignored" "The mirror says that it reaches a store where nothing listens, so it seems not to look at `connectionDetails`."
        KindNotListed "kind-not-listed" "The field names lack one of `__counter__`, `__gauge__` and `__histogram__`."
        ListingPartial "listing-partial" "A list is partial although all of it was asked for: the store may be incomplete."
        ListingTooLarge "listing-too-large" "A list is too large to be looked at."
        ListingDuplicates "listing-duplicates" "A list has an entry twice."
        OffsetIgnored "offset-ignored" "A partial list cannot be continued with `offset`."
        RefinementStopped "refinement-stopped" "A list has too many patterns or pages to follow all of them."
        RawNotRead "raw-not-read" "No set of conditions was found that leaves a single series to read raw."
        MethodUnsupported "method-unsupported" "An aggregation method is answered with an `UnsupportedFieldTypeError`."
        BucketUnfinished "bucket-unfinished" "An answer has a bucket that is not over at `endTime`."
        TimestampAsFloat "timestamp-as-float" "A timestamp is written with `.0`."
        LongRangeRefused "long-range-refused" "Half a year in buckets of a day is refused."
        RoundTooLong "round-too-long" "Not all streams were answered before the next poll was due."
    }
}

/// A fault or a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A breach of the contract.
    Fault(Fault),
    /// Worth knowing.
    Note(Note),
}

impl From<Fault> for What {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Note> for What {
    fn from(note: Note) -> Self {
        Self::Note(note)
    }
}

impl What {
    /// The stable name, in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.name(),
            Self::Note(note) => note.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of the tables in the documentation.
    fn row(name: &str, meaning: &str) -> String {
        format!("| `{name}` | {meaning} |\n")
    }

    #[test]
    fn the_page_lists_every_fault_and_every_note_in_order() {
        let page = include_str!("../../../docs/conformance.md");
        let faults: String = Fault::ALL
            .iter()
            .map(|fault| row(fault.name(), fault.meaning()))
            .collect();
        let notes: String = Note::ALL
            .iter()
            .map(|note| row(note.name(), note.meaning()))
            .collect();
        assert!(
            page.contains(&faults),
            "docs/conformance.md must have:\n{faults}"
        );
        assert!(
            page.contains(&notes),
            "docs/conformance.md must have:\n{notes}"
        );
    }

    #[test]
    fn names_are_in_kebab_case_and_all_different() {
        let names: Vec<&str> = (Fault::ALL.iter().map(|fault| fault.name()))
            .chain(Note::ALL.iter().map(|note| note.name()))
            .collect();
        let different: std::collections::BTreeSet<&&str> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        for name in names {
            assert!(
                name.chars()
                    .all(|c| c == '-' || c.is_ascii_lowercase() || c.is_ascii_digit()),
                "{name}"
            );
        }
    }
}
