//! Secrets that anybody who reads the repository reads.

use crate::context::containers;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "secret-in-plain-text",
    severity: Severity::Error,
    why: "What is written in a manifest is in the repository, in every clone, and in the output of kubectl describe.",
    example: "env: {name: DB_PASSWORD, value: hunter2}",
    advice: "Keep it in the stack's encrypted secrets (`marea secret set`) and refer to a Secret.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in &context.platform.workloads {
        for (pointer, container) in containers(workload) {
            for (index, variable) in container.env.iter().flatten().enumerate() {
                let Some(value) = variable.value.as_deref() else { continue };
                if is_secret(&variable.name, value) {
                    let message = format!("container {} has {} in plain text", container.name, variable.name);
                    report.add(At::object(workload.object, format!("{pointer}/env/{index}/value")), message);
                }
            }
            let arguments = container.args.iter().flatten().chain(container.command.iter().flatten());
            if arguments.into_iter().any(|argument| is_secret_argument(argument)) {
                let message = format!("container {} has a password among its arguments", container.name);
                report.add(At::object(workload.object, format!("{pointer}/args")), message);
            }
        }
    }
    for (index, map) in context.platform.of_kind("ConfigMap") {
        for (key, value) in map["data"].as_object().into_iter().flatten() {
            if value.as_str().is_some_and(|value| is_secret(key, value)) {
                report.add(At::object(index, pointer("data", key)), format!("a ConfigMap is no place for `{key}`"));
            }
        }
    }
    for (index, secret) in context.platform.of_kind("Secret") {
        // What the deploy stack makes of its encrypted secrets is in no file.
        if !report.is_written(index) {
            continue;
        }
        for section in ["data", "stringData"] {
            let entries = secret[section].as_object().into_iter().flatten();
            for (key, _) in entries.filter(|(_, value)| value.as_str().is_some_and(|value| !value.is_empty())) {
                report.add(At::object(index, pointer(section, key)), format!("a manifest holds the value of `{key}`"));
            }
        }
    }
}

fn pointer(section: &str, key: &str) -> String {
    format!("/{section}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Words that name a secret. `TOKEN_URL` and the like name a place, and a value that refers to a variable is none.
fn is_secret(name: &str, value: &str) -> bool {
    if value.is_empty() || value.starts_with("$(") {
        return false;
    }
    if value.contains("PRIVATE KEY-----") || has_password(value) {
        return true;
    }
    let name = name.to_uppercase().replace(['-', '.'], "_");
    let words: Vec<&str> = name.split('_').collect();
    let last = words.last().copied().unwrap_or_default();
    let secret = ["PASSWORD", "PASSWD", "PASSPHRASE"].iter().any(|end| last.ends_with(end))
        || ["SECRET", "TOKEN", "APIKEY"].contains(&last);
    let key =
        last == "KEY" && words.iter().any(|word| ["API", "ACCESS", "SECRET", "PRIVATE", "ENCRYPTION"].contains(word));
    (secret || key) && !matches!(value, "true" | "false" | "0" | "1")
}

/// `scheme://user:password@host`
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', ' ']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return false };
    user.split_once(':').is_some_and(|(_, password)| !password.is_empty() && !password.starts_with('$'))
}

fn is_secret_argument(argument: &str) -> bool {
    let Some((name, value)) = argument.trim_start_matches('-').split_once('=') else { return has_password(argument) };
    argument.starts_with('-') && is_secret(name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str, expected: bool) {
        assert_eq!(is_secret(name, value), expected, "{name}={value}");
    }

    #[test]
    fn names_and_values_tell() {
        check("DB_PASSWORD", "hunter2", true);
        check("PGSSLPASSWORD", "hunter2", true);
        check("api.key", "abc", true);
        check("STRIPE_SECRET_KEY", "abc", true);
        check("DATABASE_URL", "postgres://u:p@db/x", true);
        check("DATABASE_URL", "postgres://u@db/x", false);
        check("DATABASE_URL", "postgres://u:$(PASSWORD)@db/x", false);
        check("tls", "-----BEGIN PRIVATE KEY-----", true);
        check("PASSWORD", "$(OTHER)", false);
        check("TOKEN_URL", "https://login.example/token", false);
        check("REQUIRE_TOKEN", "true", false);
        check("SORT_KEY", "name", false);
        check("PASSWORD", "", false);
        assert!(is_secret_argument("--db-password=x") && !is_secret_argument("--log.level=INFO"));
    }
}
