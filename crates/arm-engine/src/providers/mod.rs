//! Resource types: one file per family, one list.

mod agent_pool;
mod authorization;
mod cluster;
mod firewall_rule;
mod identity;
mod maintenance;
mod network;
mod network_security;
mod not_offered;
mod postgres;
mod postgres_capabilities;
mod postgres_parameters;
mod private_dns;
mod public_ip;
mod record_set;

use arm_model::id::ResourceId;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::resources::{Put, World};
use crate::state::StoredResource;

pub(crate) use agent_pool::NODE_IMAGE;
pub(crate) use cluster::{is_newer, kubeconfigs, kubernetes_versions, pool_versions, upgrades};
pub(crate) use identity::client_id_of;
pub(crate) use network::addresses_in_use;
pub(crate) use postgres::{is_server_name, is_system_database};
pub(crate) use postgres_capabilities::postgres_capabilities;
pub(crate) use postgres_parameters::{default_parameter, default_parameters};
pub(crate) use record_set::of_zone as record_sets_of_zone;

pub(crate) const CLUSTER_TYPE: &str = "Microsoft.ContainerService/managedClusters";
pub(crate) const POOL_TYPE: &str = "Microsoft.ContainerService/managedClusters/agentPools";
pub(crate) const SERVER_TYPE: &str = "Microsoft.DBforPostgreSQL/flexibleServers";

/// The api-versions that the refusal of an unknown one names.
pub(crate) const RESOURCES_API_VERSIONS: [&str; 9] = [
    "2019-10-01",
    "2020-10-01",
    "2021-04-01",
    "2022-09-01",
    "2023-07-01",
    "2024-03-01",
    "2024-11-01",
    "2025-04-01",
    "2026-06-01",
];

/// What a PATCH of a type may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patching {
    No,
    Tags,
    Merge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// In a group, with a region.
    Regional,
    /// In a group, location `global`.
    Global,
    /// Part of its parent.
    Child,
    /// On any scope, also a subscription.
    Extension,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    Nothing,
    Cluster,
    Postgres,
}

/// Children that the parent's body carries.
#[derive(Debug)]
pub(crate) struct Inline {
    pub field: &'static str,
    pub child_type: &'static str,
    /// The entry is `{name, …properties}` rather than `{name, properties}`.
    pub flat: bool,
    /// A list without a child deletes the child.
    pub prune: bool,
}

impl Inline {
    pub fn child_body(&self, mut item: Value) -> Value {
        if !self.flat {
            return item;
        }
        if let Some(members) = item.as_object_mut() {
            members.remove("name");
        }
        json!({ "properties": item })
    }

    pub fn render(&self, child: &StoredResource) -> Value {
        if !self.flat {
            return child.body.clone();
        }
        let mut entry = json!({ "name": child.body["name"] });
        crate::resources::merge(&mut entry, &child.body["properties"]);
        entry
    }
}

/// A property that answers carry between two api-versions only.
#[derive(Debug)]
pub(crate) struct Shown {
    /// `*` stands for every item of a list.
    pub path: &'static str,
    /// Dates: the first api-version with it, and the first without it again.
    pub from: &'static str,
    pub until: &'static str,
    /// Only this text, or the empty object as `{}`, is left out of the others; any value where it is empty.
    pub value: &'static str,
}

impl Shown {
    pub const fn from(path: &'static str, from: &'static str) -> Shown {
        Shown { path, from, until: "9999", value: "" }
    }

    pub const fn until(path: &'static str, until: &'static str) -> Shown {
        Shown { path, from: "", until, value: "" }
    }

    /// A default value that older api-versions left out.
    pub const fn default_from(path: &'static str, value: &'static str, from: &'static str) -> Shown {
        Shown { path, from, until: "9999", value }
    }

    /// Takes the property out of the answer to a request of `version`, unless it belongs there.
    pub fn apply(&self, body: &mut Value, version: &str) {
        let date = version.get(..10).unwrap_or(version);
        if (self.from..self.until).contains(&date) {
            return;
        }
        let steps: Vec<&str> = self.path.split('/').collect();
        self.remove(body, &steps);
    }

    fn is_meant(&self, value: &Value) -> bool {
        self.value.is_empty() || value == self.value || self.value == "{}" && *value == json!({})
    }

    fn remove(&self, place: &mut Value, steps: &[&str]) {
        match (place, steps) {
            (Value::Object(members), [name]) if members.get(*name).is_some_and(|value| self.is_meant(value)) => {
                members.remove(*name);
            }
            (Value::Array(items), ["*", rest @ ..]) => items.iter_mut().for_each(|item| self.remove(item, rest)),
            (Value::Object(members), [name, rest @ ..]) => {
                if let Some(member) = members.get_mut(*name) {
                    self.remove(member, rest);
                }
            }
            _ => {}
        }
    }
}

/// A resource type: a row of data and the functions that differ.
pub(crate) struct Kind {
    pub resource_type: &'static str,
    /// First and last api-version that is answered, as dates.
    pub versions: (&'static str, &'static str),
    pub placement: Placement,
    /// A write leaves alone what it does not mention.
    pub merges: bool,
    pub outside: Outside,
    /// Statuses of a PUT that creates and of one that updates.
    pub put_status: (u16, u16),
    /// Answers carry the links of a long-running operation although the write is already done.
    pub announces: bool,
    /// Answers to writes that are no operations carry the ETag as a header, as those to reads do.
    pub tells_etag: bool,
    /// `If-Match` and `If-None-Match` are looked at by the operation, not by the request.
    pub conditions_later: bool,
    pub patching: Patching,
    /// Where the body has its etag, as a JSON pointer, or empty.
    pub etag: &'static str,
    /// Paths that clients cannot set and previews do not show.
    pub read_only: &'static [&'static str],
    pub inline: &'static [Inline],
    pub put: fn(&mut Put<'_>) -> Result<(), Fault>,
    /// Consistency with other resources after a write or a deletion.
    pub after: fn(&mut Engine, &str),
    pub in_use: fn(&World<'_>, &StoredResource) -> Result<(), Fault>,
    /// What not every api-version shows.
    pub shown: &'static [Shown],
    /// Adds what is computed when it is read.
    pub view: fn(&World<'_>, &StoredResource, &mut Value),
}

/// What most types are.
pub(crate) const PLAIN: Kind = Kind {
    resource_type: "",
    versions: ("2015-01-01", "2026-12-31"),
    placement: Placement::Regional,
    merges: false,
    outside: Outside::Nothing,
    put_status: (201, 200),
    announces: false,
    tells_etag: false,
    conditions_later: false,
    patching: Patching::No,
    etag: "",
    read_only: &[],
    inline: &[],
    put: |_| Ok(()),
    after: |_, _| {},
    in_use: |_, _| Ok(()),
    shown: &[],
    view: |_, _, _| {},
};

static KINDS: [&Kind; 28] = [
    &network::VIRTUAL_NETWORK,
    &network::SUBNET,
    &network::PEERING,
    &network_security::GROUP,
    &network_security::RULE,
    &public_ip::PUBLIC_IP,
    &private_dns::ZONE,
    &private_dns::LINK,
    &record_set::A,
    &record_set::AAAA,
    &record_set::CNAME,
    &record_set::MX,
    &record_set::PTR,
    &record_set::SOA,
    &record_set::SRV,
    &record_set::TXT,
    &cluster::CLUSTER,
    &agent_pool::AGENT_POOL,
    &maintenance::CONFIGURATION,
    &postgres::SERVER,
    &postgres::DATABASE,
    &postgres::CONFIGURATION,
    &firewall_rule::FIREWALL_RULE,
    &identity::IDENTITY,
    &identity::FEDERATED_CREDENTIAL,
    &authorization::ROLE_ASSIGNMENT,
    &authorization::ROLE_DEFINITION,
    &authorization::LOCK,
];

pub(crate) fn all() -> impl Iterator<Item = &'static Kind> {
    KINDS.into_iter()
}

pub(crate) fn find(resource_type: &str) -> Option<&'static Kind> {
    all().find(|kind| kind.resource_type.eq_ignore_ascii_case(resource_type))
}

/// # Errors
/// 501 for a type that Azure has and the embedded ARM does not offer, 404 for one that Azure does not have either.
pub(crate) fn known_kind(id: &ResourceId) -> Result<&'static Kind, Fault> {
    find(&id.resource_type()).ok_or_else(|| unknown_type(id))
}

pub(crate) fn unknown_type(id: &ResourceId) -> Fault {
    let namespace = id.namespace().unwrap_or_default();
    if not_offered::is_known_to_azure(&id.resource_type()) {
        return Fault::not_offered(&format!("The resource type '{}'", id.resource_type()));
    }
    if all().any(|kind| kind.resource_type.split('/').next().is_some_and(|known| known.eq_ignore_ascii_case(namespace)))
    {
        return Fault::new(
            404,
            "InvalidResourceType",
            format!(
                "The resource type '{}' could not be found in the namespace '{namespace}' for api version. The supported api-versions are '{}'.",
                id.resource_type().split_once('/').map_or("", |(_, types)| types),
                RESOURCES_API_VERSIONS.join(",")
            ),
        );
    }
    Fault::new(404, "InvalidResourceNamespace", format!("The resource namespace '{namespace}' is invalid."))
}

pub(crate) const LOCATIONS: [(&str, &str); 40] = [
    ("eastus", "East US"),
    ("eastus2", "East US 2"),
    ("westus2", "West US 2"),
    ("westus3", "West US 3"),
    ("centralus", "Central US"),
    ("northeurope", "North Europe"),
    ("westeurope", "West Europe"),
    ("swedencentral", "Sweden Central"),
    ("spaincentral", "Spain Central"),
    ("uksouth", "UK South"),
    ("brazilsouth", "Brazil South"),
    ("centralindia", "Central India"),
    ("westus", "West US"),
    ("northcentralus", "North Central US"),
    ("southcentralus", "South Central US"),
    ("westcentralus", "West Central US"),
    ("canadacentral", "Canada Central"),
    ("canadaeast", "Canada East"),
    ("francecentral", "France Central"),
    ("germanywestcentral", "Germany West Central"),
    ("italynorth", "Italy North"),
    ("norwayeast", "Norway East"),
    ("polandcentral", "Poland Central"),
    ("switzerlandnorth", "Switzerland North"),
    ("ukwest", "UK West"),
    ("israelcentral", "Israel Central"),
    ("qatarcentral", "Qatar Central"),
    ("uaenorth", "UAE North"),
    ("southafricanorth", "South Africa North"),
    ("mexicocentral", "Mexico Central"),
    ("southindia", "South India"),
    ("eastasia", "East Asia"),
    ("southeastasia", "Southeast Asia"),
    ("japaneast", "Japan East"),
    ("japanwest", "Japan West"),
    ("koreacentral", "Korea Central"),
    ("koreasouth", "Korea South"),
    ("australiacentral", "Australia Central"),
    ("australiaeast", "Australia East"),
    ("australiasoutheast", "Australia Southeast"),
];

pub(crate) fn normalized_location(location: &str) -> String {
    location.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase()
}

pub(crate) fn is_version(text: &str) -> bool {
    let date = text.strip_suffix("-preview").or_else(|| text.strip_suffix("-privatepreview")).unwrap_or(text);
    date.len() == 10
        && date
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
}

pub(crate) fn check_version(kind: &Kind, version: &str, location: Option<&str>) -> Result<(), Fault> {
    if !is_version(version) {
        return Err(Fault::bad_request(
            "InvalidApiVersionParameter",
            format!("The api-version '{version}' is invalid."),
        ));
    }
    let date = &version[..10];
    if (kind.versions.0..=kind.versions.1).contains(&date) {
        return Ok(());
    }
    let locations: Vec<&str> = LOCATIONS.iter().map(|(name, _)| *name).collect();
    Err(Fault::bad_request(
        "NoRegisteredProviderFound",
        format!(
            "No registered resource provider found for location '{}' and API version '{version}' for type '{}'. The supported api-versions are '{} to {}'. The supported locations are '{}'.",
            location.unwrap_or_default(),
            kind.resource_type.split_once('/').map_or("", |(_, types)| types),
            kind.versions.0,
            kind.versions.1,
            locations.join(", ")
        ),
    ))
}

/// The cluster or server that a child belongs to; the resource itself where it is no child.
pub(crate) fn root_key(id: &ResourceId) -> String {
    id.parent().map_or_else(|| id.key().to_owned(), |parent| root_key(&parent))
}

/// A name without what would change the meaning of an id.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 260
        && !name.chars().any(|c| c.is_control() || "/\\?#%<>&:\"".contains(c))
        && !name.ends_with('.')
}

pub(crate) fn is_settled(body: &Value) -> bool {
    let properties = &body["properties"];
    properties["provisioningState"] == "Succeeded" || properties["state"] == "Ready"
}

/// Whether a cluster or server was stopped by its owner.
pub(crate) fn is_stopped(body: &Value) -> bool {
    let properties = &body["properties"];
    properties["powerState"]["code"] == "Stopped"
        || matches!(properties["state"].as_str(), Some("Stopped" | "Stopping"))
}

pub(crate) fn mark_busy(body: &mut Value, created: bool) {
    let properties = &mut body["properties"];
    if properties.get("provisioningState").is_some() {
        properties["provisioningState"] = if created { "Creating" } else { "Updating" }.into();
    } else if properties.get("state").is_some() {
        properties["state"] = if created { "Provisioning" } else { "Updating" }.into();
    }
}

pub(crate) fn mark_deleting(body: &mut Value) {
    let properties = &mut body["properties"];
    if properties.get("state").is_some() {
        properties["state"] = "Dropping".into();
    } else {
        properties["provisioningState"] = "Deleting".into();
    }
}

/// A required text property.
pub(crate) fn required<'p>(put: &'p Put<'_>, pointer: &str) -> Result<&'p str, Fault> {
    put.text(pointer).filter(|text| !text.is_empty()).ok_or_else(|| {
        Fault::bad_request(
            "InvalidParameter",
            format!("Required parameter 'properties.{}' is missing (null).", pointer.replace('/', ".")),
        )
        .target(&format!("properties.{}", pointer.replace('/', ".")))
    })
}

/// Refuses a text property that is not one of the choices; spelling is corrected to Azure's.
pub(crate) fn choose(put: &mut Put<'_>, name: &str, choices: &[&str]) -> Result<(), Fault> {
    let Some(text) = put.text(name).map(str::to_owned) else {
        if put.property(name).is_null() {
            return Ok(());
        }
        return Err(Fault::bad_request(
            "InvalidParameter",
            format!("The value of 'properties.{name}' must be a string."),
        )
        .target(name));
    };
    match choices.iter().find(|choice| choice.eq_ignore_ascii_case(&text)) {
        Some(choice) => {
            put.set(name, (*choice).into());
            Ok(())
        }
        None => Err(Fault::bad_request(
            "InvalidParameter",
            format!("The value '{text}' of parameter {name} is not one of: {}.", choices.join(", ")),
        )
        .target(name)),
    }
}

/// Refuses an integer property outside its range.
pub(crate) fn in_range(
    put: &Put<'_>,
    pointer: &str,
    range: std::ops::RangeInclusive<i64>,
) -> Result<Option<i64>, Fault> {
    let name = pointer.replace('/', ".");
    match put.property(pointer) {
        Value::Null => Ok(None),
        value => match value.as_i64() {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(Fault::bad_request(
                "InvalidParameter",
                format!(
                    "The value of parameter {name} is invalid: {value} is not an integer between {} and {}.",
                    range.start(),
                    range.end()
                ),
            )
            .target(&name)),
        },
    }
}
