//! Dated price sheets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{Meter, Unit, UnitPrice};

/// What a price rests on, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Another region's price; none for this region is known.
    Assumed,
    /// General knowledge without a source.
    Unconfirmed,
    /// Another project's tests or tables.
    Secondhand,
    /// From a published price by a stated correction.
    Corrected,
    /// From Azure's price list or its documentation.
    Published,
}

impl Confidence {
    pub fn name(self) -> &'static str {
        match self {
            Confidence::Assumed => "assumed",
            Confidence::Unconfirmed => "unconfirmed",
            Confidence::Secondhand => "secondhand",
            Confidence::Corrected => "corrected",
            Confidence::Published => "published",
        }
    }
}

/// One price as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub meter: Meter,
    /// Azure's name, e.g. `eastus`; `global` where every region has the price.
    pub region: String,
    pub sku: String,
    /// Units a month from which on the price holds; left out for the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// A decimal as text, so that no program rounds it.
    pub price: String,
    pub unit: Unit,
    pub currency: String,
    pub source: String,
    /// `YYYY-MM-DD`: when the source said so.
    pub date: String,
    pub confidence: Confidence,
}

/// A sheet as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SheetFile {
    pub format: u32,
    /// `YYYY-MM-DD`: when the sheet was put together.
    pub date: String,
    pub currency: String,
    pub entries: Vec<Entry>,
}

impl SheetFile {
    pub const FORMAT: u32 = 1;

    /// One entry a line, so that two sheets can be compared line by line.
    pub fn to_text(&self) -> String {
        let entries: Vec<String> = self.entries.iter().map(one_line).collect();
        format!(
            "{{\n\"format\": {},\n\"date\": {},\n\"currency\": {},\n\"entries\": [\n{}\n]\n}}\n",
            self.format,
            one_line(&self.date),
            one_line(&self.currency),
            entries.join(",\n")
        )
    }
}

fn one_line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The price of one SKU in one region: steps by the amount in a month, the first from zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub unit: Unit,
    pub steps: Vec<Step>,
    pub source: String,
    pub date: String,
    pub confidence: Confidence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Whole units a month.
    pub from: u64,
    pub price: UnitPrice,
}

impl Price {
    /// The price of the first unit that is not free; of a free meter, zero.
    pub fn first_charge(&self) -> UnitPrice {
        self.steps.iter().map(|step| step.price).find(|price| *price > UnitPrice::ZERO).unwrap_or_default()
    }
}

/// Prices of one currency, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceSheet {
    pub date: String,
    pub currency: String,
    prices: BTreeMap<(Meter, String, String), Price>,
}

/// The region of prices that hold everywhere.
pub const GLOBAL: &str = "global";

/// A sheet that is refused: every finding, not only the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetError(pub Vec<String>);

impl fmt::Display for SheetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        f.write_str(&self.0.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n  "))?;
        match self.0.len().checked_sub(SHOWN) {
            Some(more @ 1..) => write!(f, "\n  … and {more} more"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for SheetError {}

/// A price that the sheet does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriceError {
    Region { region: String, known: Vec<String> },
    Sku { meter: Meter, region: String, sku: String, known: Vec<String> },
}

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PriceError::Region { region, known } => {
                write!(f, "the price sheet has no prices for the region `{region}`; it has {}", known.join(", "))
            }
            PriceError::Sku { meter, region, sku, known } if known.is_empty() => {
                write!(f, "the price sheet has no price of the meter {meter} in {region} (asked for `{sku}`)")
            }
            PriceError::Sku { meter, region, sku, known } => write!(
                f,
                "the price sheet has no price of the meter {meter} for `{sku}` in {region}; it has {}",
                known.join(", ")
            ),
        }
    }
}

impl std::error::Error for PriceError {}

static COMMITTED: LazyLock<Result<PriceSheet, SheetError>> =
    LazyLock::new(|| PriceSheet::parse(include_str!("../sheet.json")));

impl PriceSheet {
    /// The sheet of this repository.
    ///
    /// # Errors
    /// Never in a tree whose tests pass: they read it.
    pub fn committed() -> Result<&'static PriceSheet, SheetError> {
        COMMITTED.as_ref().map_err(Clone::clone)
    }

    /// # Errors
    /// When the text is not a sheet, or a price in it cannot be.
    pub fn parse(text: &str) -> Result<PriceSheet, SheetError> {
        let file: SheetFile =
            serde_json::from_str(text).map_err(|error| SheetError(vec![format!("not a price sheet: {error}")]))?;
        PriceSheet::new(&file)
    }

    /// # Errors
    /// When a price in it cannot be: negative, no number, absurdly high, free where nothing is free, twice, in another
    /// currency, or for a unit that its meter does not count in.
    pub fn new(file: &SheetFile) -> Result<PriceSheet, SheetError> {
        let mut problems = Vec::new();
        if file.format != SheetFile::FORMAT {
            problems.push(format!("format {} is not {}", file.format, SheetFile::FORMAT));
        }
        if !is_date(&file.date) {
            problems.push(format!("date `{}` is not YYYY-MM-DD", file.date));
        }
        if !(file.currency.len() == 3 && file.currency.bytes().all(|byte| byte.is_ascii_uppercase())) {
            problems.push(format!("currency `{}` is not three capital letters", file.currency));
        }
        let mut prices: BTreeMap<(Meter, String, String), Price> = BTreeMap::new();
        for (index, entry) in file.entries.iter().enumerate() {
            if let Err(problem) = add(&mut prices, entry, &file.currency) {
                let place = format!("entry {} ({} {} {})", index + 1, entry.meter, entry.region, entry.sku);
                problems.push(format!("{place}: {problem}"));
            }
        }
        for ((meter, region, sku), price) in &prices {
            if price.steps.first().is_none_or(|step| step.from != 0) {
                problems.push(format!("{meter} {region} {sku}: no price for the first unit"));
            }
            if price.first_charge() == UnitPrice::ZERO && !(*meter == Meter::ControlPlane && sku == "Free") {
                problems.push(format!("{meter} {region} {sku}: the price is zero, and nothing here is free"));
            }
        }
        if problems.is_empty() {
            Ok(PriceSheet { date: file.date.clone(), currency: file.currency.clone(), prices })
        } else {
            Err(SheetError(problems))
        }
    }

    /// What a platform in the region needs and the sheet lacks: one line for each meter without any price.
    pub fn missing_meters(&self, region: &str) -> Vec<Meter> {
        Meter::ALL.into_iter().filter(|meter| self.skus(*meter, region).is_empty()).collect()
    }

    /// Regions that have prices of their own.
    pub fn regions(&self) -> Vec<String> {
        let regions: BTreeSet<&String> = self.prices.keys().map(|(_, region, _)| region).collect();
        regions.into_iter().filter(|region| *region != GLOBAL).cloned().collect()
    }

    /// SKUs with a price in the region.
    pub fn skus(&self, meter: Meter, region: &str) -> Vec<String> {
        let keys = self.prices.keys();
        let in_region = |known: &str| known.eq_ignore_ascii_case(region) || known == GLOBAL;
        let skus: BTreeSet<&String> =
            keys.filter(|(m, r, _)| *m == meter && in_region(r)).map(|(_, _, sku)| sku).collect();
        skus.into_iter().cloned().collect()
    }

    /// All prices, by meter, region and SKU.
    pub fn prices(&self) -> impl Iterator<Item = (Meter, &str, &str, &Price)> {
        self.prices.iter().map(|((meter, region, sku), price)| (*meter, region.as_str(), sku.as_str(), price))
    }

    /// The price in the region, or everywhere. Names are compared without regard to case, as Azure does.
    ///
    /// # Errors
    /// When the sheet has none.
    pub fn price(&self, meter: Meter, region: &str, sku: &str) -> Result<&Price, PriceError> {
        self.find(meter, &region.to_ascii_lowercase(), sku).or_else(|| self.find(meter, GLOBAL, sku)).ok_or_else(|| {
            let known = self.regions();
            if known.iter().any(|known| known.eq_ignore_ascii_case(region)) {
                PriceError::Sku {
                    meter,
                    region: region.to_owned(),
                    sku: sku.to_owned(),
                    known: self.skus(meter, region),
                }
            } else {
                PriceError::Region { region: region.to_owned(), known }
            }
        })
    }

    fn find(&self, meter: Meter, region: &str, sku: &str) -> Option<&Price> {
        self.prices.get(&(meter, region.to_owned(), sku.to_owned())).or_else(|| {
            let mut all = self.prices.iter();
            all.find(|((m, r, s), _)| *m == meter && r == region && s.eq_ignore_ascii_case(sku)).map(|(_, price)| price)
        })
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn add(prices: &mut BTreeMap<(Meter, String, String), Price>, entry: &Entry, currency: &str) -> Result<(), String> {
    let meter = entry.meter;
    if entry.currency != currency {
        return Err(format!("is in {}, the sheet in {currency}", entry.currency));
    }
    if entry.unit.dimension() != meter.dimension() {
        return Err(format!("is for a {}, which the meter does not count in", entry.unit.name()));
    }
    if entry.region.is_empty() || entry.sku.is_empty() || entry.source.is_empty() {
        return Err("region, sku and source must not be empty".to_owned());
    }
    if entry.region.bytes().any(|byte| !byte.is_ascii_lowercase() && !byte.is_ascii_digit()) {
        return Err("the region is not an Azure name such as eastus".to_owned());
    }
    if !is_date(&entry.date) {
        return Err(format!("date `{}` is not YYYY-MM-DD", entry.date));
    }
    let price = UnitPrice::parse(&entry.price)
        .ok_or_else(|| format!("price `{}` is not a decimal of zero or more", entry.price))?;
    if price.nanos() > meter.ceiling_dollars() * 1_000_000_000 {
        let ceiling = meter.ceiling_dollars();
        return Err(format!("a price of {price} per {} is above {ceiling}, the highest believed", entry.unit.name()));
    }
    let from = entry.from.as_deref().map_or(Some(0), |text| text.parse::<u64>().ok());
    let from = from.ok_or_else(|| format!("from `{}` is not a whole number", entry.from.as_deref().unwrap_or("")))?;
    let key = (meter, entry.region.clone(), entry.sku.clone());
    let known = prices.entry(key).or_insert_with(|| Price {
        unit: entry.unit,
        steps: Vec::new(),
        source: entry.source.clone(),
        date: entry.date.clone(),
        confidence: entry.confidence,
    });
    if known.unit != entry.unit {
        return Err("its steps are for different units".to_owned());
    }
    if known.steps.iter().any(|step| step.from == from) {
        return Err("stands twice".to_owned());
    }
    known.steps.push(Step { from, price });
    known.steps.sort_by_key(|step| step.from);
    known.confidence = known.confidence.min(entry.confidence);
    Ok(())
}
