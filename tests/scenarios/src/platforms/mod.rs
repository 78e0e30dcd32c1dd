//! Clusters that differ from the usual one: with IPv6 only or with both IP families, whichever the
//! cluster was brought up with, and such as assign users to pods.

mod addresses;
mod openshift;

use crate::operator::{lifecycle, prepare};
use crate::operator_pods::{PODS, SYSTEM};
use crate::suite::{Suite, alone, together};

pub(crate) fn suite() -> Suite {
    let together = together![
        lifecycle: a_new_mirror_becomes_ready_and_answers, a_pod_asks_the_mirror_by_its_dns_name;
        addresses:
            servers_are_read_by_their_addresses,
            an_alias_is_read_by_the_name_that_it_stands_for,
            a_service_of_both_families_is_left_alone,
            a_field_that_cannot_change_says_what_to_do;
    ];
    // It restarts the operator.
    let alone = alone![openshift: where_users_are_assigned_mirrors_run_all_the_same;];
    Suite {
        prepare,
        scenarios: together.into_iter().chain(alone).collect(),
        describe: &[
            &["get", "pods,services", "-A", "-o", "wide"],
            &["-n", SYSTEM, "logs", "-l", PODS, "--tail=30"],
        ],
    }
}
