//! What a request asks for, in RBAC's terms.

use crate::api::identity::Caller;

/// One request. For a path that is no resource only `verb` and `path` count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, `bind`, …
    pub verb: &'a str,
    pub group: &'a str,
    /// Plural; empty for a path that is no resource.
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: Option<&'a str>,
    pub name: &'a str,
    pub path: &'a str,
}

impl Asked<'_> {
    pub fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }
}

/// The 403's message as `apiserver/pkg/endpoints/handlers/responsewriters/errors.go` words it, without the resource's own
/// prefix.
pub fn forbidden_message(caller: &Caller, asked: &Asked<'_>) -> String {
    let user = &caller.name;
    let verb = asked.verb;
    if !asked.is_resource() {
        return format!("User \"{user}\" cannot {verb} path \"{}\"", asked.path);
    }
    let resource = match asked.subresource {
        "" => asked.resource.to_owned(),
        subresource => format!("{}/{subresource}", asked.resource),
    };
    let place = match asked.namespace {
        Some(namespace) if !namespace.is_empty() => format!("in the namespace \"{namespace}\""),
        _ => "at the cluster scope".to_owned(),
    };
    format!("User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{}\" {place}", asked.group)
}
