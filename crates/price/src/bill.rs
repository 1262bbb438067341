//! The bill of a use.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use units::{Millis, Money};

use crate::usage::Item;
use crate::{Confidence, MONTH, Meter, Price, PriceError, PriceSheet, Stack, Unit, UnitPrice, Usage};

/// One meter of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub stack: Stack,
    pub resource: String,
    pub meter: Meter,
    pub sku: String,
    /// In the meter's own units, see [`Item::amount`].
    pub amount: u128,
    /// What the price is for.
    pub unit: Unit,
    /// Of one unit, free steps passed over.
    pub price: UnitPrice,
    /// Rounded once, to a millionth.
    pub cost: Money,
    pub confidence: Confidence,
    pub source: String,
}

impl Line {
    /// The amount in units of the price, e.g. hours. For people; the cost is calculated from the integer.
    pub fn units(&self) -> f64 {
        self.amount as f64 / self.unit.size() as f64
    }

    /// How many there were on average in the period: nodes, disks, addresses, GiB; of traffic, whole units. Rounded.
    pub fn mean(&self, period: Millis) -> u64 {
        let divisor = match self.unit {
            Unit::Hour | Unit::Month | Unit::GibMonth => u128::from(period.0.max(1).unsigned_abs()),
            Unit::Gb | Unit::Million => self.unit.size(),
        };
        u64::try_from((self.amount + divisor / 2) / divisor).unwrap_or(u64::MAX)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Bill {
    pub region: String,
    pub currency: String,
    /// Of the sheet, `YYYY-MM-DD`.
    pub prices_of: String,
    pub period: Millis,
    /// By stack, then meter.
    pub lines: Vec<Line>,
}

impl Bill {
    /// Exact: the lines' costs added, not their printed roundings.
    pub fn total(&self) -> Money {
        self.lines.iter().map(|line| line.cost).sum()
    }

    pub fn by_stack(&self) -> BTreeMap<Stack, Money> {
        self.by(|line| line.stack)
    }

    pub fn by_meter(&self) -> BTreeMap<Meter, Money> {
        self.by(|line| line.meter)
    }

    /// How much rests on prices of which kind.
    pub fn by_confidence(&self) -> BTreeMap<Confidence, Money> {
        self.by(|line| line.confidence)
    }

    fn by<K: Ord>(&self, key: impl Fn(&Line) -> K) -> BTreeMap<K, Money> {
        let mut sums = BTreeMap::new();
        for line in &self.lines {
            let sum = sums.entry(key(line)).or_insert(Money::ZERO);
            *sum = *sum + line.cost;
        }
        sums
    }
}

/// Prices that are missing: all of them, so that one look at the sheet is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillError(pub Vec<PriceError>);

impl fmt::Display for BillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n  "))
    }
}

impl std::error::Error for BillError {}

#[derive(Serialize)]
struct WireLine<'a> {
    stack: Stack,
    resource: &'a str,
    meter: Meter,
    sku: &'a str,
    amount: f64,
    unit: &'static str,
    price: String,
    cost: Money,
    confidence: Confidence,
}

/// Costs as numbers of the currency's unit, prices as text.
impl Serialize for Line {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = WireLine {
            stack: self.stack,
            resource: &self.resource,
            meter: self.meter,
            sku: &self.sku,
            amount: self.units(),
            unit: self.unit.name(),
            price: self.price.to_string(),
            cost: self.cost,
            confidence: self.confidence,
        };
        wire.serialize(serializer)
    }
}

/// What the use costs. The same use, sheet and region give the same bill, to the millionth.
///
/// Graduated prices (traffic to the internet) count by the month. A use of less than a month is taken as all of that month's, so
/// scale it with [`Usage::scaled_to`] first if the month goes on; in longer ones the steps grow in proportion.
///
/// # Errors
/// When the sheet lacks a region, a meter or a SKU: all that are lacking, with what is known instead. Nothing is taken as free.
pub fn bill(usage: &Usage, sheet: &PriceSheet, region: &str) -> Result<Bill, BillError> {
    let mut lines = Vec::with_capacity(usage.items.len());
    let mut missing = Vec::new();
    for item in &usage.items {
        match sheet.price(item.meter, region, &item.sku) {
            Ok(price) => lines.push(line(item, price, usage.period)),
            Err(error) if missing.contains(&error) => {}
            Err(error) => missing.push(error),
        }
    }
    if !missing.is_empty() {
        return Err(BillError(missing));
    }
    Ok(Bill {
        region: region.to_ascii_lowercase(),
        currency: sheet.currency.clone(),
        prices_of: sheet.date.clone(),
        period: usage.period,
        lines,
    })
}

fn line(item: &Item, price: &Price, period: Millis) -> Line {
    Line {
        stack: item.stack,
        resource: item.resource.clone(),
        meter: item.meter,
        sku: item.sku.clone(),
        amount: item.amount,
        unit: price.unit,
        price: price.first_charge(),
        cost: cost(item.amount, price, period),
        confidence: price.confidence,
        source: price.source.clone(),
    }
}

/// Each step is charged for what lies between it and the next.
fn cost(amount: u128, price: &Price, period: Millis) -> Money {
    let size = price.unit.size();
    let month = u128::from(MONTH.0.unsigned_abs());
    let months_in_milliseconds = u128::from(period.0.max(MONTH.0).unsigned_abs());
    let start = |units: u64| u128::from(units).saturating_mul(size).saturating_mul(months_in_milliseconds) / month;
    let ends = price.steps.iter().skip(1).map(|step| start(step.from)).chain([u128::MAX]);
    let nanos: u128 = price
        .steps
        .iter()
        .zip(ends)
        .map(|(step, end)| {
            let inside = amount.min(end).saturating_sub(start(step.from));
            inside.saturating_mul(u128::from(step.price.nanos()))
        })
        .fold(0, u128::saturating_add);
    let micro = size * 1000;
    Money::from_micros(i64::try_from(nanos.saturating_add(micro / 2) / micro).unwrap_or(i64::MAX))
}
