//! Schemas written by hand, for Kubernetes' own types inside the spec.
//!
//! The generated ones have no bounds and no list types, and their descriptions alone would make the
//! CRD too large for the annotation in which `kubectl apply` stores it.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::{patterns, rules};

/// `NetworkPolicyPeer`s.
pub(crate) fn network_policy_peers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "description": "Who may connect: an address range, or the pods that the selectors match.",
            "x-kubernetes-validations": rules::schema(rules::NETWORK_POLICY_PEER),
            "properties": {
                "ipBlock": {
                    "type": "object",
                    "description": "A range of addresses.",
                    "required": ["cidr"],
                    "properties": {
                        "cidr": {
                            "type": "string", "minLength": 1, "maxLength": 64,
                            "description": "The range, such as 10.0.0.0/8 or 2001:db8::/64."
                        },
                        "except": {
                            "type": "array", "maxItems": 64, "x-kubernetes-list-type": "atomic",
                            "description": "Ranges within cidr that may not connect.",
                            "items": { "type": "string", "minLength": 1, "maxLength": 64 }
                        }
                    }
                },
                "podSelector": label_selector("Pods with these labels, in the namespaces that namespaceSelector matches, or in this namespace without it. {} matches all."),
                "namespaceSelector": label_selector("Namespaces with these labels. {} matches all.")
            }
        }
    })
}

fn label_selector(description: &str) -> Value {
    json!({
        "type": "object",
        "description": description,
        "properties": {
            "matchLabels": {
                "type": "object", "maxProperties": 32,
                "description": "Labels and the values they must have.",
                "additionalProperties": { "type": "string", "maxLength": 63 }
            },
            "matchExpressions": {
                "type": "array", "maxItems": 32, "x-kubernetes-list-type": "atomic",
                "description": "Conditions on labels; all must hold.",
                "items": {
                    "type": "object",
                    "description": "A condition on a label.",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {
                            "type": "string", "minLength": 1, "maxLength": 317, "description": "The name of the label."
                        },
                        "operator": {
                            "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                            "description": "In and NotIn compare with values; Exists and DoesNotExist take none."
                        },
                        "values": {
                            "type": "array", "maxItems": 64, "x-kubernetes-list-type": "atomic",
                            "description": "The values to compare with.",
                            "items": { "type": "string", "maxLength": 63 }
                        }
                    }
                }
            }
        }
    })
}

/// `ResourceRequirements`, without claims.
pub(crate) fn resources(_: &mut SchemaGenerator) -> Schema {
    let quantities = |description: &str| {
        json!({
            "type": "object",
            "maxProperties": 16,
            "description": description,
            "additionalProperties": {
                "x-kubernetes-int-or-string": true,
                "maxLength": 32,
                "pattern": patterns::QUANTITY
            }
        })
    };
    json_schema!({
        "type": "object",
        "properties": {
            "limits": quantities("The maximum that the container may use, such as {memory: 128Mi}."),
            "requests": quantities("What the container is guaranteed, such as {cpu: 50m, memory: 32Mi}.")
        }
    })
}

/// A pod template: whatever the cluster's version of Kubernetes understands.
pub(crate) fn pod_template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A port by number or by name.
pub(crate) fn service_port(_: &mut SchemaGenerator) -> Schema {
    int_or_string(1..=65_535, patterns::PORT_NAME)
}

/// A number of pods or a percentage.
pub(crate) fn pods_or_percentage(_: &mut SchemaGenerator) -> Schema {
    int_or_string(0..=100, patterns::PERCENTAGE)
}

/// The range is for the number, the pattern for the text: bounds of a JSON schema do not apply to
/// values of other types.
fn int_or_string(range: std::ops::RangeInclusive<i32>, pattern: &str) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "minimum": range.start(),
        "maximum": range.end(),
        "maxLength": 15,
        "pattern": pattern
    })
}

/// Conditions as every Kubernetes API has them.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of the resource's state.",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "type": "string", "minLength": 1, "maxLength": 316, "description": "Which aspect, such as Ready."
                },
                "status": {
                    "type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."
                },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024,
                    "description": "The reason, as one word for programs."
                },
                "message": { "type": "string", "maxLength": 32768, "description": "The reason, and what to do, for people." },
                "observedGeneration": {
                    "type": "integer", "format": "int64", "minimum": 0,
                    "description": "The metadata.generation that this condition describes."
                },
                "lastTransitionTime": {
                    "type": "string", "format": "date-time", "description": "When status last changed."
                }
            }
        }
    })
}

/// A piece of a manifest that the operator rendered.
pub(crate) fn rendered(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "The container, to be added to a pod's initContainers.",
        "x-kubernetes-preserve-unknown-fields": true
    })
}

/// Several of them.
pub(crate) fn rendered_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "atomic",
        "description": "The volumes that the container mounts, to be added to a pod's volumes.",
        "items": {
            "type": "object",
            "description": "A volume.",
            "x-kubernetes-preserve-unknown-fields": true
        }
    })
}
