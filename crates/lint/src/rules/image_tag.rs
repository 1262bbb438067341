//! Images that are not the same tomorrow.

use crate::context::{containers, has_template};
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "image-tag",
    severity: Severity::Warning,
    why: "Without a version, a node that starts during a scale-out pulls another program than its neighbours run, and there is nothing to roll back to.",
    example: "image: registry.example/backend:latest",
    advice: "Name a version or a digest.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in context.platform.workloads.iter().filter(|workload| has_template(context.platform, workload)) {
        for (pointer, container) in containers(workload) {
            let image = container.image.as_deref().unwrap_or_default();
            let problem = match tag(image) {
                _ if image.is_empty() => "has no image".to_owned(),
                None => format!("runs `{image}`, which names no version"),
                Some("latest") => format!("runs `{image}`"),
                Some(_) => continue,
            };
            let message = format!("container {} {problem}", container.name);
            report.add(At::object(workload.object, format!("{pointer}/image")), message);
        }
    }
}

/// The tag, or the digest; a colon before the last slash is the registry's port.
fn tag(image: &str) -> Option<&str> {
    if let Some((_, digest)) = image.split_once('@') {
        return Some(digest);
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').map(|(_, tag)| tag).filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_behind_the_registrys_port() {
        for (image, expected) in [
            ("nginx", None),
            ("nginx:1.29", Some("1.29")),
            ("localhost:5000/nginx", None),
            ("localhost:5000/nginx:latest", Some("latest")),
            ("nginx@sha256:abc", Some("sha256:abc")),
            ("nginx:", None),
        ] {
            assert_eq!(tag(image), expected, "{image}");
        }
    }
}
