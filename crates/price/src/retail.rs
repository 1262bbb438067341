//! The public Retail Prices API: what to ask it, and its answers as entries of a sheet.
//!
//! Source: Azure "Retail rates prices overview", api-version 2023-01-01-preview. Values in filters are case-sensitive there.
//! Names of products are compared with spaces normalised, as some of PostgreSQL's have no-break spaces.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Number;

use crate::{Confidence, Entry, GLOBAL, Meter, SheetError, Unit};

pub const API_VERSION: &str = "2023-01-01-preview";
pub const ENDPOINT: &str = "https://prices.azure.com/api/retail/prices";

/// One page of an answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Page {
    pub items: Vec<RetailItem>,
    #[serde(default)]
    pub next_page_link: Option<String>,
}

/// One price of the catalogue, as far as it is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetailItem {
    pub currency_code: String,
    /// Of graduated prices: units from which on this one holds.
    #[serde(default)]
    pub tier_minimum_units: Option<Number>,
    pub retail_price: Number,
    #[serde(default)]
    pub arm_region_name: String,
    #[serde(default)]
    pub effective_start_date: String,
    #[serde(default)]
    pub effective_end_date: Option<String>,
    #[serde(default)]
    pub meter_id: String,
    pub meter_name: String,
    pub product_name: String,
    #[serde(default)]
    pub sku_name: String,
    pub service_name: String,
    pub unit_of_measure: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub is_primary_meter_region: Option<bool>,
    #[serde(default)]
    pub arm_sku_name: Option<String>,
}

/// The `$filter` expressions whose answers hold every meter of the platform in a region.
pub fn filters(region: &str, vm_sizes: &[String]) -> Vec<String> {
    let consumption = "priceType eq 'Consumption'";
    let here = format!("armRegionName eq '{region}'");
    let here_or_global = format!("({here} or armRegionName eq 'Global')");
    let any = |field: &str, values: &[&str]| {
        let terms: Vec<String> = values.iter().map(|value| format!("{field} eq '{value}'")).collect();
        format!("({})", terms.join(" or "))
    };
    let sizes: Vec<&str> = vm_sizes.iter().map(String::as_str).collect();
    let service = |name: &str, rest: &[&str]| {
        let mut terms = vec![format!("serviceName eq '{name}'"), consumption.to_owned()];
        terms.extend(rest.iter().map(|term| (*term).to_owned()));
        terms.join(" and ")
    };
    let network = ["Standard IPv4 Static Public IP", "Intra-Region Ingress", "Intra-Region Egress"];
    vec![
        service("Virtual Machines", &[&here, &any("armSkuName", &sizes)]),
        service("Storage", &[&here, "productName eq 'Premium SSD Managed Disks'"]),
        service("Azure Kubernetes Service", &[&here]),
        service("Load Balancer", &[&here_or_global]),
        service("Virtual Network", &[&here_or_global, &any("meterName", &network)]),
        service("Azure Database for PostgreSQL", &[&here]),
        service("Azure DNS", &[&any("meterName", &["Private Zone", "Private Queries"])]),
        service("Bandwidth", &[&here, "meterName eq 'Standard Data Transfer Out'"]),
    ]
}

/// Prices of a region's meters among the items, with the API's word and the day of asking. Items of other meters, Windows, Spot and
/// low-priority machines, reservations and prices that ended are passed over.
///
/// # Errors
/// When a price that is wanted cannot be read: a unit that is not known, a step that is no whole number, or two prices for the
/// same thing that nothing tells apart.
pub fn entries(items: &[RetailItem], region: &str, date: &str) -> Result<Vec<Entry>, SheetError> {
    let mut chosen: BTreeMap<(Meter, String, u64), (Rank<'_>, Entry)> = BTreeMap::new();
    let mut problems = Vec::new();
    for item in items.iter().filter(|item| is_current(item)) {
        let Some((meter, sku)) = meter(item) else { continue };
        let Some(scope) = scope(item, meter, region) else { continue };
        let (entry, from) = match entry(item, meter, &sku, scope, date) {
            Ok(found) => found,
            Err(problem) => {
                problems.push(format!("{} ({}): {problem}", item.meter_name, item.product_name));
                continue;
            }
        };
        let rank = rank(item, region);
        match chosen.get(&(meter, sku.clone(), from)) {
            Some((known, other)) if *known == rank && other.price != entry.price => problems.push(format!(
                "{} ({}): two prices, {} and {}, and nothing tells them apart",
                item.meter_name, item.product_name, other.price, entry.price
            )),
            Some((known, _)) if *known >= rank => {}
            _ => {
                chosen.insert((meter, sku, from), (rank, entry));
            }
        }
    }
    if problems.is_empty() {
        Ok(chosen.into_values().map(|(_, entry)| entry).collect())
    } else {
        Err(SheetError(problems))
    }
}

/// The region's own price before everybody's, the meter's primary region before others, a later price before an earlier one.
type Rank<'a> = (bool, bool, &'a str);

fn rank<'a>(item: &'a RetailItem, region: &str) -> Rank<'a> {
    (item.arm_region_name == region, item.is_primary_meter_region == Some(true), &item.effective_start_date)
}

fn is_current(item: &RetailItem) -> bool {
    item.kind == "Consumption" && item.effective_end_date.as_deref().is_none_or(str::is_empty)
}

fn spaces(text: &str) -> String {
    text.replace('\u{a0}', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Which meter of the platform an item is the price of, and of which SKU.
fn meter(item: &RetailItem) -> Option<(Meter, String)> {
    let (product, name) = (spaces(&item.product_name), item.meter_name.as_str());
    let standard = |meter| Some((meter, "Standard".to_owned()));
    match item.service_name.as_str() {
        "Virtual Machines" => {
            let cheap = |text: &str| text.contains("Spot") || text.contains("Low Priority");
            let plain = !product.contains("Windows") && !cheap(name) && !cheap(&item.sku_name);
            let size = item.arm_sku_name.clone().filter(|size| plain && !size.is_empty())?;
            Some((Meter::Vm, size))
        }
        // "P10 LRS Disk", and not its mounts and reservations.
        "Storage" if product == "Premium SSD Managed Disks" => {
            let tier = name.strip_suffix(" LRS Disk").or_else(|| name.strip_suffix(" Disks"))?;
            Some((Meter::OsDisk, tier.to_owned()))
        }
        "Azure Kubernetes Service" if product == "Azure Kubernetes Service" => match name {
            "Standard Uptime SLA" => standard(Meter::ControlPlane),
            "Standard Long Term Support" => Some((Meter::ControlPlane, "Premium".to_owned())),
            _ => None,
        },
        "Load Balancer" => match name {
            "Standard Included LB Rules and Outbound Rules" => standard(Meter::LoadBalancer),
            "Standard Overage LB Rules and Outbound Rules" => standard(Meter::LoadBalancerRule),
            "Standard Data Processed" => standard(Meter::LoadBalancerData),
            _ => None,
        },
        "Virtual Network" => match name {
            "Standard IPv4 Static Public IP" => standard(Meter::PublicIp),
            "Intra-Region Ingress" => Some((Meter::PeeringData, "Inbound".to_owned())),
            "Intra-Region Egress" => Some((Meter::PeeringData, "Outbound".to_owned())),
            _ => None,
        },
        "Azure Database for PostgreSQL" => database_meter(item, &product),
        "Azure DNS" => match name {
            "Private Zone" => Some((Meter::PrivateDnsZone, "Private".to_owned())),
            "Private Queries" => Some((Meter::PrivateDnsQueries, "Private".to_owned())),
            _ => None,
        },
        // Over Microsoft's own network, Azure's default routing.
        "Bandwidth" if product == "Rtn Preference: MGN" && name == "Standard Data Transfer Out" => {
            Some((Meter::Egress, "Internet".to_owned()))
        }
        _ => None,
    }
}

fn database_meter(item: &RetailItem, product: &str) -> Option<(Meter, String)> {
    if product == "Az DB for PostgreSQL Flexible Server Storage" {
        return (item.meter_name == "Storage Data Stored").then(|| (Meter::DatabaseStorage, "Premium".to_owned()));
    }
    if product.ends_with("Flexible Server Backup Storage") {
        return (item.meter_name == "Backup Storage LRS Data Stored")
            .then(|| (Meter::DatabaseBackup, "LRS".to_owned()));
    }
    if !(product.contains("PostgreSQL Flexible Server") && product.ends_with("Compute")) {
        return None;
    }
    // Burstable sizes are `B1MS` here and `Standard_B1ms` in ARM; the others have ARM's name.
    match item.arm_sku_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&item.sku_name) {
        name if name.starts_with("Standard_") => Some((Meter::DatabaseCompute, name.to_owned())),
        name if product.contains("Burstable") && name.starts_with('B') => {
            Some((Meter::DatabaseCompute, format!("Standard_B{}", name[1..].to_ascii_lowercase())))
        }
        _ => None,
    }
}

/// The region that an item's price holds for: the asked one, or everywhere. Names have no region of their own: the zone that is
/// most of the world has their price.
fn scope<'a>(item: &RetailItem, meter: Meter, region: &'a str) -> Option<&'a str> {
    let there = item.arm_region_name.as_str();
    match meter {
        Meter::PrivateDnsZone | Meter::PrivateDnsQueries => ["", "Global", "Zone 1"].contains(&there).then_some(GLOBAL),
        _ => (there == region || there == "Global").then_some(region),
    }
}

fn entry(item: &RetailItem, meter: Meter, sku: &str, region: &str, date: &str) -> Result<(Entry, u64), String> {
    let unit = unit(&item.unit_of_measure, meter)
        .ok_or_else(|| format!("the unit `{}` is not known for the meter {meter}", item.unit_of_measure))?;
    let from = match &item.tier_minimum_units {
        None => 0,
        Some(units) => units
            .as_u64()
            .or_else(|| units.as_f64().filter(|units| units.fract() == 0.0 && *units >= 0.0).map(|units| units as u64))
            .ok_or_else(|| format!("tierMinimumUnits {units} is not a whole number"))?,
    };
    let since = item.effective_start_date.get(..10).unwrap_or("an unknown day");
    let entry = Entry {
        meter,
        region: region.to_owned(),
        sku: sku.to_owned(),
        from: (from > 0).then(|| from.to_string()),
        price: item.retail_price.to_string(),
        unit,
        currency: item.currency_code.clone(),
        source: format!("Azure Retail Prices API, meter {} of {since}", item.meter_id),
        date: date.to_owned(),
        confidence: Confidence::Published,
    };
    Ok((entry, from))
}

/// Azure writes hours as `1 Hour` and `1/Hour`; a zone is priced `1` a month.
fn unit(text: &str, meter: Meter) -> Option<Unit> {
    let unit = match text {
        "1 Hour" | "1/Hour" => Unit::Hour,
        "1/Month" => Unit::Month,
        "1" if meter == Meter::PrivateDnsZone => Unit::Month,
        "1 GB/Month" | "1 GiB/Month" => Unit::GibMonth,
        "1 GB" => Unit::Gb,
        "1M" => Unit::Million,
        _ => return None,
    };
    (unit.dimension() == meter.dimension()).then_some(unit)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn item(changes: Value) -> Value {
        let mut item = json!({"currencyCode": "USD", "tierMinimumUnits": 0.0, "retailPrice": 0.0416, "unitPrice": 0.0416, "armRegionName": "eastus",
            "location": "US East", "effectiveStartDate": "2020-08-01T00:00:00Z", "meterId": "m", "meterName": "B2s", "productId": "p", "skuId": "s",
            "productName": "Virtual Machines BS Series", "skuName": "B2s", "serviceName": "Virtual Machines", "serviceFamily": "Compute",
            "unitOfMeasure": "1 Hour", "type": "Consumption", "isPrimaryMeterRegion": true, "armSkuName": "Standard_B2s"});
        for (key, value) in changes.as_object().unwrap() {
            item[key] = value.clone();
        }
        item
    }

    fn check(items: Value, expected: Result<&[&str], &str>) {
        let items: Vec<RetailItem> = serde_json::from_value(items).unwrap();
        let found = entries(&items, "eastus", "2026-11-25").map(|entries| {
            let line = |entry: &Entry| {
                let from = entry.from.as_deref().map(|from| format!(" from {from}")).unwrap_or_default();
                format!("{} {} {} {}/{}{from}", entry.meter, entry.region, entry.sku, entry.price, entry.unit.name())
            };
            entries.iter().map(line).collect::<Vec<_>>()
        });
        match expected {
            Ok(lines) => assert_eq!(found.unwrap(), lines),
            Err(text) => {
                let error = found.unwrap_err().to_string();
                assert!(error.contains(text), "{error}");
            }
        }
    }

    #[test]
    fn only_plain_linux_machines_count() {
        check(json!([item(json!({}))]), Ok(&["vm eastus Standard_B2s 0.0416/hour"]));
        for other in [
            json!({"productName": "Virtual Machines BS Series Windows"}),
            json!({"meterName": "B2s Spot"}),
            json!({"skuName": "B2s Low Priority"}),
            json!({"type": "Reservation"}),
            json!({"type": "DevTestConsumption"}),
            json!({"effectiveEndDate": "2026-01-01T00:00:00Z"}),
            json!({"armRegionName": "westus"}),
            json!({"armSkuName": ""}),
            json!({"serviceName": "Cloud Services"}),
        ] {
            check(json!([item(other)]), Ok(&[]));
        }
    }

    #[test]
    fn the_later_and_the_nearer_price_counts() {
        let later = json!({"effectiveStartDate": "2026-01-01T00:00:00Z", "retailPrice": 0.05});
        check(json!([item(later.clone()), item(json!({}))]), Ok(&["vm eastus Standard_B2s 0.05/hour"]));
        check(json!([item(json!({})), item(later)]), Ok(&["vm eastus Standard_B2s 0.05/hour"]));
        check(json!([item(json!({})), item(json!({"retailPrice": 0.04}))]), Err("two prices, 0.0416 and 0.04"));
        check(json!([item(json!({})), item(json!({}))]), Ok(&["vm eastus Standard_B2s 0.0416/hour"]));
        let ip = |region: &str, price: f64| {
            item(
                json!({"serviceName": "Virtual Network", "productName": "IP Addresses", "meterName": "Standard IPv4 Static Public IP", "armRegionName": region, "retailPrice": price}),
            )
        };
        check(json!([ip("eastus", 0.006), ip("Global", 0.005)]), Ok(&["public-ip eastus Standard 0.006/hour"]));
        check(json!([ip("Global", 0.005)]), Ok(&["public-ip eastus Standard 0.005/hour"]));
    }

    #[test]
    fn databases_have_two_spellings() {
        let compute = |sku: Value, product: &str| {
            item(
                json!({"serviceName": "Azure Database for PostgreSQL", "productName": product, "armSkuName": sku, "skuName": "B1MS", "meterName": "B1MS", "retailPrice": 0.017}),
            )
        };
        let burstable = "Azure Database for PostgreSQL Flexible Server Burstable\u{a0}BS Series Compute";
        check(json!([compute(json!("B1MS"), burstable)]), Ok(&["database-compute eastus Standard_B1ms 0.017/hour"]));
        check(json!([compute(Value::Null, burstable)]), Ok(&["database-compute eastus Standard_B1ms 0.017/hour"]));
        let general = "Azure Database for PostgreSQL Flexible Server General Purpose\u{a0}Ddsv5\u{a0}Series Compute";
        check(
            json!([compute(json!("Standard_D2ds_v5"), general)]),
            Ok(&["database-compute eastus Standard_D2ds_v5 0.017/hour"]),
        );
        check(json!([compute(json!("GP_Gen5_2"), "Azure Database for PostgreSQL Single Server Compute")]), Ok(&[]));
    }

    #[test]
    fn steps_and_units_are_read_or_refused() {
        let out = |from: f64, price: f64| {
            item(
                json!({"serviceName": "Bandwidth", "productName": "Rtn Preference: MGN", "meterName": "Standard Data Transfer Out", "unitOfMeasure": "1 GB", "tierMinimumUnits": from, "retailPrice": price}),
            )
        };
        check(
            json!([out(0.0, 0.0), out(100.0, 0.087)]),
            Ok(&["egress eastus Internet 0.0/GB", "egress eastus Internet 0.087/GB from 100"]),
        );
        check(json!([out(0.5, 0.1)]), Err("tierMinimumUnits 0.5 is not a whole number"));
        check(
            json!([item(json!({"unitOfMeasure": "100 Hours"}))]),
            Err("the unit `100 Hours` is not known for the meter vm"),
        );
        check(json!([item(json!({"unitOfMeasure": "1 GB"}))]), Err("the unit `1 GB` is not known for the meter vm"));
        let queries = json!({"serviceName": "Azure DNS", "productName": "Azure DNS", "meterName": "Private Queries", "armRegionName": "Zone 1", "unitOfMeasure": "1M", "retailPrice": 4e-1});
        check(json!([item(queries)]), Ok(&["private-dns-queries global Private 0.4/million"]));
    }

    #[test]
    fn filters_name_the_region_and_the_sizes() {
        let filters = filters("eastus", &["Standard_B2s".into(), "Standard_B1ms".into()]);
        assert_eq!(
            filters[0],
            "serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armRegionName eq 'eastus' and (armSkuName eq 'Standard_B2s' or armSkuName eq 'Standard_B1ms')"
        );
        assert!(filters.iter().all(|filter| filter.matches('(').count() == filter.matches(')').count()));
    }
}
