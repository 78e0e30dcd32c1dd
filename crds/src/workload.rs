//! What runs beside the pods: autoscaling, disruption budget, monitoring.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::StringMap;
use crate::{Duration, rules, schemas};

/// Scales the number of pods with their CPU usage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::AUTOSCALING)))]
pub struct Autoscaling {
    /// The minimum number of pods.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: i32,

    /// The maximum number of pods.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,

    /// The target for the average CPU usage, in percent of the pods' CPU requests.
    #[serde(default = "default_cpu", rename = "targetCPUUtilizationPercentage")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: i32,
}

/// How many pods may be evicted at once. Without either field: one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::POD_DISRUPTION_BUDGET)))]
pub struct PodDisruptionBudget {
    /// How many pods must stay available, as a number or a percentage such as 50%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::pods_or_percentage")]
    pub min_available: Option<IntOrString>,

    /// How many pods may be unavailable, as a number or a percentage such as 50%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::pods_or_percentage")]
    pub max_unavailable: Option<IntOrString>,
}

/// A ServiceMonitor of the Prometheus Operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitor {
    /// How often the mirror's own metrics are scraped, such as 30s. From 1s to 1h. Default: the
    /// Prometheus server's own interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::schema(rules::SCRAPE_INTERVAL)))]
    pub interval: Option<Duration>,

    /// Labels of the ServiceMonitor, for a Prometheus that selects by label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = { "type": "string", "maxLength": 63 }))]
    pub labels: StringMap,
}

const fn default_min_replicas() -> i32 {
    1
}

const fn default_cpu() -> i32 {
    80
}
