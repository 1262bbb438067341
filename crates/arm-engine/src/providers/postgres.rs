//! PostgreSQL flexible servers, their databases and parameters.

use serde_json::{Value, json};

use super::network::identify;
use super::postgres_parameters::default_parameter;
use super::{Kind, Outside, PLAIN, Placement, Shown, choose, in_range, required};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::resources::{Put, World};
use crate::state::StoredResource;

const SERVER_TYPE: &str = "Microsoft.DBforPostgreSQL/flexibleServers";
pub(super) const DELEGATION: &str = "Microsoft.DBforPostgreSQL/flexibleServers";
/// Where the server's password is among its hidden values.
pub(crate) const PASSWORD: &str = "administratorLoginPassword";

pub(super) static SERVER: Kind = Kind {
    resource_type: SERVER_TYPE,
    versions: ("2021-06-01", "2027-12-31"),
    merges: true,
    outside: Outside::Postgres,
    put_status: (202, 202),
    read_only: &[
        "properties.state",
        "properties.fullyQualifiedDomainName",
        "systemData",
        "properties.minorVersion",
        "properties.replicationRole",
        "properties.replicaCapacity",
        "properties.highAvailability.state",
        "properties.backup.earliestRestoreDate",
    ],
    put: put_server,
    after: add_system_databases,
    view: view_server,
    shown: &[
        Shown::from("properties/storage/iops", "2023-06-01"),
        Shown::from("properties/storage/tier", "2023-06-01"),
        Shown::from("properties/storage/type", "2023-06-01"),
        Shown::from("properties/replica", "2023-06-01"),
    ],
    patching: super::Patching::Merge,
    ..PLAIN
};

pub(super) static DATABASE: Kind = Kind {
    resource_type: "Microsoft.DBforPostgreSQL/flexibleServers/databases",
    versions: ("2021-06-01", "2027-12-31"),
    placement: Placement::Child,
    outside: Outside::Postgres,
    put_status: (202, 202),
    put: put_database,
    in_use: refuse_system_database,
    ..PLAIN
};

pub(super) static CONFIGURATION: Kind = Kind {
    resource_type: "Microsoft.DBforPostgreSQL/flexibleServers/configurations",
    versions: ("2021-06-01", "2027-12-31"),
    placement: Placement::Child,
    outside: Outside::Postgres,
    put_status: (202, 202),
    put: put_configuration,
    patching: super::Patching::Merge,
    ..PLAIN
};

fn invalid(name: &str, message: String) -> Fault {
    Fault::bad_request("InvalidParameterValue", message).target(name)
}

/// Every server has these from the start.
const SYSTEM_DATABASES: [&str; 3] = ["azure_maintenance", "azure_sys", "postgres"];

fn add_system_databases(engine: &mut Engine, key: &str) {
    let Some(server) = engine.resources.get(key).map(|server| server.id.clone()) else { return };
    let Ok(id) = arm_model::id::ResourceId::parse(&server) else { return };
    for name in SYSTEM_DATABASES {
        let database = id.child("databases", name);
        if !engine.resources.contains(database.key()) {
            engine.insert_system_child(
                &database,
                DATABASE.resource_type,
                json!({ "charset": "UTF8", "collation": "en_US.utf8" }),
            );
        }
    }
}

pub(crate) fn is_system_database(name: &str) -> bool {
    SYSTEM_DATABASES.contains(&name)
}

pub(crate) fn is_server_name(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn put_server(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, SERVER_TYPE);
    let name = put.id.name().to_owned();
    if !is_server_name(&name) {
        return Err(invalid(
            "name",
            format!(
                "Invalid value given for parameter name: '{name}' must have 3 to 63 lower-case letters, digits and hyphens, and neither start nor end with a hyphen."
            ),
        ));
    }
    let mode = put.text("createMode").unwrap_or("Default").to_owned();
    if !["Default", "Create", "Update"].iter().any(|known| known.eq_ignore_ascii_case(&mode)) {
        return Err(Fault::not_offered(&format!("Creating a server by '{mode}'")));
    }
    let password = put.properties().remove(PASSWORD);
    set_login(put, password)?;
    set_sku(put)?;
    set_storage(put)?;
    check_network(put, &name)?;
    put.properties().remove("createMode");
    put.default("version", "17".into());
    let version = put.text("version").unwrap_or_default().to_owned();
    if !["18", "17", "16", "15", "14", "13", "12", "11"].contains(&version.as_str()) {
        return Err(invalid("version", format!("Invalid value given for parameter version: '{version}'.")));
    }
    put.default("minorVersion", "1".into());
    put.default("dataEncryption", json!({ "type": "SystemManaged" }));
    put.default("replicationRole", "Primary".into());
    put.default("replicaCapacity", 5.into());
    if put.body["systemData"].is_null() {
        put.body["systemData"] = json!({ "createdAt": put.world.now.rfc3339_micros() });
    }
    put.default("availabilityZone", "1".into());
    put.default("backup", json!({ "backupRetentionDays": 7, "geoRedundantBackup": "Disabled" }));
    put.default("highAvailability", json!({ "mode": "Disabled", "state": "NotEnabled" }));
    put.default("authConfig", json!({ "activeDirectoryAuth": "Disabled", "passwordAuth": "Enabled" }));
    put.default(
        "maintenanceWindow",
        json!({ "customWindow": "Disabled", "dayOfWeek": 0, "startHour": 0, "startMinute": 0 }),
    );
    put.default("fullyQualifiedDomainName", format!("{name}.postgres.database.azure.com").into());
    put.default("state", "Provisioning".into());
    if put.property("highAvailability/state").is_null() {
        let mode = put.text("highAvailability/mode").unwrap_or("Disabled");
        let state = if mode == "Disabled" { "NotEnabled" } else { "Healthy" };
        put.properties()["highAvailability"]["state"] = state.into();
    }
    if put.text("highAvailability/mode").is_some_and(|mode| mode != "Disabled")
        && put.property("highAvailability/standbyAvailabilityZone").is_null()
    {
        let zone = if put.text("availabilityZone") == Some("2") { "1" } else { "2" };
        put.properties()["highAvailability"]["standbyAvailabilityZone"] = zone.into();
    }
    // The tenant is named where its people sign in.
    if !put.text("authConfig/activeDirectoryAuth").is_some_and(|state| state.eq_ignore_ascii_case("Enabled"))
        && let Some(Value::Object(settings)) = put.properties().get_mut("authConfig")
    {
        settings.remove("tenantId");
    }
    in_range(put, "backup/backupRetentionDays", 7..=35)?;
    Ok(())
}

/// Backups begin when the server does.
fn view_server(_: &World<'_>, server: &StoredResource, body: &mut Value) {
    body["properties"]["backup"]["earliestRestoreDate"] = server.body["systemData"]["createdAt"].clone();
}

fn set_login(put: &mut Put<'_>, password: Option<Value>) -> Result<(), Fault> {
    if let Some(existing) = put.existing {
        if existing.body["properties"]["administratorLogin"] != *put.property("administratorLogin") {
            return Err(invalid("administratorLogin", "The administrator login cannot be changed.".to_owned()));
        }
    } else {
        let login = required(put, "administratorLogin")?;
        let reserved = ["azure_superuser", "azure_pg_admin", "admin", "administrator", "root", "guest", "public"];
        if reserved.contains(&login.to_ascii_lowercase().as_str()) || login.to_ascii_lowercase().starts_with("pg_") {
            return Err(invalid("administratorLogin", format!("The administrator login '{login}' is reserved.")));
        }
        if password.as_ref().and_then(Value::as_str).is_none() {
            return Err(invalid(
                PASSWORD,
                "The administrator login password is required to create a server.".to_owned(),
            ));
        }
    }
    if let Some(Value::String(password)) = password {
        let classes =
            [char::is_lowercase as fn(char) -> bool, char::is_uppercase, char::is_numeric, |c| !c.is_alphanumeric()];
        let used = classes.iter().filter(|class| password.chars().any(class)).count();
        if !(8..=128).contains(&password.chars().count()) || used < 3 {
            return Err(Fault::bad_request(
                "PasswordNotComplex",
                "The password does not meet complexity requirements: 8 to 128 characters of at least three of lower case, upper case, digits and others.",
            ));
        }
        put.hidden.insert(PASSWORD.to_owned(), password);
    }
    Ok(())
}

fn set_sku(put: &mut Put<'_>) -> Result<(), Fault> {
    if put.body["sku"].is_null() {
        put.body["sku"] = json!({ "name": "Standard_B1ms", "tier": "Burstable" });
    }
    let (name, tier) =
        (put.body["sku"]["name"].as_str().unwrap_or_default(), put.body["sku"]["tier"].as_str().unwrap_or_default());
    let fits = match tier {
        "Burstable" => name.starts_with("Standard_B"),
        "GeneralPurpose" => name.starts_with("Standard_D"),
        "MemoryOptimized" => name.starts_with("Standard_E"),
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(invalid("sku", format!("Invalid value given for parameter sku: '{name}' is not a size of tier '{tier}'.")))
    }
}

fn set_storage(put: &mut Put<'_>) -> Result<(), Fault> {
    let mut storage = json!({ "storageSizeGB": 32, "autoGrow": "Disabled", "type": "" });
    crate::resources::merge(&mut storage, put.property("storage"));
    if !storage.is_object() {
        storage = json!({ "storageSizeGB": 32, "autoGrow": "Disabled", "type": "" });
    }
    let Some((size, tier, iops)) = STORAGE.iter().find(|(size, ..)| Some(*size) == storage["storageSizeGB"].as_u64())
    else {
        return Err(invalid(
            "storageSizeGB",
            format!(
                "Invalid value given for parameter storageSizeGB: {} is not one of 32, 64, 128 … 32768.",
                storage["storageSizeGB"]
            ),
        ));
    };
    let old = put.existing.and_then(|existing| existing.body["properties"]["storage"]["storageSizeGB"].as_u64());
    if let Some(old) = old.filter(|old| size < old) {
        return Err(invalid("storageSizeGB", format!("Storage can only grow: {size} GiB is less than {old} GiB.")));
    }
    if storage["tier"].is_null() || old.is_some_and(|old| old != *size) {
        storage["tier"] = (*tier).into();
        storage["iops"] = (*iops).into();
    }
    put.set("storage", storage);
    Ok(())
}

/// GiB, performance tier and IOPS of Premium SSD.
pub(super) const STORAGE: [(u64, &str, u32); 11] = [
    (32, "P4", 120),
    (64, "P6", 240),
    (128, "P10", 500),
    (256, "P15", 1100),
    (512, "P20", 2300),
    (1024, "P30", 5000),
    (2048, "P40", 7500),
    (4096, "P50", 7500),
    (8192, "P60", 16000),
    (16384, "P70", 18000),
    (32768, "P80", 20000),
];

fn check_network(put: &mut Put<'_>, name: &str) -> Result<(), Fault> {
    let Some(subnet_id) = put.text("network/delegatedSubnetResourceId").map(str::to_owned) else {
        put.default("network", json!({ "publicNetworkAccess": "Enabled" }));
        return Ok(());
    };
    let Some(subnet) = put.world.get(&subnet_id) else {
        return Err(invalid("delegatedSubnetResourceId", format!("The subnet '{subnet_id}' was not found.")));
    };
    let delegated = subnet.body["properties"]["delegations"].as_array().is_some_and(|delegations| {
        delegations.iter().any(|delegation| {
            delegation["properties"]["serviceName"]
                .as_str()
                .is_some_and(|service| service.eq_ignore_ascii_case(DELEGATION))
        })
    });
    if !delegated {
        return Err(Fault::bad_request(
            "SubnetNotDelegated",
            format!("The subnet '{subnet_id}' is not delegated to {DELEGATION}."),
        ));
    }
    if subnet.body["properties"]["addressPrefix"]
        .as_str()
        .and_then(crate::cidr::Block::parse)
        .is_some_and(|block| block.prefix() > 28)
    {
        return Err(invalid("delegatedSubnetResourceId", format!("The subnet '{subnet_id}' is smaller than /28.")));
    }
    let zone_id = required(put, "network/privateDnsZoneArmResourceId")?.to_owned();
    let Some(zone) = put.world.get(&zone_id) else {
        return Err(invalid("privateDnsZoneArmResourceId", format!("The private DNS zone '{zone_id}' was not found.")));
    };
    let zone_name = zone.body["name"].as_str().unwrap_or_default();
    if !zone_name.ends_with(".postgres.database.azure.com") || zone_name.split('.').next() == Some(name) {
        return Err(invalid(
            "privateDnsZoneArmResourceId",
            format!(
                "The private DNS zone '{zone_name}' must end in .postgres.database.azure.com and not begin with the server's name."
            ),
        ));
    }
    if put.text("network/publicNetworkAccess").is_some_and(|access| access.eq_ignore_ascii_case("Enabled")) {
        return Err(invalid(
            "publicNetworkAccess",
            "A server in a virtual network cannot have public access.".to_owned(),
        ));
    }
    put.properties()["network"]["publicNetworkAccess"] = "Disabled".into();
    Ok(())
}

fn put_database(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, DATABASE.resource_type);
    let name = put.id.name();
    if name.len() > 63 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        return Err(invalid("databaseName", format!("'{name}' is not a valid database name.")));
    }
    choose(put, "charset", &["UTF8", "SQL_ASCII", "LATIN1"])?;
    put.default("charset", "UTF8".into());
    put.default("collation", "en_US.utf8".into());
    if let Some(existing) = put.existing
        && existing.body["properties"] != put.body["properties"]
    {
        return Err(Fault::conflict(
            "DatabaseAlreadyExists",
            format!("The database '{name}' exists with another charset or collation, which cannot be changed."),
        ));
    }
    Ok(())
}

fn refuse_system_database(_: &World<'_>, database: &StoredResource) -> Result<(), Fault> {
    match database.body["name"].as_str() {
        Some(name) if is_system_database(name) => {
            Err(Fault::bad_request("OperationNotAllowed", format!("The system database '{name}' cannot be deleted.")))
        }
        _ => Ok(()),
    }
}

fn put_configuration(put: &mut Put<'_>) -> Result<(), Fault> {
    let name = put.id.name().to_ascii_lowercase();
    let value = match put.property("value") {
        Value::String(text) => text.clone(),
        Value::Null => required(put, "value").map(str::to_owned)?,
        other => other.to_string(),
    };
    let sku =
        put.id.parent().and_then(|server| put.world.get(server.key())).map(|server| server.body["sku"]["name"].clone());
    let Some(parameter) = default_parameter(put.id, sku.as_ref().and_then(Value::as_str).unwrap_or_default()) else {
        return Err(Fault::new(
            404,
            "ConfigurationNotExists",
            format!("The configuration '{name}' does not exist for server '{}'.", put.id.names()[0]),
        ));
    };
    parameter.check(&value)?;
    put.body = parameter.body(put.id, Some(&value));
    Ok(())
}
