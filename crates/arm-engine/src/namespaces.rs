//! What resource providers say of themselves: types, operations, versions, quotas, names that are free.

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::providers;
use crate::request::{Method, Request, Response};

impl Engine {
    /// Requests to a namespace itself. `segments` is the path in lower case, at subscription or tenant scope.
    pub(crate) fn namespace_request(&mut self, request: &Request, segments: &[&str]) -> Result<Response, Fault> {
        let rest = match segments {
            ["subscriptions", _, "providers", rest @ ..] | ["providers", rest @ ..] => rest,
            _ => return Err(Fault::not_allowed()),
        };
        match (request.method, rest) {
            (_, ["microsoft.management", ..]) => Err(Fault::not_offered("Scopes above the subscription")),
            (_, ["microsoft.resources", "deployments" | "deploymentstacks" | "deploymentstackswhatifresults", ..]) => {
                Err(Fault::not_offered("Deployments at tenant scope"))
            }
            (Method::Get, [namespace]) => self.provider(namespace).map(|body| Response::json(200, body)),
            (Method::Post, [namespace, verb @ ("register" | "unregister")]) => {
                self.register(namespace, *verb == "register")
            }
            (Method::Get, [namespace, "resourcetypes"]) => {
                let body = self.provider(namespace)?;
                self.list_page(body["resourceTypes"].as_array().cloned().unwrap_or_default(), request)
            }
            (Method::Get, [namespace, "operations"]) => {
                let body = self.provider(namespace)?;
                self.list_page(operations_of(body["namespace"].as_str().unwrap_or_default()), request)
            }
            (Method::Post, ["microsoft.resources", "calculatetemplatehash"]) => {
                let template = request.json()?;
                let hash = crate::expression::unique_string(&template.to_string());
                Ok(Response::json(200, json!({ "minifiedTemplate": template.to_string(), "templateHash": hash })))
            }
            (Method::Post, ["microsoft.resources", "checkresourcename"]) => {
                let body = request.json()?;
                Ok(Response::json(200, json!({ "name": body["name"], "type": body["type"], "status": "Allowed" })))
            }
            (Method::Get, ["microsoft.containerservice", "locations", location, "kubernetesversions"]) => {
                known_location(location)?;
                Ok(Response::json(200, providers::kubernetes_versions()))
            }
            (Method::Get, ["microsoft.dbforpostgresql", "locations", location, "capabilities"]) => {
                known_location(location)?;
                Ok(Response::json(200, providers::postgres_capabilities()))
            }
            (
                Method::Get,
                ["microsoft.dbforpostgresql", "locations", location, "resourcetype", "flexibleservers", "usages"],
            ) => {
                known_location(location)?;
                Ok(Response::json(200, json!({ "value": self.server_usage(location) })))
            }
            (
                Method::Post,
                ["microsoft.dbforpostgresql", "checknameavailability"]
                | ["microsoft.dbforpostgresql", "locations", _, "checknameavailability"],
            ) => self.check_server_name(request),
            (Method::Post, ["microsoft.dbforpostgresql", "getprivatednszonesuffix"]) => {
                Ok(Response::json(200, json!("private.postgres.database.azure.com")))
            }
            (Method::Post, ["microsoft.dbforpostgresql", "locations", _, "checkvirtualnetworksubnetusage"]) => {
                self.subnet_usage(request)
            }
            (Method::Get, ["microsoft.network", "locations", location, "usages"]) => {
                known_location(location)?;
                Ok(Response::json(200, json!({ "value": self.network_usages() })))
            }
            (_, [_, "providerpermissions"]) => Err(Fault::not_offered("Permissions of resource providers")),
            (_, [namespace, ..]) => {
                self.provider(namespace)?;
                Err(Fault::not_offered(&format!("'/{}'", segments.join("/"))))
            }
            _ => Err(Fault::not_allowed()),
        }
    }

    fn server_usage(&self, location: &str) -> Vec<Value> {
        let servers = self.world().of_type(providers::SERVER_TYPE);
        let here = servers.iter().filter(|server| {
            server.body["location"].as_str().is_some_and(|own| providers::normalized_location(own) == location)
        });
        vec![json!({
            "name": { "value": "standardBSFamily", "localizedValue": "Burstable vCores" }, "unit": "Count",
            "currentValue": here.count(), "limit": 100, "id": format!("/subscriptions/{}/providers/Microsoft.DBforPostgreSQL/locations/{location}/usages/standardBSFamily", self.settings.subscription_id),
        })]
    }

    fn network_usages(&self) -> Vec<Value> {
        let usage = |name: &str, shown: &str, used: usize, limit: u64| json!({ "name": { "value": name, "localizedValue": shown }, "currentValue": used, "limit": limit, "unit": "Count" });
        let count = |kind: &str| self.world().of_type(kind).len();
        vec![
            usage("VirtualNetworks", "Virtual Networks", count("Microsoft.Network/virtualNetworks"), 1000),
            usage(
                "NetworkSecurityGroups",
                "Network Security Groups",
                count("Microsoft.Network/networkSecurityGroups"),
                5000,
            ),
            usage("PublicIPAddresses", "Public IP Addresses", count("Microsoft.Network/publicIPAddresses"), 1000),
        ]
    }

    fn check_server_name(&self, request: &Request) -> Result<Response, Fault> {
        let body = request.json()?;
        let Some(name) = body["name"].as_str() else {
            return Err(Fault::bad_request("InvalidParameterValue", "'name' is required.").target("name"));
        };
        let taken = self
            .world()
            .of_type(providers::SERVER_TYPE)
            .iter()
            .any(|server| server.body["name"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name)));
        let mut answer = if !providers::is_server_name(name) {
            json!({ "name": name, "nameAvailable": false, "reason": "Invalid", "message": "The name must have 3 to 63 lower-case letters, digits and hyphens." })
        } else if taken {
            json!({ "name": name, "nameAvailable": false, "reason": "AlreadyExists", "message": format!("Specified server name is already used.") })
        } else {
            json!({ "name": name, "nameAvailable": true, "message": "" })
        };
        answer["type"] = body["type"].clone();
        Ok(Response::json(200, answer))
    }

    fn subnet_usage(&self, request: &Request) -> Result<Response, Fault> {
        let body = request.json()?;
        let network = body["virtualNetworkArmResourceId"].as_str().unwrap_or_default();
        if self.world().get(network).is_none() {
            return Err(Fault::bad_request(
                "InvalidParameterValue",
                format!("The virtual network '{network}' was not found."),
            ));
        }
        let subnets = self.world().children(&network.to_ascii_lowercase(), "Microsoft.Network/virtualNetworks/subnets");
        let usage: Vec<Value> = subnets
            .iter()
            .map(|subnet| json!({ "subnetName": subnet.body["name"], "usage": providers::addresses_in_use(&self.world(), &subnet.id) }))
            .collect();
        Ok(Response::json(
            200,
            json!({ "delegatedSubnetsUsage": usage, "location": "eastus", "subscriptionId": self.settings.subscription_id }),
        ))
    }
}

fn known_location(location: &str) -> Result<(), Fault> {
    if providers::LOCATIONS.iter().any(|(name, _)| *name == location) {
        return Ok(());
    }
    Err(Fault::bad_request(
        "LocationNotAvailable",
        format!("The location '{location}' is not available for the subscription."),
    ))
}

fn operations_of(namespace: &str) -> Vec<Value> {
    let own = ["deployments", "deploymentStacks", "subscriptions", "subscriptions/resourceGroups", "tags"]
        .map(|types| format!("Microsoft.Resources/{types}"));
    let kinds = providers::all().map(|kind| kind.resource_type.to_owned()).chain(own);
    kinds
        .filter(|resource_type| resource_type.split('/').next() == Some(namespace))
        .flat_map(|resource_type| {
            ["read", "write", "delete"].map(|verb| {
                let shown = resource_type.split_once('/').map_or("", |(_, types)| types);
                json!({
                    "name": format!("{resource_type}/{verb}"), "isDataAction": false, "origin": "user,system",
                    "display": { "provider": namespace, "resource": shown, "operation": verb, "description": format!("{verb} {shown}") },
                })
            })
        })
        .collect()
}
