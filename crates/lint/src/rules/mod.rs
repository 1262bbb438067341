//! One rule a file, and the list.

mod autoscaler_profile;
mod budget_blocks_drains;
mod budget_selects;
mod database_admits_others;
mod database_connections;
mod database_public;
mod duplicate_object;
mod grace_too_short;
mod host_path;
mod hpa_bounds;
mod hpa_container_unknown;
mod hpa_duplicate;
mod hpa_max_exceeds_pool;
mod hpa_scale_to_zero;
mod hpa_start_up_counts_as_load;
mod hpa_target_beyond_limit;
mod hpa_target_without_request;
mod hpa_without_target;
mod image_tag;
mod ingress_backend;
mod ingress_class;
mod kubernetes_version;
mod limit_below_request;
mod malformed_object;
mod namespace_missing;
mod network_policy_cuts_dns;
mod network_policy_cuts_path;
mod network_policy_selects;
mod pod_exceeds_node;
mod pod_range_too_small;
mod pool_bounds;
mod pool_credits;
mod privileged;
mod probe_port;
mod ranges_overlap;
mod readiness_missing;
mod reference_missing;
mod replicas_beside_hpa;
mod requests_missing;
mod rollout_does_not_fit;
mod runs_as_root;
mod secret_in_plain_text;
mod selector_mismatch;
mod service_monitor;
mod service_port;
mod service_without_pods;
mod spread_unsatisfiable;
mod subnet_too_small;
mod system_pool_single_node;
mod system_pool_size;
mod unknown_api_version;
mod unknown_pool;
mod untolerated_taint;
mod user_pool_size;
mod vm_size_retires;
mod vm_size_unknown;
mod workload_does_not_fit;

use crate::Rule;

/// Every rule, in the order of the table in `docs/rules.md`: autoscalers, pools, addresses, database, budgets, pods, secrets and
/// powers, paths, and objects as such.
pub const RULES: &[Rule] = &[
    hpa_bounds::RULE,
    hpa_scale_to_zero::RULE,
    hpa_without_target::RULE,
    hpa_duplicate::RULE,
    replicas_beside_hpa::RULE,
    hpa_target_without_request::RULE,
    hpa_container_unknown::RULE,
    hpa_target_beyond_limit::RULE,
    hpa_start_up_counts_as_load::RULE,
    hpa_max_exceeds_pool::RULE,
    rollout_does_not_fit::RULE,
    workload_does_not_fit::RULE,
    pod_exceeds_node::RULE,
    spread_unsatisfiable::RULE,
    unknown_pool::RULE,
    untolerated_taint::RULE,
    pool_bounds::RULE,
    pool_credits::RULE,
    system_pool_size::RULE,
    system_pool_single_node::RULE,
    user_pool_size::RULE,
    vm_size_retires::RULE,
    vm_size_unknown::RULE,
    kubernetes_version::RULE,
    autoscaler_profile::RULE,
    subnet_too_small::RULE,
    pod_range_too_small::RULE,
    ranges_overlap::RULE,
    database_connections::RULE,
    database_public::RULE,
    database_admits_others::RULE,
    budget_blocks_drains::RULE,
    budget_selects::RULE,
    requests_missing::RULE,
    limit_below_request::RULE,
    readiness_missing::RULE,
    probe_port::RULE,
    grace_too_short::RULE,
    image_tag::RULE,
    secret_in_plain_text::RULE,
    privileged::RULE,
    host_path::RULE,
    runs_as_root::RULE,
    selector_mismatch::RULE,
    service_without_pods::RULE,
    service_port::RULE,
    ingress_backend::RULE,
    ingress_class::RULE,
    network_policy_cuts_path::RULE,
    network_policy_cuts_dns::RULE,
    network_policy_selects::RULE,
    service_monitor::RULE,
    reference_missing::RULE,
    namespace_missing::RULE,
    duplicate_object::RULE,
    malformed_object::RULE,
    unknown_api_version::RULE,
];
