//! A version that AKS no longer supports.

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "kubernetes-version",
    severity: Severity::Warning,
    why: "AKS gives no fixes for a version past its end, does not make new clusters of it, and moves old ones on by itself.",
    example: "kubernetesVersion: 1.33 without long-term support",
    advice: "Choose a supported minor version; AKS upgrades one minor version at a time.",
    check,
};

/// AKS "Supported Kubernetes versions" as of November 2026: 1.34 ended that month, 1.37 is the newest.
const OLDEST_SUPPORTED: u32 = 35;
const NEWEST: u32 = 37;

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let cluster = &context.platform.cluster;
    let Some(version) = &cluster.kubernetes_version else { return };
    let mut parts = version.split('.');
    let (major, minor) = (parts.next(), parts.next().and_then(|minor| minor.parse::<u32>().ok()));
    let at = || At::Cluster("kubernetesVersion");
    match (major, minor) {
        (Some("1"), Some(minor)) if minor > NEWEST => report.add(at(), format!("{version} is newer than any of AKS")),
        // The Premium tier's long-term support goes on for a second year.
        (Some("1"), Some(minor)) if minor < OLDEST_SUPPORTED && cluster.tier != "Premium" => {
            report.add(at(), format!("{version} is past its end; AKS supports 1.{OLDEST_SUPPORTED} to 1.{NEWEST}"));
        }
        (Some("1"), Some(_)) => {}
        _ => report.add(at(), format!("`{version}` is not a version of Kubernetes")),
    }
}
