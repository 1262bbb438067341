//! Settings that the node autoscaler does not take.

use decide::nodes::Profile;
use serde_json::Value;

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "autoscaler-profile",
    severity: Severity::Error,
    why: "AKS refuses the whole cluster when one value of the autoscaler's profile is not of its form.",
    example: "scaleDownUnneededTime: ten minutes",
    advice: "Write durations as 10s or 10m, thresholds as 0.5, and one of the four expanders.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let Ok(Value::Object(profile)) = serde_json::to_value(&context.platform.cluster.autoscaler) else { return };
    for (key, value) in &profile {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let Err(error) = Profile::parse([(key.as_str(), text.as_str())]) {
            report.add(At::Cluster("autoscaler"), error.to_string());
        }
    }
}
