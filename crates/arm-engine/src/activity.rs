//! The activity log: who wrote what, when, and how it ended.

use arm_model::id::ResourceId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use units::Timestamp;

use crate::engine::Engine;
use crate::fault::Fault;
use crate::rbac::Access;
use crate::request::{Method, Request, Response};

/// Azure keeps ninety days; here the log is bounded by its length.
const KEPT: u64 = 2_000;

/// An entry of the log; its key is its number, padded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub at: Timestamp,
    pub caller: String,
    /// `Microsoft.Network/virtualNetworks/write`
    pub operation: String,
    pub resource_id: String,
    pub status: u16,
    pub method: String,
    pub correlation_id: String,
    pub error: Option<String>,
}

impl Engine {
    /// Notes a write of a client.
    pub(crate) fn log_request(&mut self, request: &Request, access: &Access, response: &Response) {
        let method = match request.method {
            Method::Get | Method::Head => return,
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        };
        // What only asks is not logged by Azure either.
        let asks = ["/validate/action", "/whatif/action", "/exporttemplate/action"];
        if asks.iter().any(|ending| access.action.to_ascii_lowercase().ends_with(ending)) {
            return;
        }
        let correlation_id = match request.header("x-ms-correlation-request-id") {
            Some(id) => id.to_owned(),
            None => self.guid(),
        };
        let error = response.body.as_ref().and_then(|body| body["error"]["code"].as_str()).map(str::to_owned);
        self.log(Event {
            at: self.now,
            caller: request.principal.object_id.clone(),
            operation: access.action.clone(),
            resource_id: access.scope.clone(),
            status: response.status,
            method: method.to_owned(),
            correlation_id,
            error,
        });
    }

    pub(crate) fn log(&mut self, event: Event) {
        let meta = self.meta();
        meta.next_event += 1;
        let number = meta.next_event;
        self.events.insert(format!("{number:020}"), event);
        if number > KEPT {
            self.events.remove(&format!("{:020}", number - KEPT));
        }
    }

    /// `GET …/providers/Microsoft.Insights/eventtypes/management/values`
    pub(crate) fn activity_log(&self, request: &Request) -> Result<Response, Fault> {
        let filter = Filter::of(request.query("$filter").unwrap_or_default())?;
        let events = self.events.iter().collect::<Vec<_>>().into_iter().rev();
        let shown = events.map(|(key, event)| self.event_body(key, event)).filter(|body| filter.accepts(body));
        let wanted: Option<Vec<&str>> = request.query("$select").map(|names| names.split(',').map(str::trim).collect());
        let picked = shown.map(|body| match &wanted {
            None => body,
            Some(names) => {
                let mut few = json!({});
                for name in names {
                    if let Some(value) = body.get(*name) {
                        few[*name] = value.clone();
                    }
                }
                few
            }
        });
        self.list_page(picked.collect(), request)
    }

    fn event_body(&self, key: &str, event: &Event) -> Value {
        let id = ResourceId::parse(&event.resource_id).ok();
        let named = |value: &str| json!({ "value": value, "localizedValue": value });
        let status = match event.status {
            202 => "Accepted",
            200..=299 => "Succeeded",
            _ => "Failed",
        };
        let failed = status == "Failed";
        let number = key.trim_start_matches('0');
        let mut body = json!({
            "id": format!("{}/events/{number}/ticks/{}", event.resource_id, event.at.0),
            "eventDataId": crate::ids::hyphenated(u128::from(key.parse::<u64>().unwrap_or_default())),
            "authorization": { "action": event.operation, "scope": event.resource_id },
            "caller": event.caller,
            "channels": "Operation",
            "category": named("Administrative"),
            "correlationId": event.correlation_id,
            "operationId": event.correlation_id,
            "eventName": named("EndRequest"),
            "eventTimestamp": event.at.rfc3339_micros(),
            "submissionTimestamp": event.at.rfc3339_micros(),
            "level": if failed { "Error" } else { "Informational" },
            "operationName": named(&event.operation),
            "status": named(status),
            "subStatus": named(&event.status.to_string()),
            "httpRequest": { "method": event.method, "clientIpAddress": "127.0.0.1" },
            "resourceId": event.resource_id,
            "resourceGroupName": id.as_ref().and_then(|id| id.resource_group().map(str::to_owned)).unwrap_or_default(),
            "subscriptionId": self.settings.subscription_id,
            "tenantId": self.settings.tenant_id,
        });
        if let Some(id) = &id {
            body["resourceType"] = named(&id.resource_type());
            body["resourceProviderName"] = named(id.namespace().unwrap_or("Microsoft.Resources"));
        }
        body["properties"] = match &event.error {
            Some(code) => json!({ "statusCode": event.status.to_string(), "statusMessage": code }),
            None => json!({ "statusCode": event.status.to_string() }),
        };
        body
    }
}

/// The clauses that the service documents: times, and one of group, provider, resource or correlation.
struct Filter {
    clauses: Vec<(String, String, String)>,
}

impl Filter {
    fn of(text: &str) -> Result<Filter, Fault> {
        let invalid = |what: String| Fault::bad_request("BadRequest", what);
        let mut clauses = Vec::new();
        for clause in text.split(" and ").map(str::trim).filter(|clause| !clause.is_empty()) {
            let mut parts = clause.splitn(3, ' ');
            let (Some(field), Some(operator), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(invalid(format!("The filter clause '{clause}' is not 'name operator value'.")));
            };
            clauses.push((field.to_owned(), operator.to_ascii_lowercase(), value.trim().trim_matches('\'').to_owned()));
        }
        if !clauses.iter().any(|(field, operator, _)| field.eq_ignore_ascii_case("eventTimestamp") && operator == "ge")
        {
            return Err(invalid("The $filter must give a start time: eventTimestamp ge '<time>'.".to_owned()));
        }
        for (field, operator, _) in &clauses {
            let known = [
                "eventTimestamp",
                "resourceGroupName",
                "resourceUri",
                "resourceId",
                "resourceProvider",
                "resourceType",
                "correlationId",
                "caller",
                "status",
                "operationName",
                "levels",
                "eventChannels",
                "operations",
            ];
            if !known.iter().any(|name| name.eq_ignore_ascii_case(field))
                || !["ge", "le", "eq"].contains(&operator.as_str())
            {
                return Err(invalid(format!("The filter on '{field} {operator}' is not supported.")));
            }
        }
        Ok(Filter { clauses })
    }

    fn accepts(&self, body: &Value) -> bool {
        let text =
            |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        self.clauses.iter().all(|(field, operator, value)| {
            let value = value.to_ascii_lowercase();
            match (field.to_ascii_lowercase().as_str(), operator.as_str()) {
                // Both are RFC 3339; to the second, which clients send with and without fractions and zone.
                ("eventtimestamp", "ge") => {
                    text("/eventTimestamp").get(..19).unwrap_or_default() >= value.get(..19).unwrap_or(&value)
                }
                ("eventtimestamp", _) => {
                    text("/eventTimestamp").get(..19).unwrap_or_default() <= value.get(..19).unwrap_or(&value)
                }
                ("resourcegroupname", _) => text("/resourceGroupName") == value,
                ("resourceuri" | "resourceid", _) => {
                    text("/resourceId").trim_start_matches('/') == value.trim_start_matches('/')
                }
                ("resourceprovider", _) => text("/resourceProviderName/value") == value,
                ("resourcetype", _) => text("/resourceType/value") == value,
                ("correlationid", _) => text("/correlationId") == value,
                ("caller", _) => text("/caller") == value,
                ("status", _) => text("/status/value") == value,
                ("operationname" | "operations", _) => text("/operationName/value") == value,
                ("levels", _) => value.split(',').any(|level| level.trim() == text("/level")),
                _ => true,
            }
        })
    }
}
