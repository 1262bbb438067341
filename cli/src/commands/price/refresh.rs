//! `marea price refresh`: a new dated sheet, or none.

use std::path::{Path, PathBuf};

use clap::Args;
use price::{Entry, Meter, PriceSheet, SheetFile, retail};
use stack::Reporter;

use super::fetch::{Catalogue, Patience};
use crate::error::{CliError, Result};
use crate::pricing::folder;
use crate::terminal::{Terminal, print};

#[derive(Args, Debug)]
pub struct Refresh {
    /// An Azure region, e.g. eastus; may be repeated [default: every region of the repository's sheet].
    #[arg(long)]
    pub region: Vec<String>,
    /// A VM size beyond those of the repository's sheet, e.g. Standard_D8s_v5; may be repeated.
    #[arg(long)]
    pub vm_size: Vec<String>,
    /// A currency that Azure bills in.
    #[arg(long, default_value = "USD")]
    pub currency: String,
    /// The file to write [default: <date>.json in ~/.local/share/marea-prices, where `marea cost` finds it].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where the price list is asked for.
    #[arg(long, value_name = "URL", env = "MAREA_PRICES_ENDPOINT", default_value = retail::ENDPOINT)]
    pub endpoint: String,
}

pub async fn run(args: &Refresh) -> Result<()> {
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let terminal = Terminal::new();
    let file = fetch(args, &today, Patience::default(), &terminal).await?;
    terminal.clear();
    let path = args.out.clone().unwrap_or_else(|| folder().join(format!("{today}.json")));
    write(&path, &file.to_text())?;
    print(&format!("{} prices of {today} in {}: {}", file.entries.len(), file.currency, path.display()));
    if args.out.is_some() {
        print(&format!("Use them with `marea cost --sheet {}`.", path.display()));
    }
    Ok(())
}

/// A sheet that is whole and possible, or an error.
async fn fetch(args: &Refresh, today: &str, patience: Patience, reporter: &dyn Reporter) -> Result<SheetFile> {
    let committed = PriceSheet::committed().map_err(|error| CliError::failed(error.to_string()))?;
    let regions = if args.region.is_empty() { committed.regions() } else { args.region.clone() };
    for (what, names) in [("region", &regions), ("VM size", &args.vm_size)] {
        if let Some(name) = names.iter().find(|name| !is_name(name)) {
            return Err(CliError::bad_input(format!("`{name}` is not the name of a {what}"))
                .advice("Names are as in the stacks' files, e.g. eastus and Standard_B2s."));
        }
    }
    let mut sizes: Vec<String> =
        committed.regions().iter().flat_map(|region| committed.skus(Meter::Vm, region)).collect();
    sizes.extend(args.vm_size.iter().cloned());
    sizes.sort();
    sizes.dedup();
    let catalogue = Catalogue::new(&args.endpoint, &args.currency, patience, reporter)?;
    let mut entries: Vec<Entry> = vec![free_control_plane(today, &args.currency)];
    for region in &regions {
        reporter.status(&format!("price list: {region}"));
        let mut items = Vec::new();
        for filter in retail::filters(region, &sizes) {
            items.extend(catalogue.items(&filter).await?);
        }
        let found = retail::entries(&items, region, today).map_err(|error| refused(region, &error.to_string()))?;
        // What is priced everywhere alike comes with every region's answer.
        let new = found.into_iter().filter(|entry| entry.region != price::GLOBAL || !entries.contains(entry));
        entries.extend(new.collect::<Vec<_>>());
    }
    let file =
        SheetFile { format: SheetFile::FORMAT, date: today.to_owned(), currency: args.currency.clone(), entries };
    let sheet = PriceSheet::new(&file).map_err(|error| refused("the price list", &error.to_string()))?;
    for region in &regions {
        let mut missing: Vec<&str> = sheet.missing_meters(region).iter().map(|meter| meter.id()).collect();
        // Its Free tier is there without any answer.
        if sheet.price(Meter::ControlPlane, region, "Standard").is_err() {
            missing.push("control-plane Standard");
        }
        if !missing.is_empty() {
            return Err(refused(region, &format!("it has no price of {}", missing.join(", "))));
        }
    }
    Ok(file)
}

fn refused(what: &str, problem: &str) -> CliError {
    CliError::failed(format!("the answer for {what} is refused: {problem}")).advice(
        "Nothing was written. Check the region's name and whether Azure sells the service there; the committed sheet still serves.",
    )
}

/// The Free tier has no meter in Azure's price list, because it is never charged.
fn free_control_plane(today: &str, currency: &str) -> Entry {
    Entry {
        meter: Meter::ControlPlane,
        region: price::GLOBAL.to_owned(),
        sku: "Free".to_owned(),
        from: None,
        price: "0".to_owned(),
        unit: price::Unit::Hour,
        currency: currency.to_owned(),
        source: "Azure documentation, AKS pricing tiers: not charged".to_owned(),
        date: today.to_owned(),
        confidence: price::Confidence::Published,
    }
}

/// Names go into a filter expression between quotes.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// All or nothing: a reader never sees half a sheet.
fn write(path: &Path, text: &str) -> Result<()> {
    let fail = |error: std::io::Error| {
        CliError::failed(format!("{} cannot be written: {error}", path.display()))
            .advice("Name another file with --out, or check the folder's permissions and free space.")
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text).map_err(fail)?;
    std::fs::rename(&partial, path).map_err(fail)
}

#[cfg(test)]
mod tests;
