//! Lists: by type, of everything in a scope, in pages.

use arm_model::id::ResourceId;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::providers::{self, Placement};
use crate::request::{Request, Response};

/// Items in one page of a list.
const PAGE: usize = 100;

impl Engine {
    pub(crate) fn list_type(&self, path: &str, request: &Request) -> Result<Response, Fault> {
        let lower = path.to_ascii_lowercase();
        let Some((scope, rest)) = lower.rsplit_once("/providers/") else {
            return Err(Fault::new(404, "NotFound", format!("There is nothing at '{path}'.")));
        };
        let parts: Vec<&str> = rest.split('/').collect();
        let resource_type =
            std::iter::once(parts[0]).chain(parts[1..].iter().step_by(2).copied()).collect::<Vec<_>>().join("/");
        let names = vec!["x"; parts.len()];
        let kind = providers::known_kind(&ResourceId::of_subscription("x").extended(&resource_type, &names))?;
        providers::check_version(kind, request.query("api-version").unwrap_or_default(), None)?;
        self.check_list_scope(scope, &lower)?;
        let within = if parts.len() > 2 { format!("{lower}/") } else { format!("{scope}/") };
        let mut items: Vec<Value> = self
            .world()
            .of_type(kind.resource_type)
            .into_iter()
            .filter(|resource| resource.id.to_ascii_lowercase().starts_with(&within))
            .map(|resource| self.render_for(resource, request.query("api-version").unwrap_or_default()))
            .collect();
        if resource_type == "microsoft.dbforpostgresql/flexibleservers/configurations" {
            self.add_default_parameters(&lower, &mut items);
        }
        self.list_page(items, request)
    }

    fn check_list_scope(&self, scope: &str, path: &str) -> Result<(), Fault> {
        let parent = path
            .rsplit_once('/')
            .and_then(|(parent, _)| ResourceId::parse(parent).ok())
            .filter(|parent| !parent.names().is_empty());
        if let Some(parent) = parent.filter(|parent| !self.resources.contains(parent.key())) {
            return Err(Fault::resource_not_found(
                &parent.resource_type(),
                &parent.template_name(),
                parent.resource_group().unwrap_or_default(),
            ));
        }
        match ResourceId::parse(scope)
            .ok()
            .and_then(|scope| scope.resource_group().map(|group| (scope.key().to_owned(), group.to_owned())))
        {
            Some((key, group)) if !self.resources.contains(&key) && !key.contains("/providers/") => {
                Err(Fault::group_not_found(&group))
            }
            _ => Ok(()),
        }
    }

    fn add_default_parameters(&self, path: &str, items: &mut Vec<Value>) {
        let Some(server) = path.rsplit_once('/').and_then(|(server, _)| self.resources.get(server)) else { return };
        let sku = server.body["sku"]["name"].as_str().unwrap_or_default();
        for name in providers::default_parameters() {
            let id = ResourceId::parse(&server.id).map(|server| server.child("configurations", name));
            if let Some((id, parameter)) = id
                .ok()
                .filter(|_| !items.iter().any(|item| item["name"] == name))
                .and_then(|id| providers::default_parameter(&id, sku).map(|parameter| (id, parameter)))
            {
                items.push(parameter.body(&id, None));
            }
        }
        items.sort_by_key(|item| item["name"].as_str().unwrap_or_default().to_owned());
    }

    pub(crate) fn list_resources(&self, request: &Request, path: &str) -> Result<Response, Fault> {
        let scope = path.to_ascii_lowercase();
        let scope = scope.trim_end_matches('/').trim_end_matches("/resources");
        self.check_list_scope(scope, "")?;
        let prefix = format!("{scope}/");
        let mut found: Vec<_> = self
            .resources
            .below(&prefix)
            .filter(|(_, resource)| {
                providers::find(&resource.resource_type)
                    .is_some_and(|kind| matches!(kind.placement, Placement::Regional | Placement::Global))
            })
            .map(|(_, resource)| resource)
            .collect();
        found.sort_by_key(|resource| resource.sequence);
        let items = found
            .into_iter()
            .map(|resource| {
                let mut entry = json!({});
                for key in ["id", "name", "type", "location", "tags", "sku", "identity", "kind"] {
                    if let Some(value) = resource.body.get(key) {
                        entry[key] = value.clone();
                    }
                }
                entry
            })
            .filter(|entry| matches_filter(entry, request.query("$filter")))
            .collect();
        self.list_page(items, request)
    }

    /// One page of a list, with the link to the next.
    pub(crate) fn list_page(&self, items: Vec<Value>, request: &Request) -> Result<Response, Fault> {
        let skip: usize = request
            .query("$skiptoken")
            .unwrap_or("0")
            .parse()
            .map_err(|_| Fault::bad_request("InvalidSkipToken", "The $skiptoken is invalid."))?;
        let top = request.query("$top").and_then(|top| top.parse::<usize>().ok()).unwrap_or(PAGE).clamp(1, PAGE);
        let total = items.len();
        let page: Vec<Value> = items.into_iter().skip(skip).take(top).collect();
        let mut body = json!({ "value": page });
        if skip.saturating_add(top) < total {
            let query: Vec<String> = request
                .query
                .iter()
                .filter(|(key, _)| !key.eq_ignore_ascii_case("$skiptoken"))
                .map(|(key, value)| {
                    format!(
                        "{key}={}",
                        value
                            .replace('%', "%25")
                            .replace(' ', "%20")
                            .replace('&', "%26")
                            .replace('+', "%2B")
                            .replace('#', "%23")
                    )
                })
                .collect();
            body["nextLink"] =
                format!("{}{}?{}&$skiptoken={}", request.base_url, request.path, query.join("&"), skip + top).into();
        }
        Ok(Response::json(200, body))
    }
}

/// `resourceType eq '…'`, `resourceGroup eq '…'`, `name eq '…'` and `tagName eq '…' and tagValue eq '…'`, joined by `and`.
fn matches_filter(entry: &Value, filter: Option<&str>) -> bool {
    let Some(filter) = filter.filter(|filter| !filter.is_empty()) else { return true };
    let mut tag = None;
    filter.split(" and ").all(|clause| {
        let Some((field, value)) = clause.split_once(" eq ") else { return false };
        let value = value.trim().trim_matches('\'');
        match field.trim().to_ascii_lowercase().as_str() {
            "resourcetype" => entry["type"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(value)),
            "name" => entry["name"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(value)),
            "resourcegroup" => entry["id"]
                .as_str()
                .and_then(|id| id.split('/').nth(4))
                .is_some_and(|own| own.eq_ignore_ascii_case(value)),
            "location" => entry["location"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(value)),
            "tagname" => {
                tag = Some(value.to_owned());
                entry["tags"].get(value).is_some()
            }
            "tagvalue" => tag.as_ref().is_some_and(|tag| entry["tags"][tag] == value),
            _ => false,
        }
    })
}
