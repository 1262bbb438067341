//! Paths that lead nowhere.

use k8s_openapi::api::networking::v1::IngressServiceBackend;

use crate::context::namespace_of;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "ingress-backend",
    severity: Severity::Error,
    why: "A path whose Service or port does not exist answers 404 or 503.",
    example: "path /api to the Service backend, port 8080, which has port 80",
    advice: "Name a Service of the Ingress's namespace and one of its ports.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for (index, ingress) in &context.ingresses {
        let Some(spec) = &ingress.spec else { continue };
        let namespace = namespace_of(&ingress.metadata.namespace);
        let mut backends = Vec::new();
        if let Some(service) = spec.default_backend.as_ref().and_then(|backend| backend.service.as_ref()) {
            backends.push(("/spec/defaultBackend".to_owned(), "the default backend".to_owned(), service));
        }
        for (rule_index, rule) in spec.rules.iter().flatten().enumerate() {
            for (path_index, path) in rule.http.iter().flat_map(|http| &http.paths).enumerate() {
                let Some(service) = &path.backend.service else { continue };
                let field = format!("/spec/rules/{rule_index}/http/paths/{path_index}/backend");
                backends.push((field, format!("the path {}", path.path.as_deref().unwrap_or("/")), service));
            }
        }
        for (field, what, backend) in backends {
            if let Some(problem) = problem(context, namespace, backend) {
                report.add(At::object(*index, field), format!("{what} leads to {problem}"));
            }
        }
    }
}

fn problem(context: &Context<'_>, namespace: &str, backend: &IngressServiceBackend) -> Option<String> {
    let name = &backend.name;
    let Some((_, service)) = context.service(namespace, name) else {
        return Some(format!("the Service {name}, which {namespace} has not"));
    };
    let wanted = backend.port.as_ref()?;
    let mut ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    let found = ports.any(|port| match (&wanted.name, wanted.number) {
        (Some(name), _) => port.name.as_ref() == Some(name),
        (None, Some(number)) => port.port == number,
        (None, None) => true,
    });
    let text = wanted.name.clone().unwrap_or_else(|| wanted.number.unwrap_or_default().to_string());
    (!found).then(|| format!("the Service {name}, which has no port {text}"))
}
