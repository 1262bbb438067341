//! Record sets of private zones: one type of resource for each type of record.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::network::identify;
use super::{Kind, PLAIN, Patching, Placement, Shown, in_range};
use crate::fault::Fault;
use crate::resources::{Put, World};
use crate::state::StoredResource;

/// Of one record type: the field with its records, and what a record must hold.
struct Shape {
    resource_type: &'static str,
    field: &'static str,
    /// One record rather than a list.
    single: bool,
    is_valid: fn(&Value) -> bool,
}

const READ_ONLY: &[&str] = &["properties.fqdn", "properties.isAutoRegistered"];

const fn kind(resource_type: &'static str, put: fn(&mut Put<'_>) -> Result<(), Fault>) -> Kind {
    Kind {
        resource_type,
        placement: Placement::Child,
        etag: "/etag",
        patching: Patching::Merge,
        tells_etag: true,
        // Empty metadata is told to newer clients only.
        shown: &[Shown { path: "properties/metadata", from: "2020-01-01", until: "9999", value: "{}" }],
        read_only: READ_ONLY,
        put,
        ..PLAIN
    }
}

pub(super) static A: Kind = kind("Microsoft.Network/privateDnsZones/A", |put| write(put, &SHAPES[0]));
pub(super) static AAAA: Kind = kind("Microsoft.Network/privateDnsZones/AAAA", |put| write(put, &SHAPES[1]));
pub(super) static CNAME: Kind = kind("Microsoft.Network/privateDnsZones/CNAME", |put| write(put, &SHAPES[2]));
pub(super) static MX: Kind = kind("Microsoft.Network/privateDnsZones/MX", |put| write(put, &SHAPES[3]));
pub(super) static PTR: Kind = kind("Microsoft.Network/privateDnsZones/PTR", |put| write(put, &SHAPES[4]));
pub(super) static SRV: Kind = kind("Microsoft.Network/privateDnsZones/SRV", |put| write(put, &SHAPES[6]));
pub(super) static TXT: Kind = kind("Microsoft.Network/privateDnsZones/TXT", |put| write(put, &SHAPES[7]));
pub(super) static SOA: Kind =
    Kind { in_use: refuse_deletion, ..kind("Microsoft.Network/privateDnsZones/SOA", |put| write(put, &SHAPES[5])) };

static SHAPES: [Shape; 8] = [
    Shape {
        resource_type: "Microsoft.Network/privateDnsZones/A",
        field: "aRecords",
        single: false,
        is_valid: |record| text(record, "ipv4Address").is_some_and(|address| address.parse::<Ipv4Addr>().is_ok()),
    },
    Shape {
        resource_type: "Microsoft.Network/privateDnsZones/AAAA",
        field: "aaaaRecords",
        single: false,
        is_valid: |record| text(record, "ipv6Address").is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
    },
    Shape {
        resource_type: "Microsoft.Network/privateDnsZones/CNAME",
        field: "cnameRecord",
        single: true,
        is_valid: |record| text(record, "cname").is_some_and(is_host),
    },
    Shape {
        resource_type: "Microsoft.Network/privateDnsZones/MX",
        field: "mxRecords",
        single: false,
        is_valid: |record| text(record, "exchange").is_some_and(is_host) && small(record, "preference"),
    },
    Shape {
        resource_type: "Microsoft.Network/privateDnsZones/PTR",
        field: "ptrRecords",
        single: false,
        is_valid: |record| text(record, "ptrdname").is_some_and(is_host),
    },
    Shape {
        resource_type: "Microsoft.Network/privateDnsZones/SOA",
        field: "soaRecord",
        single: true,
        is_valid: |record| text(record, "email").is_some_and(|email| !email.is_empty()),
    },
    Shape {
        resource_type: "Microsoft.Network/privateDnsZones/SRV",
        field: "srvRecords",
        single: false,
        is_valid: |record| {
            text(record, "target").is_some_and(is_host)
                && ["priority", "weight", "port"].iter().all(|name| small(record, name))
        },
    },
    Shape {
        resource_type: "Microsoft.Network/privateDnsZones/TXT",
        field: "txtRecords",
        single: false,
        is_valid: |record| {
            record["value"].as_array().is_some_and(|parts| {
                !parts.is_empty() && parts.iter().all(|part| part.as_str().is_some_and(|part| part.len() <= 1024))
            })
        },
    },
];

fn text<'v>(record: &'v Value, name: &str) -> Option<&'v str> {
    record[name].as_str()
}

fn small(record: &Value, name: &str) -> bool {
    record[name].as_u64().is_some_and(|number| number <= 65_535)
}

fn is_host(name: &str) -> bool {
    !name.is_empty() && name.len() <= 253 && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/')
}

fn write(put: &mut Put<'_>, shape: &Shape) -> Result<(), Fault> {
    identify(put, shape.resource_type);
    let bad = |message: String| Fault::bad_request("BadRequest", message);
    let name = put.id.name().to_owned();
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '*')
    };
    if name != "@" && !name.split('.').all(is_label) {
        return Err(bad(format!("The resource record set name '{name}' is not a valid relative name.")));
    }
    // Clients of older api-versions write the records and `TTL` in other letters.
    let aliases: Vec<String> = put
        .properties()
        .keys()
        .filter(|key| {
            (key.eq_ignore_ascii_case(shape.field) && *key != shape.field)
                || (key.eq_ignore_ascii_case("ttl") && *key != "ttl")
        })
        .cloned()
        .collect();
    for alias in aliases {
        let right = if alias.eq_ignore_ascii_case("ttl") { "ttl" } else { shape.field };
        if let Some(value) = put.properties().remove(&alias) {
            put.set(right, value);
        }
    }
    in_range(put, "ttl", 1..=2_147_483_647)?;
    put.default("ttl", 3600.into());
    put.default("metadata", json!({}));
    if !shape.single {
        put.default(shape.field, json!([]));
    }
    let given = put.property(shape.field).clone();
    let records = match (shape.single, &given) {
        (false, Value::Array(records)) => records.clone(),
        (true, record @ Value::Object(_)) => vec![record.clone()],
        _ => return Err(bad(format!("The record set '{name}' has no valid {}.", shape.field))),
    };
    if let Some(record) = records.iter().find(|record| !(shape.is_valid)(record)) {
        return Err(bad(format!("The record {record} of {} is not valid.", shape.field)));
    }
    check_alone(put, shape, &name)?;
    let zone = put.id.parent().map(|zone| zone.name().to_owned()).unwrap_or_default();
    let fqdn = if name == "@" { format!("{zone}.") } else { format!("{name}.{zone}.") };
    put.set("fqdn", fqdn.into());
    put.set("isAutoRegistered", false.into());
    Ok(())
}

/// A CNAME shares its name with nothing else, and none may stand at the apex.
fn check_alone(put: &Put<'_>, shape: &Shape, name: &str) -> Result<(), Fault> {
    let is_cname = shape.field == "cnameRecord";
    if is_cname && name == "@" {
        return Err(Fault::bad_request("BadRequest", "A CNAME record set cannot be created at the zone apex ('@')."));
    }
    let Some(zone) = put.id.parent() else { return Ok(()) };
    let clash = SHAPES
        .iter()
        .filter(|other| is_cname != (other.field == "cnameRecord"))
        .filter(|_| name != "@")
        .flat_map(|other| put.world.children(zone.key(), other.resource_type))
        .find(|other| other.body["name"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name)));
    match clash {
        Some(other) => Err(Fault::bad_request(
            "CannotAddRecordSetAsItConflictsWithAnExistingRecordSet",
            format!(
                "The record set '{name}' conflicts with the existing record set '{}': a CNAME stands alone.",
                other.id
            ),
        )),
        None => Ok(()),
    }
}

fn refuse_deletion(_: &World<'_>, _: &StoredResource) -> Result<(), Fault> {
    Err(Fault::bad_request("BadRequest", "The record set of type 'SOA' cannot be deleted."))
}

/// The zone's own record, which every zone is made with.
pub(super) fn start_of_authority(zone: &str) -> Value {
    json!({ "properties": { "ttl": 3600, "soaRecord": {
        "host": "azureprivatedns.net", "email": "azureprivatedns-host.microsoft.com", "serialNumber": 1,
        "refreshTime": 3600, "retryTime": 300, "expireTime": 2_419_200, "minimumTtl": 10,
    }, "fqdn": format!("{zone}.") } })
}

/// Every record set of a zone, in order of creation.
pub(crate) fn of_zone<'a>(world: &World<'a>, zone: &str) -> Vec<&'a StoredResource> {
    let mut found: Vec<&StoredResource> =
        SHAPES.iter().flat_map(|shape| world.children(zone, shape.resource_type)).collect();
    found.sort_by_key(|record| record.sequence);
    found
}
