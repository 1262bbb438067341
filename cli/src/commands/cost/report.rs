//! The figures of `marea cost`, and their JSON and CSV.

use std::collections::BTreeMap;

use platform::Platform;
use price::{Bill, Confidence, Consumption, Line, Meter, PriceSheet, SeedTable, Span, Stack, Unit};
use serde_json::{Value, json};
use units::Money;

use super::distribution::Distribution;
use crate::error::{CliError, Result};
use crate::pricing::Prices;

/// A month at every pool's minimum and at every pool's maximum.
pub struct Bounds {
    pub floor: Bill,
    pub ceiling: Bill,
}

impl Bounds {
    pub fn new(platform: &Platform, prices: &Prices, region: Option<&str>) -> Result<Bounds> {
        Ok(Bounds {
            floor: prices.bill(platform, &Consumption::floor(platform), region)?,
            ceiling: prices.bill(platform, &Consumption::ceiling(platform), region)?,
        })
    }

    pub fn total(&self) -> Span {
        (self.floor.total(), self.ceiling.total())
    }

    /// What the specification's table does not count.
    pub fn left_out(&self) -> Span {
        let of = |bill: &Bill| {
            let lines = bill.lines.iter().filter(|line| !SeedTable::METERS.contains(&line.meter));
            lines.map(|line| line.cost).sum()
        };
        (of(&self.floor), of(&self.ceiling))
    }

    /// Both bills by stack and meter.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: BTreeMap<(Stack, Meter), Row> = BTreeMap::new();
        for (bill, is_ceiling) in [(&self.floor, false), (&self.ceiling, true)] {
            for line in &bill.lines {
                let row = rows.entry((line.stack, line.meter)).or_insert_with(|| Row::new(line));
                row.confidence = row.confidence.min(line.confidence);
                let count = row.counts.entry(line.sku.clone()).or_default();
                let instances = line.mean(bill.period);
                if is_ceiling {
                    row.cost.1 = row.cost.1 + line.cost;
                    count.1 += instances;
                } else {
                    row.cost.0 = row.cost.0 + line.cost;
                    count.0 += instances;
                }
            }
        }
        rows.into_values().collect()
    }
}

pub struct Row {
    pub stack: Stack,
    pub meter: Meter,
    pub unit: Unit,
    pub cost: Span,
    /// By SKU, how many of it there are at the floor and at the ceiling.
    pub counts: BTreeMap<String, (u64, u64)>,
    /// Of the weakest price in it.
    pub confidence: Confidence,
}

impl Row {
    fn new(line: &Line) -> Row {
        Row {
            stack: line.stack,
            meter: line.meter,
            unit: line.unit,
            cost: (Money::ZERO, Money::ZERO),
            counts: BTreeMap::new(),
            confidence: Confidence::Published,
        }
    }
}

/// The same platform with other settings.
pub struct Alternative {
    pub set: String,
    pub bounds: Bounds,
}

impl Alternative {
    pub fn new(set: &str, platform: &Platform, prices: &Prices, region: Option<&str>) -> Result<Alternative> {
        Ok(Alternative { set: set.to_owned(), bounds: Bounds::new(platform, prices, region)? })
    }
}

pub struct Report {
    pub environment: String,
    pub region: String,
    pub currency: String,
    pub prices: String,
    pub table: SeedTable,
    pub bounds: Bounds,
    /// Of a hundred gigabytes: through the load balancer, and out to the internet beyond what is free.
    pub traffic: (Money, Money),
    pub alternatives: Vec<Alternative>,
    pub distribution: Option<Distribution>,
}

impl Report {
    pub fn new(environment: &str, platform: &Platform, prices: &Prices, region: Option<&str>) -> Result<Report> {
        let bounds = Bounds::new(platform, prices, region)?;
        let region = bounds.floor.region.clone();
        let missing = |error: price::BillError| CliError::bad_input(error.to_string());
        Ok(Report {
            environment: environment.to_owned(),
            table: SeedTable::priced(&prices.sheet, &region).map_err(missing)?,
            currency: prices.sheet.currency.clone(),
            prices: prices.origin.clone(),
            traffic: traffic(&prices.sheet, &region)?,
            bounds,
            region,
            alternatives: Vec::new(),
            distribution: None,
        })
    }

    pub fn json(&self) -> Value {
        let bounds = &self.bounds;
        let (floor, ceiling) = bounds.total();
        let lines = self.table.lines.iter();
        let lines: Vec<Value> =
            lines.map(|line| json!({"what": line.what, "said": line.said, "priced": line.priced})).collect();
        let alternatives: Vec<Value> = self
            .alternatives
            .iter()
            .map(|other| {
                let (low, high) = other.bounds.total();
                json!({"set": other.set, "floor": low, "ceiling": high, "difference": [low - floor, high - ceiling]})
            })
            .collect();
        json!({
            "environment": self.environment,
            "region": self.region,
            "currency": self.currency,
            "prices": self.prices,
            "hoursAMonth": 730,
            "table": {
                "lines": lines,
                "saidTotal": SeedTable::SAID_TOTAL,
                "sumOfLines": self.table.sum_said(),
                "priced": self.table.sum_priced(),
            },
            "floor": bill_json(&bounds.floor),
            "ceiling": bill_json(&bounds.ceiling),
            "leftOut": bounds.left_out(),
            "per100GB": {"loadBalancer": self.traffic.0, "internet": self.traffic.1},
            "alternatives": alternatives,
            "distribution": self.distribution.as_ref().map(Distribution::json),
        })
    }

    /// # Errors
    /// Only when memory ends.
    pub fn csv(&self) -> Result<String> {
        let fail = |error: &dyn std::fmt::Display| CliError::failed(format!("the CSV could not be written: {error}"));
        let mut writer = csv::Writer::from_writer(Vec::new());
        let head = [
            "case",
            "stack",
            "resource",
            "meter",
            "sku",
            "amount",
            "unit",
            "price",
            "cost",
            "currency",
            "region",
            "confidence",
        ];
        writer.write_record(head).map_err(|error| fail(&error))?;
        for (case, bill) in [("floor", &self.bounds.floor), ("ceiling", &self.bounds.ceiling)] {
            for line in &bill.lines {
                let record = [
                    case,
                    line.stack.name(),
                    &line.resource,
                    line.meter.id(),
                    &line.sku,
                    &line.units().to_string(),
                    line.unit.name(),
                    &line.price.to_string(),
                    &line.cost.as_f64().to_string(),
                    &self.currency,
                    &self.region,
                    line.confidence.name(),
                ];
                writer.write_record(record).map_err(|error| fail(&error))?;
            }
        }
        let bytes = writer.into_inner().map_err(|error| fail(&error))?;
        String::from_utf8(bytes).map_err(|error| fail(&error))
    }
}

fn bill_json(bill: &Bill) -> Value {
    let named = |sums: BTreeMap<&'static str, Money>| json!(sums);
    json!({
        "total": bill.total(),
        "byStack": named(bill.by_stack().into_iter().map(|(stack, cost)| (stack.name(), cost)).collect()),
        "byMeter": named(bill.by_meter().into_iter().map(|(meter, cost)| (meter.id(), cost)).collect()),
        "byConfidence": named(bill.by_confidence().into_iter().map(|(kind, cost)| (kind.name(), cost)).collect()),
        "lines": bill.lines,
    })
}

fn traffic(sheet: &PriceSheet, region: &str) -> Result<(Money, Money)> {
    let of = |meter: Meter, sku: &str| {
        let price = sheet.price(meter, region, sku).map_err(|error| CliError::bad_input(error.to_string()))?;
        let micros = i64::try_from(price.first_charge().nanos() / 10).unwrap_or(i64::MAX);
        Ok::<_, CliError>(Money::from_micros(micros))
    };
    Ok((of(Meter::LoadBalancerData, "Standard")?, of(Meter::Egress, "Internet")?))
}
