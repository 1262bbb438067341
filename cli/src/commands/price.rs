//! `marea price`: the price sheet, and a new one from Azure's public price list.

mod fetch;
mod refresh;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use price::{Meter, Price};
use serde_json::{Value, json};

use crate::error::{CliError, Result};
use crate::pricing::Prices;
use crate::terminal::{print, print_json};

#[derive(Subcommand, Debug)]
pub enum PriceCommand {
    /// Every price, with its date and what it rests on.
    #[command(after_help = "Examples:\n  marea price list --region westeurope\n  marea price list --meter vm --json")]
    List(List),
    /// One meter's prices with their sources.
    #[command(
        after_help = "Examples:\n  marea price show vm Standard_B2s\n  marea price show egress --region brazilsouth"
    )]
    Show(Show),
    /// Fetch a new sheet from Azure's Retail Prices API, which needs no account.
    #[command(
        after_help = "Examples:\n  marea price refresh\n  marea price refresh --region eastus --region westeurope --out prices.json\n\nThe sheet is refused, and nothing written, where a price is impossible or a meter is missing.\nExit codes: 0 done, 1 the price list could not be read or is refused, 2 bad usage."
    )]
    Refresh(refresh::Refresh),
}

#[derive(Args, Debug)]
pub struct Which {
    /// Only this Azure region, e.g. eastus.
    #[arg(long)]
    pub region: Option<String>,
    /// A price sheet, or `committed` for the repository's own [default: the newer of the two].
    #[arg(long, value_name = "FILE", env = "MAREA_PRICES")]
    pub sheet: Option<PathBuf>,
    /// One JSON document instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct List {
    /// Only this meter, e.g. vm.
    #[arg(long)]
    pub meter: Option<String>,
    #[command(flatten)]
    pub which: Which,
}

#[derive(Args, Debug)]
pub struct Show {
    /// e.g. vm, os-disk, load-balancer, egress
    pub meter: String,
    /// Only this SKU, e.g. Standard_B2s.
    pub sku: Option<String>,
    #[command(flatten)]
    pub which: Which,
}

pub async fn run(command: &PriceCommand) -> Result<()> {
    match command {
        PriceCommand::List(args) => {
            let prices = Prices::load(args.which.sheet.as_deref())?;
            let found = select(&prices, args.meter.as_deref(), None, args.which.region.as_deref())?;
            show(&prices, &found, args.which.json, false);
            Ok(())
        }
        PriceCommand::Show(args) => {
            let prices = Prices::load(args.which.sheet.as_deref())?;
            let found = select(&prices, Some(&args.meter), args.sku.as_deref(), args.which.region.as_deref())?;
            show(&prices, &found, args.which.json, true);
            Ok(())
        }
        PriceCommand::Refresh(args) => refresh::run(args).await,
    }
}

type Found<'a> = (Meter, &'a str, &'a str, &'a Price);

fn select<'a>(
    prices: &'a Prices,
    meter: Option<&str>,
    sku: Option<&str>,
    region: Option<&str>,
) -> Result<Vec<Found<'a>>> {
    let meter = meter.map(parse_meter).transpose()?;
    let known = prices.sheet.regions();
    if let Some(region) = region.filter(|region| !known.iter().any(|known| known.eq_ignore_ascii_case(region))) {
        return Err(CliError::bad_input(format!("the price sheet has no prices for the region `{region}`"))
            .advice(format!("It has {}.", known.join(", "))));
    }
    let is = |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(value));
    let found: Vec<Found<'a>> = prices
        .sheet
        .prices()
        .filter(|(m, r, s, _)| {
            meter.is_none_or(|meter| meter == *m) && is(sku, s) && (is(region, r) || *r == price::GLOBAL)
        })
        .collect();
    match (found.is_empty(), meter, sku) {
        (true, Some(meter), Some(sku)) => {
            let regions: Vec<&str> = region.into_iter().chain(known.iter().map(String::as_str)).collect();
            let skus = regions.first().map(|region| prices.sheet.skus(meter, region)).unwrap_or_default();
            Err(CliError::bad_input(format!("the price sheet has no price of the meter {meter} for `{sku}`"))
                .advice(format!("It has {}.", skus.join(", "))))
        }
        _ => Ok(found),
    }
}

fn parse_meter(text: &str) -> Result<Meter> {
    Meter::ALL.into_iter().find(|meter| meter.id() == text).ok_or_else(|| {
        let known: Vec<&str> = Meter::ALL.iter().map(|meter| meter.id()).collect();
        CliError::bad_input(format!("`{text}` is not a meter")).advice(format!("Meters are {}.", known.join(", ")))
    })
}

fn show(prices: &Prices, found: &[Found<'_>], as_json: bool, with_source: bool) {
    if as_json {
        print_json(&json!({
            "sheet": prices.origin,
            "date": prices.sheet.date,
            "currency": prices.sheet.currency,
            "prices": found.iter().map(to_json).collect::<Vec<_>>(),
        }));
        return;
    }
    print(&render(prices, found, with_source));
}

fn to_json((meter, region, sku, price): &Found<'_>) -> Value {
    let steps: Vec<Value> =
        price.steps.iter().map(|step| json!({"from": step.from, "price": step.price.to_string()})).collect();
    json!({"meter": meter, "region": region, "sku": sku, "unit": price.unit.name(), "steps": steps,
        "source": price.source, "date": price.date, "confidence": price.confidence})
}

fn render(prices: &Prices, found: &[Found<'_>], with_source: bool) -> String {
    let mut out = format!("Prices in {}: {}\n", prices.sheet.currency, prices.origin);
    let head = format!(
        "{:<20} {:<18} {:<14} {:>9} {:<10} {:<12} {:<10}",
        "METER", "SKU", "REGION", "PRICE", "PER", "RESTS ON", "DATE"
    );
    out.push_str(&format!("{head}{}\n", if with_source { "  SOURCE" } else { "" }));
    for (meter, region, sku, price) in found {
        for step in &price.steps {
            let sku = if step.from == 0 { (*sku).to_owned() } else { format!("  from {}", step.from) };
            let source = if with_source { format!("  {}", price.source) } else { String::new() };
            let (unit, confidence) = (price.unit.name(), price.confidence.name());
            let cells = format!(
                "{meter:<20} {sku:<18} {region:<14} {:>9} {unit:<10} {confidence:<12} {:<10}",
                step.price, price.date
            );
            out.push_str(&format!("{cells}{source}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn prices() -> Prices {
        Prices::load(Some(Path::new("committed"))).unwrap()
    }

    #[test]
    fn prices_are_shown_with_their_source() {
        let prices = prices();
        let found = select(&prices, Some("vm"), Some("standard_b2s"), Some("eastus")).unwrap();
        let text = render(&prices, &found, true);
        assert_eq!(
            text.lines().nth(2).unwrap(),
            "vm                   Standard_B2s       eastus            0.0416 hour       published    2026-06-18  karpenter-provider-azure, generated price table of 2026-06-18"
        );
        let found = select(&prices, Some("egress"), None, Some("eastus")).unwrap();
        assert!(
            render(&prices, &found, false)
                .contains("egress                 from 100         eastus             0.087 GB")
        );
        assert_eq!(to_json(&found[0])["steps"][1]["from"], 100);
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let prices = prices();
        let check = |meter: Option<&str>, sku: Option<&str>, region: Option<&str>, expected: &str| {
            let error = select(&prices, meter, sku, region).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(Some("vms"), None, None, "Meters are vm, os-disk, ");
        check(Some("os-disk"), Some("P99"), Some("eastus"), "It has P10, P4.");
        check(None, None, Some("mars"), "no prices for the region `mars`\n  It has brazilsouth, ");
    }
}
