//! The server parameters that are offered, with their defaults on Azure.

use arm_model::id::ResourceId;
use serde_json::{Value, json};

use crate::fault::Fault;

pub(crate) struct Parameter {
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    /// `low-high` for numbers, a comma-separated list for enumerations, empty for free text.
    allowed: &'static str,
    dynamic: bool,
}

const fn parameter(
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    allowed: &'static str,
    dynamic: bool,
) -> Parameter {
    Parameter { name, kind, default, allowed, dynamic }
}

static PARAMETERS: [Parameter; 20] = [
    parameter("autovacuum", "Boolean", "on", "on,off", true),
    parameter("azure.extensions", "Set", "", "", true),
    parameter("checkpoint_timeout", "Integer", "600", "30-86400", true),
    parameter("deadlock_timeout", "Integer", "1000", "1-2147483647", true),
    parameter("effective_cache_size", "Integer", "196608", "1-2147483647", true),
    parameter("idle_in_transaction_session_timeout", "Integer", "0", "0-2147483647", true),
    parameter("lock_timeout", "Integer", "0", "0-2147483647", true),
    parameter("log_connections", "Boolean", "on", "on,off", true),
    parameter("log_disconnections", "Boolean", "on", "on,off", true),
    parameter("log_min_duration_statement", "Integer", "-1", "-1-2147483647", true),
    parameter("log_statement", "Enumeration", "none", "none,ddl,mod,all", true),
    parameter("maintenance_work_mem", "Integer", "65536", "1024-2097151", true),
    parameter("max_connections", "Integer", "50", "25-5000", false),
    parameter("max_wal_size", "Integer", "2048", "32-65536", true),
    parameter("require_secure_transport", "Boolean", "on", "on,off", true),
    parameter("shared_buffers", "Integer", "32768", "16-1073741823", false),
    parameter("shared_preload_libraries", "Set", "pg_cron,pg_stat_statements", "", false),
    parameter("statement_timeout", "Integer", "0", "0-2147483647", true),
    parameter("timezone", "String", "UTC", "", true),
    parameter("work_mem", "Integer", "4096", "4096-2097151", true),
];

pub(crate) fn default_parameters() -> impl Iterator<Item = &'static str> {
    PARAMETERS.iter().map(|parameter| parameter.name)
}

/// The parameter that an id of a configuration names, with the default that belongs to the server's size.
pub(crate) fn default_parameter(id: &ResourceId, sku: &str) -> Option<Parameter> {
    let found = PARAMETERS.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(id.name()))?;
    // Azure derives this default from the memory of the size (azure-databases-docs, concepts-limits.md).
    let default = match (found.name, sku) {
        ("max_connections", "Standard_B2s") => "429",
        ("max_connections", "Standard_B1ms" | "") => "50",
        ("max_connections", _) => "859",
        _ => found.default,
    };
    Some(Parameter { default, ..*found })
}

impl Parameter {
    /// Refuses a value of the wrong kind or outside what is allowed.
    pub fn check(&self, value: &str) -> Result<(), Fault> {
        let fits = match self.kind {
            "Integer" => {
                value.parse::<i64>().is_ok_and(|number| self.range().is_none_or(|range| range.contains(&number)))
            }
            "Boolean" | "Enumeration" => self.allowed.split(',').any(|choice| choice.eq_ignore_ascii_case(value)),
            _ => !value.chars().any(char::is_control),
        };
        if fits {
            return Ok(());
        }
        Err(Fault::bad_request(
            "InvalidParameterValue",
            format!("Invalid value given for parameter {}: '{value}'. Allowed: {}.", self.name, self.allowed),
        )
        .target(self.name))
    }

    fn range(&self) -> Option<std::ops::RangeInclusive<i64>> {
        let dash = self.allowed[1..].find('-')? + 1;
        Some(self.allowed[..dash].parse().ok()?..=self.allowed[dash + 1..].parse().ok()?)
    }

    pub fn body(&self, id: &ResourceId, value: Option<&str>) -> Value {
        let value = value.unwrap_or(self.default);
        json!({
            "id": id.to_string(),
            "name": self.name,
            "type": "Microsoft.DBforPostgreSQL/flexibleServers/configurations",
            "properties": {
                "value": value, "source": if value == self.default { "system-default" } else { "user-override" },
                "defaultValue": self.default, "dataType": self.kind, "allowedValues": self.allowed,
                "isDynamicConfig": self.dynamic, "isReadOnly": false, "isConfigPendingRestart": false,
            },
        })
    }
}
