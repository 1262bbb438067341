//! Role-based access: which action a request is, and whether the caller's role assignments allow it.

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::providers;
use crate::request::{Method, Request};
use crate::roles;

pub(crate) const ASSIGNMENT_TYPE: &str = "Microsoft.Authorization/roleAssignments";
pub(crate) const DEFINITION_TYPE: &str = "Microsoft.Authorization/roleDefinitions";

/// What a request needs: an action such as `Microsoft.Network/virtualNetworks/write`, and the id it is done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub action: String,
    pub scope: String,
    /// A list: who may not read all of it is shown the part that he may.
    pub list: bool,
}

impl Access {
    /// `None` for what everybody who has a token may ask: tenants, and the state of an operation whose guid he knows.
    pub fn of(request: &Request, path: &str) -> Option<Access> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let lower = path.to_ascii_lowercase();
        let is = |at: usize, word: &str| segments.get(at).is_some_and(|segment| segment.eq_ignore_ascii_case(word));
        if !is(0, "subscriptions") || segments.len() < 2 {
            return None;
        }
        if lower.contains("operationresults/")
            || lower.contains("/privatednsoperationstatuses/")
            || lower.contains("/locations/") && segments.len() > 7
        {
            return None;
        }
        let verb = match request.method {
            Method::Get | Method::Head => "read",
            Method::Put | Method::Patch => "write",
            Method::Delete => "delete",
            Method::Post => "action",
        };
        match lower.rfind("/providers/") {
            Some(at) => Some(Access::of_provider(&path[..at], &path[at + "/providers/".len()..], verb)),
            None => Some(Access::of_scope(path, &segments, verb)),
        }
    }

    fn of_scope(path: &str, segments: &[&str], verb: &str) -> Access {
        let rest = &segments[2..];
        let (kind, list) = match rest.iter().map(|part| part.to_ascii_lowercase()).collect::<Vec<_>>().as_slice() {
            [] => ("subscriptions".to_owned(), false),
            [one] if one == "resourcegroups" => ("subscriptions/resourceGroups".to_owned(), true),
            [one] if one == "providers" => ("subscriptions/providers".to_owned(), false),
            [one, _] if one == "resourcegroups" => ("subscriptions/resourceGroups".to_owned(), false),
            [one, _, last] if one == "resourcegroups" && last == "resources" => {
                ("subscriptions/resourceGroups/resources".to_owned(), true)
            }
            [one, _, ..] if one == "resourcegroups" => (format!("subscriptions/resourceGroups/{}", rest[2]), false),
            [one, ..] => (format!("subscriptions/{}", rest[0]), one == "resources"),
        };
        Access { action: format!("Microsoft.Resources/{kind}/{verb}"), scope: path.to_owned(), list }
    }

    fn of_provider(scope: &str, rest: &str, verb: &str) -> Access {
        let parts: Vec<&str> = rest.split('/').collect();
        let full = format!("{scope}/providers/{rest}");
        let [namespace, pairs @ ..] = parts.as_slice() else { unreachable!("splitting gives at least one part") };
        if let [only] = pairs
            && ["register", "unregister"].iter().any(|word| only.eq_ignore_ascii_case(word))
        {
            return Access { action: format!("{namespace}/{only}/action"), scope: scope.to_owned(), list: false };
        }
        if pairs.is_empty() {
            let action = format!("Microsoft.Resources/subscriptions/providers/{verb}");
            return Access { action, scope: scope.to_owned(), list: false };
        }
        let types: Vec<&str> = pairs.iter().step_by(2).copied().collect();
        let resource_type = format!("{namespace}/{}", types.join("/"));
        let odd = pairs.len() % 2 == 1;
        let known = providers::find(&resource_type).map_or(resource_type, |kind| kind.resource_type.to_owned());
        if odd && verb == "action" {
            return Access { action: format!("{known}/action"), scope: full, list: false };
        }
        Access { action: format!("{known}/{verb}"), scope: if odd { scope.to_owned() } else { full }, list: odd }
    }
}

impl Engine {
    /// Refuses what the caller's roles do not allow. For lists, `Ok(false)` says that only a part may be shown.
    pub(crate) fn check_access(&self, principal: &str, app: &str, access: &Access) -> Result<bool, Fault> {
        if self.is_allowed(principal, &access.action, &access.scope) {
            return Ok(true);
        }
        if access.list && self.has_role_below(principal, &access.scope) {
            return Ok(false);
        }
        // Whoever has a role anywhere in the subscription sees the subscription itself.
        let general = ["subscriptions/read", "subscriptions/locations/read", "subscriptions/providers/read"];
        let wanted = access.action.strip_prefix("Microsoft.Resources/").unwrap_or_default();
        if general.contains(&wanted) && self.has_role_below(principal, &access.scope) {
            return Ok(true);
        }
        Err(Fault::new(
            403,
            "AuthorizationFailed",
            format!(
                "The client '{app}' with object id '{principal}' does not have authorization to perform action '{}' over scope '{}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
                access.action, access.scope
            ),
        ))
    }

    pub(crate) fn check_write(&self, principal: &str, resource_type: &str, scope: &str) -> Result<(), Fault> {
        let access = Access { action: format!("{resource_type}/write"), scope: scope.to_owned(), list: false };
        self.check_access(principal, principal, &access).map(|_| ())
    }

    pub(crate) fn is_allowed(&self, principal: &str, action: &str, scope: &str) -> bool {
        if principal == self.settings.owner_object_id {
            return true;
        }
        self.assignments_of(principal)
            .any(|(definition, own_scope)| is_within(scope, &own_scope) && self.role_allows(&definition, action))
    }

    fn has_role_below(&self, principal: &str, scope: &str) -> bool {
        self.assignments_of(principal).any(|(_, own_scope)| is_within(&own_scope, scope))
    }

    /// Whether the subscription is shown to this caller at all.
    pub(crate) fn sees_subscription(&self, principal: &str) -> bool {
        principal == self.settings.owner_object_id || self.assignments_of(principal).next().is_some()
    }

    /// Role definition ids and scopes, both in lower case.
    fn assignments_of<'a>(&'a self, principal: &str) -> impl Iterator<Item = (String, String)> + use<'a> {
        let principal = principal.to_owned();
        self.world().of_type(ASSIGNMENT_TYPE).into_iter().filter_map(move |assignment| {
            let properties = &assignment.body["properties"];
            let text = |name: &str| properties[name].as_str().map(str::to_ascii_lowercase);
            let own = text("principalId").is_some_and(|id| id.eq_ignore_ascii_case(&principal));
            if own { Some((text("roleDefinitionId")?, text("scope")?)) } else { None }
        })
    }

    fn role_allows(&self, definition: &str, action: &str) -> bool {
        let guid = definition.rsplit('/').next().unwrap_or_default();
        let Some(body) = self.role_definition(guid) else { return false };
        body["properties"]["permissions"].as_array().into_iter().flatten().any(|permission| {
            let covers = |list: &Value| {
                list.as_array().into_iter().flatten().filter_map(Value::as_str).any(|pattern| matches(pattern, action))
            };
            covers(&permission["actions"]) && !covers(&permission["notActions"])
        })
    }

    /// A built-in or custom role by its guid.
    pub(crate) fn role_definition(&self, guid: &str) -> Option<Value> {
        let custom =
            self.world().of_type(DEFINITION_TYPE).into_iter().find(|definition| {
                definition.id.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case(guid))
            });
        custom
            .map(|definition| definition.body.clone())
            .or_else(|| roles::built_in(guid, &self.settings.subscription_id))
    }

    /// Every role that can be assigned at a scope, narrowed by `$filter`.
    pub(crate) fn role_definitions(&self, scope: &str, filter: &str) -> Vec<Value> {
        let clause = |name: &str| {
            filter
                .split_once(&format!("{name} eq '"))
                .and_then(|(_, rest)| rest.split('\'').next())
                .map(str::to_ascii_lowercase)
        };
        let (name, kind) = (clause("roleName"), clause("type"));
        let custom = self.world().of_type(DEFINITION_TYPE).into_iter().map(|definition| definition.body.clone());
        let assignable = move |body: &Value| {
            body["properties"]["assignableScopes"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .any(|assignable| assignable == "/" || is_within(scope, assignable) || is_within(assignable, scope))
        };
        roles::all(&self.settings.subscription_id)
            .into_iter()
            .chain(custom)
            .filter(|body| assignable(body))
            .filter(|body| {
                let is = |field: &str, wanted: &Option<String>| {
                    wanted.as_ref().is_none_or(|wanted| {
                        body["properties"][field].as_str().is_some_and(|own| own.eq_ignore_ascii_case(wanted))
                    })
                };
                is("roleName", &name) && is("type", &kind)
            })
            .collect()
    }

    /// `GET {scope}/providers/Microsoft.Authorization/permissions`
    pub(crate) fn permissions(&self, principal: &str, scope: &str) -> Vec<Value> {
        if principal == self.settings.owner_object_id {
            return vec![json!({ "actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": [] })];
        }
        self.assignments_of(principal)
            .filter(|(_, own_scope)| is_within(scope, own_scope))
            .filter_map(|(definition, _)| self.role_definition(definition.rsplit('/').next().unwrap_or_default()))
            .flat_map(|body| body["properties"]["permissions"].as_array().cloned().unwrap_or_default())
            .collect()
    }
}

/// Whether an id is a scope or lies below it.
pub(crate) fn is_within(id: &str, scope: &str) -> bool {
    let (id, scope) = (id.to_ascii_lowercase(), scope.trim_end_matches('/').to_ascii_lowercase());
    id == scope || id.strip_prefix(&scope).is_some_and(|rest| rest.starts_with('/'))
}

/// Actions are compared without regard to case; `*` stands for any run of characters, also across slashes.
pub(crate) fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| action.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, action: &str, expected: bool) {
        assert_eq!(matches(pattern, action), expected, "{pattern} on {action}");
    }

    #[test]
    fn patterns() {
        check("*", "Microsoft.Network/virtualNetworks/write", true);
        check("*/read", "Microsoft.Network/virtualNetworks/READ", true);
        check("*/read", "Microsoft.Network/virtualNetworks/write", false);
        check("Microsoft.Network/*", "Microsoft.Network/virtualNetworks/subnets/write", true);
        check("Microsoft.Network/*", "Microsoft.Networks/x/write", false);
        check("Microsoft.Authorization/*/Delete", "Microsoft.Authorization/locks/delete", true);
        check("Microsoft.Authorization/*/Delete", "Microsoft.Authorization/locks/write", false);
        check("Microsoft.Network/virtualNetworks/read", "microsoft.network/virtualnetworks/read", true);
    }

    fn access(method: Method, path: &str, action: &str, scope: &str, list: bool) {
        let request = Request {
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Vec::new(),
            principal: crate::Principal::default(),
            base_url: String::new(),
        };
        let expected = Access { action: action.to_owned(), scope: scope.to_owned(), list };
        assert_eq!(Access::of(&request, path), Some(expected));
    }

    #[test]
    fn requests_are_actions() {
        access(
            Method::Put,
            "/subscriptions/s/resourcegroups/g",
            "Microsoft.Resources/subscriptions/resourceGroups/write",
            "/subscriptions/s/resourcegroups/g",
            false,
        );
        let network = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";
        access(Method::Delete, network, "Microsoft.Network/virtualNetworks/delete", network, false);
        access(
            Method::Get,
            "/subscriptions/s/providers/Microsoft.Network/virtualNetworks",
            "Microsoft.Network/virtualNetworks/read",
            "/subscriptions/s",
            true,
        );
        let start = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c/start";
        access(Method::Post, start, "Microsoft.ContainerService/managedClusters/start/action", start, false);
        let assignment = format!("{network}/providers/Microsoft.Authorization/roleAssignments/x");
        access(Method::Put, &assignment, "Microsoft.Authorization/roleAssignments/write", &assignment, false);
    }
}
