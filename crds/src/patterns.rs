//! The regular expressions of the schema, each with words for people.
//!
//! They keep to what Go's RE2 (the API server) and `regex-lite` (here) both understand in the same
//! way.

/// Words for a pattern.
#[derive(Debug)]
pub struct Pattern {
    /// As in the schema.
    pub regex: &'static str,
    /// Completes "must be …".
    pub meaning: &'static str,
    /// A text that fits.
    pub example: &'static str,
}

/// A DNS label (RFC 1123).
pub const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A DNS subdomain (RFC 1123): what most objects' names are.
pub const DNS_SUBDOMAIN: &str =
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A host of an HTTPRoute: a DNS subdomain, or one with the first label replaced by a star.
pub const ROUTE_HOST: &str =
    r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A key of a Secret or ConfigMap.
pub const DATA_KEY: &str = "^[-._a-zA-Z0-9]+$";
/// A label name that every Prometheus accepts.
pub const LABEL_NAME: &str = "^[a-zA-Z_][a-zA-Z0-9_]*$";
/// An absolute path of a URL.
pub const URL_PATH: &str = r"^/[^?#\s]*$";
/// A container image.
pub const IMAGE: &str = r"^\S+$";
/// The ARN of an AWS role.
pub const ROLE_ARN: &str = r"^arn:[-a-z0-9]+:iam::[0-9]{12}:role/\S+$";
/// The name of a Service's port: a DNS label of at most 15 characters that is not a number.
pub const PORT_NAME: &str = "^[a-z]([-a-z0-9]*[a-z0-9])?$";
/// A percentage from 0 to 100.
pub const PERCENTAGE: &str = "^(100|[0-9]{1,2})%$";
/// A quantity of CPU or memory.
pub const QUANTITY: &str = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$";

/// An amount of memory, at least ten megabytes.
pub const MEMORY: &str = "^([1-9][0-9]{1,6}(M|Mi)|[1-9][0-9]{0,3}(G|Gi))$";

/// The name of an HTTP header.
pub const HEADER_NAME: &str = "^[-A-Za-z0-9_]+$";

/// The path of a field within an object.
pub const FIELD_PATH: &str = r"^(/[^/\s]+)+$";

/// A name that may have a DNS subdomain in front, as those of labels have.
pub const QUALIFIED_NAME: &str =
    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";

/// Every pattern of the schema.
pub const ALL: &[Pattern] = &[
    Pattern {
        regex: FIELD_PATH,
        meaning: "the path of a field: names with a / in front of each",
        example: "/spec/securityContext/runAsUser",
    },
    Pattern {
        regex: QUALIFIED_NAME,
        meaning: "letters, digits, dashes, underscores and dots, which may have a DNS name and a / in front",
        example: "service.k8s.aws/nlb",
    },
    Pattern {
        regex: HEADER_NAME,
        meaning: "the name of an HTTP header: letters, digits, dashes and underscores",
        example: "X-API-Key",
    },
    Pattern {
        regex: DNS_LABEL,
        meaning: "lower-case letters, digits and dashes, with a letter or digit at both ends",
        example: "team-a",
    },
    Pattern {
        regex: DNS_SUBDOMAIN,
        meaning: "lower-case letters, digits, dashes and dots, with a letter or digit at both ends of every part",
        example: "mirror-key",
    },
    Pattern {
        regex: ROUTE_HOST,
        meaning: "a lower-case host name, or one whose first part is *",
        example: "*.example.com",
    },
    Pattern {
        regex: DATA_KEY,
        meaning: "letters, digits, dashes, underscores and dots",
        example: "apiKey",
    },
    Pattern {
        regex: LABEL_NAME,
        meaning: "a Prometheus label name: letters, digits and underscores, not starting with a digit",
        example: "namespace",
    },
    Pattern {
        regex: URL_PATH,
        meaning: "a path that starts with / and has no query, fragment or space",
        example: "/prometheus",
    },
    Pattern {
        regex: IMAGE,
        meaning: "a container image without spaces",
        example: "registry.example.com/prometheus-mirror:0.1.0",
    },
    Pattern {
        regex: ROLE_ARN,
        meaning: "the ARN of a role",
        example: "arn:aws:iam::123456789012:role/prometheus-reader",
    },
    Pattern {
        regex: PORT_NAME,
        meaning: "a port number, or the name of a port: lower-case letters, digits and dashes, starting with a letter",
        example: "web",
    },
    Pattern {
        regex: PERCENTAGE,
        meaning: "a number of pods or a percentage",
        example: "50%",
    },
    Pattern {
        regex: QUANTITY,
        meaning: "a quantity",
        example: "100m or 64Mi",
    },
    Pattern {
        regex: MEMORY,
        meaning: "a whole number of megabytes or gigabytes, at least 10M",
        example: "400Mi or 1G",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_its_examples_fit() {
        for pattern in ALL {
            let regex = regex_lite::Regex::new(pattern.regex).unwrap();
            for example in pattern.example.split(" or ") {
                assert!(
                    regex.is_match(example),
                    "{example} does not fit {}",
                    pattern.regex
                );
            }
            assert!(!regex.is_match("no Ä !\n"), "{}", pattern.regex);
        }
    }
}
