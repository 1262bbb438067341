//! Acting as somebody else: `kubectl --as`, `--as-group` and `--as-uid` (`pkg/endpoints/filters/impersonation` of
//! `k8s.io/apiserver` v0.36.3).

use std::collections::BTreeMap;

use http::HeaderMap;

use crate::api::{Api, Caller};
use crate::authn::AUTHENTICATED;
use crate::authz::{self, Attributes};
use crate::error::ApiError;

const ANONYMOUS: &str = "system:anonymous";
const EXTRA: &str = "impersonate-extra-";

fn texts<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

/// `system:serviceaccount:<namespace>:<name>`
fn service_account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':')
}

/// Who the request is made as: the caller, or whom the headers name where the caller may do that.
///
/// # Errors
/// 403 where the caller may not, 400 for groups or more of nobody.
pub fn apply(api: &Api, caller: Caller, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let mut groups: Vec<String> = texts(headers, "impersonate-group").map(str::to_owned).collect();
    let uid = texts(headers, "impersonate-uid").next().unwrap_or_default();
    let extra = extra(headers);
    let Some(user) = texts(headers, "impersonate-user").next().filter(|user| !user.is_empty()) else {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(caller);
        }
        return Err(ApiError::bad_request("groups, a uid or more are impersonated without a user"));
    };
    let check = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let wanted = Attributes {
            verb: "impersonate".to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            path: String::new(),
        };
        authz::authorize(api, &caller, &wanted)
    };
    match service_account(user) {
        Some((namespace, name)) => check("", "serviceaccounts", "", namespace, name)?,
        None => check("", "users", "", "", user)?,
    }
    for group in &groups {
        check("", "groups", "", "", group)?;
    }
    if !uid.is_empty() {
        check("authentication.k8s.io", "uids", "", "", uid)?;
    }
    for (key, values) in &extra {
        for value in values {
            check("authentication.k8s.io", "userextras", key, "", value)?;
        }
    }
    if let (true, Some((namespace, _))) = (groups.is_empty(), service_account(user)) {
        groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    if user != ANONYMOUS && !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.to_owned());
    }
    tracing::info!(user = user, by = caller.name, "impersonated");
    Ok(Caller { name: user.to_owned(), uid: uid.to_owned(), groups, extra, ..Caller::default() })
}

fn extra(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if let (Some(key), Ok(value)) = (name.as_str().strip_prefix(EXTRA), value.to_str()) {
            extra.entry(key.to_owned()).or_default().push(value.to_owned());
        }
    }
    extra
}
