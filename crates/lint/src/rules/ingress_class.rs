//! Ingresses that no controller serves.

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "ingress-class",
    severity: Severity::Error,
    why: "An Ingress without a class that a controller serves is an object without an effect.",
    example: "ingressClassName: nginx, where only traefik is declared",
    advice: "Name a declared IngressClass, or make one the default.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let classes: Vec<_> = context.platform.of_kind("IngressClass").collect();
    // Without any, the controller comes from elsewhere.
    if classes.is_empty() {
        return;
    }
    let names: Vec<&str> = classes.iter().filter_map(|(_, class)| class["metadata"]["name"].as_str()).collect();
    let default = |class: &serde_json::Value| {
        class["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"] == "true"
    };
    for (index, ingress) in &context.ingresses {
        let class = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
        let message = match class {
            Some(class) if !names.contains(&class) => {
                format!("asks for the class `{class}`; declared are {}", names.join(", "))
            }
            None if !classes.iter().any(|(_, class)| default(class)) => {
                "has no class, and none is the default".to_owned()
            }
            _ => continue,
        };
        report.add(At::object(*index, "/spec/ingressClassName"), message);
    }
}
