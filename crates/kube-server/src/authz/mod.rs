//! Who may do what: RBAC as `plugin/pkg/auth/authorizer/rbac` of Kubernetes 1.36 decides it.

mod bootstrap;
mod request;
mod rules;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use std::sync::Arc;

pub use bootstrap::{bootstrap_objects, system_masters_may_everything};
pub use request::{Asked, forbidden_message};
pub use rules::{covers, rule_allows};

use crate::api::identity::Caller;
use crate::client::Client;

/// The roles and bindings of a cluster, as they are now.
pub struct Policies {
    roles: Vec<Arc<Role>>,
    cluster_roles: Vec<Arc<ClusterRole>>,
    role_bindings: Vec<Arc<RoleBinding>>,
    cluster_role_bindings: Vec<Arc<ClusterRoleBinding>>,
}

const GROUP: &str = "rbac.authorization.k8s.io";

impl Policies {
    pub fn of(client: &Client) -> Policies {
        Policies {
            roles: client.list(None),
            cluster_roles: client.list(None),
            role_bindings: client.list(None),
            cluster_role_bindings: client.list(None),
        }
    }

    /// Whether some rule that is bound to the caller allows the request.
    pub fn allow(&self, caller: &Caller, asked: &Asked<'_>) -> bool {
        if caller.in_process || system_masters_may_everything(caller) {
            return true;
        }
        self.rules_of(caller, asked.namespace).iter().any(|rule| rule_allows(rule, asked))
    }

    /// Every rule that counts for the caller: the cluster's everywhere, a namespace's own in it.
    pub fn rules_of(&self, caller: &Caller, namespace: Option<&str>) -> Vec<&PolicyRule> {
        let mut rules = Vec::new();
        for binding in &self.cluster_role_bindings {
            if applies(binding.subjects.as_deref(), caller, None) {
                rules.extend(self.rules_behind(&binding.role_ref, None));
            }
        }
        let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) else { return rules };
        for binding in &self.role_bindings {
            if binding.metadata.namespace.as_deref() == Some(namespace)
                && applies(binding.subjects.as_deref(), caller, Some(namespace))
            {
                rules.extend(self.rules_behind(&binding.role_ref, Some(namespace)));
            }
        }
        rules
    }

    /// The rules of a role that a binding names; none when it does not exist.
    pub fn rules_behind(&self, reference: &RoleRef, namespace: Option<&str>) -> &[PolicyRule] {
        let rules = match reference.kind.as_str() {
            "ClusterRole" => {
                let named = |role: &&Arc<ClusterRole>| role.metadata.name.as_deref() == Some(&reference.name);
                self.cluster_roles.iter().find(named).and_then(|role| role.rules.as_deref())
            }
            "Role" => {
                let named = |role: &&Arc<Role>| {
                    role.metadata.name.as_deref() == Some(&reference.name)
                        && role.metadata.namespace.as_deref() == namespace
                };
                self.roles.iter().find(named).and_then(|role| role.rules.as_deref())
            }
            _ => None,
        };
        rules.unwrap_or_default()
    }

    /// The first of these rules that the caller does not hold, and may therefore not hand on: writing a role or a binding
    /// must not be a way to more rights (`pkg/registry/rbac/escalation_check.go`).
    pub fn escalation<'r>(
        &self,
        caller: &Caller,
        namespace: Option<&str>,
        wanted: &'r [PolicyRule],
    ) -> Option<&'r PolicyRule> {
        if caller.in_process || system_masters_may_everything(caller) {
            return None;
        }
        let held = self.rules_of(caller, namespace);
        wanted.iter().find(|rule| !covers(&held, rule))
    }
}

fn applies(subjects: Option<&[Subject]>, caller: &Caller, namespace: Option<&str>) -> bool {
    subjects.unwrap_or_default().iter().any(|subject| match subject.kind.as_str() {
        "User" => is_rbac(subject) && subject.name == caller.name,
        "Group" => is_rbac(subject) && caller.groups.contains(&subject.name),
        "ServiceAccount" => {
            let home = subject.namespace.as_deref().or(namespace).unwrap_or_default();
            caller.name == format!("system:serviceaccount:{home}:{}", subject.name)
        }
        _ => false,
    })
}

fn is_rbac(subject: &Subject) -> bool {
    subject.api_group.as_deref().is_none_or(|group| group.is_empty() || group == GROUP)
}

#[cfg(test)]
mod tests;
