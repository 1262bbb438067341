//! One policy rule against one request, and against other rules (`pkg/apis/rbac/v1/evaluation_helpers.go`,
//! `component-helpers/auth/rbac/validation`).

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::request::Asked;

const ALL: &str = "*";

pub fn rule_allows(rule: &PolicyRule, asked: &Asked<'_>) -> bool {
    if !matches(&rule.verbs, asked.verb) {
        return false;
    }
    if !asked.is_resource() {
        return rule.non_resource_urls.iter().flatten().any(|pattern| url_matches(pattern, asked.path));
    }
    matches(rule.api_groups.as_deref().unwrap_or_default(), asked.group)
        && resource_matches(rule.resources.as_deref().unwrap_or_default(), asked.resource, asked.subresource)
        && name_matches(rule.resource_names.as_deref().unwrap_or_default(), asked.name)
}

fn matches(allowed: &[String], wanted: &str) -> bool {
    allowed.iter().any(|entry| entry == ALL || entry == wanted)
}

/// `pods`, `pods/log`, `*/scale` and `*`.
fn resource_matches(allowed: &[String], resource: &str, subresource: &str) -> bool {
    allowed.iter().any(|entry| {
        if entry == ALL {
            return true;
        }
        match entry.split_once('/') {
            None => subresource.is_empty() && entry == resource,
            Some((ALL, sub)) => !subresource.is_empty() && sub == subresource,
            Some((main, sub)) => main == resource && sub == subresource,
        }
    })
}

fn name_matches(allowed: &[String], name: &str) -> bool {
    allowed.is_empty() || allowed.iter().any(|entry| entry == name)
}

/// A trailing `*` stands for the rest of the path.
fn url_matches(pattern: &str, path: &str) -> bool {
    pattern == ALL || pattern == path || pattern.strip_suffix(ALL).is_some_and(|prefix| path.starts_with(prefix))
}

/// Whether these rules together allow everything that `wanted` allows. Each combination of verb, group, resource and name
/// must be covered by one rule, as upstream breaks rules down before it compares.
pub fn covers(held: &[&PolicyRule], wanted: &PolicyRule) -> bool {
    let none = [String::new()];
    let list = |values: &'_ Option<Vec<String>>| -> Vec<String> { values.clone().unwrap_or_default() };
    let urls = list(&wanted.non_resource_urls);
    let covers_url = |verb: &str, url: &str| {
        held.iter().any(|rule| {
            matches(&rule.verbs, verb)
                && rule.non_resource_urls.iter().flatten().any(|pattern| url_matches(pattern, url))
        })
    };
    if !wanted.verbs.iter().all(|verb| urls.iter().all(|url| covers_url(verb, url))) {
        return false;
    }
    let (groups, resources) = (list(&wanted.api_groups), list(&wanted.resources));
    let names = wanted.resource_names.clone().filter(|names| !names.is_empty()).unwrap_or_else(|| none.to_vec());
    wanted.verbs.iter().all(|verb| {
        groups.iter().all(|group| {
            resources.iter().all(|resource| names.iter().all(|name| covers_one(held, verb, group, resource, name)))
        })
    })
}

fn covers_one(held: &[&PolicyRule], verb: &str, group: &str, resource: &str, name: &str) -> bool {
    let (main, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    held.iter().any(|rule| {
        let names = rule.resource_names.as_deref().unwrap_or_default();
        matches(&rule.verbs, verb)
            && matches(rule.api_groups.as_deref().unwrap_or_default(), group)
            && resource_matches(rule.resources.as_deref().unwrap_or_default(), main, subresource)
            // A rule for named objects does not cover one for all of them.
            && (names.is_empty() || (!name.is_empty() && names.iter().any(|entry| entry == name)))
    })
}
