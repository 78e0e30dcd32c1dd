//! The methods of the Mirror API, in one table: where they are, what their requests are called, and
//! how metrics name them.

/// A method of the Mirror API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiMethod {
    /// Does the connection work?
    Connection,
    /// Which fields are there?
    FieldNames,
    /// Which values has a field?
    FieldValues,
    /// Which points has a metric?
    Metric,
    /// What would a field or metric request send? Its requests have the types of those.
    Explain,
    /// Why has a metric no points? Its requests have the type of those for points.
    Why,
    /// What stands behind the names and values that a field request lists? Its requests have the
    /// types of those.
    Describe,
}

/// A row of the table.
struct Row {
    path: &'static str,
    label: &'static str,
    request_type: &'static str,
    query_type: &'static str,
}

impl ApiMethod {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 7] = [
        Self::Connection,
        Self::FieldNames,
        Self::FieldValues,
        Self::Metric,
        Self::Explain,
        Self::Why,
        Self::Describe,
    ];

    const fn row(self) -> Row {
        let (path, label, request_type, query_type) = match self {
            Self::Connection => ("/api/connection", "connection", "TestConnectionRequest", ""),
            Self::FieldNames => (
                "/api/field/name",
                "field_name",
                "FieldNamesRequest",
                "FieldNamesQuery",
            ),
            Self::FieldValues => (
                "/api/field/value",
                "field_value",
                "FieldValuesRequest",
                "FieldValuesQuery",
            ),
            Self::Metric => ("/api/metric", "metric", "MetricsRequest", "MetricsQuery"),
            Self::Explain => ("/api/explain", "explain", "", ""),
            Self::Why => ("/api/why", "why", "MetricsRequest", "MetricsQuery"),
            Self::Describe => ("/api/describe", "describe", "", ""),
        };
        Row {
            path,
            label,
            request_type,
            query_type,
        }
    }

    /// Its path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        self.row().path
    }

    /// Its name in metrics and traces.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.row().label
    }

    /// The `_type` of its requests; empty if they are those of other methods.
    #[must_use]
    pub const fn request_type(self) -> &'static str {
        self.row().request_type
    }

    /// The `_type` of the query in its requests; empty if they have none of their own.
    #[must_use]
    pub const fn query_type(self) -> &'static str {
        self.row().query_type
    }

    /// The method that a request path means. Doubled and trailing slashes don't count, as for the
    /// router.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        fn segments(path: &str) -> impl Iterator<Item = &str> {
            path.split('/').filter(|segment| !segment.is_empty())
        }
        // Nearly all paths are written as in the table.
        let as_written = Self::ALL.into_iter().find(|method| method.path() == path);
        as_written.or_else(|| {
            let mut all = Self::ALL.into_iter();
            all.find(|method| segments(method.path()).eq(segments(path)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_and_trailing_slashes_do_not_count_and_other_paths_are_no_method() {
        let methods = [
            "/api/metric",
            "//api/metric/",
            "/api/field/name",
            "/api/field/value",
            "/api/connection",
            "/api/explain",
            "/api/why",
            "/api/describe",
            "/",
            "/api/metric/x",
            "/api/field/name/x/y",
        ]
        .map(ApiMethod::of_path);
        use ApiMethod::{Connection, Describe, Explain, FieldNames, FieldValues, Metric, Why};
        let expected = [
            Metric,
            Metric,
            FieldNames,
            FieldValues,
            Connection,
            Explain,
            Why,
            Describe,
        ];
        assert_eq!(methods[..8], expected.map(Some));
        assert_eq!(methods[8..], [None, None, None]);
    }
}
