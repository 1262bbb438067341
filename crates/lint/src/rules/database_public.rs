//! A database that the internet reaches.

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "database-public",
    severity: Severity::Error,
    why: "A server with public access is one firewall rule and one password away from anybody.",
    example: "network.publicNetworkAccess: Enabled",
    advice: "Use a delegated subnet with a private DNS zone and disable public access.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let Some(database) = &context.platform.database else { return };
    let enabled =
        database.public_network_access.as_deref().is_some_and(|access| access.eq_ignore_ascii_case("enabled"));
    // Azure's default without a delegated subnet is public.
    if enabled || (database.subnet.is_none() && database.public_network_access.is_none()) {
        report.add(At::Database("network"), "is reachable from the internet");
    }
}
