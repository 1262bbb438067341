//! The price sheet that commands use, and the bill of a platform at its prices.

use std::path::{Path, PathBuf};

use platform::Platform;
use price::{Bill, Consumption, PriceSheet, Stack, Usage, bill};

use crate::error::{CliError, Result};

/// A sheet and where it comes from, for people.
pub struct Prices {
    pub sheet: PriceSheet,
    pub origin: String,
}

/// Names the repository's own sheet where a file is expected.
pub const COMMITTED: &str = "committed";

impl Prices {
    /// The named sheet, else the newest one that `marea price refresh` wrote here if it is newer than the repository's own, else that.
    ///
    /// # Errors
    /// When the sheet cannot be read or is refused.
    pub fn load(named: Option<&Path>) -> Result<Prices> {
        match named {
            Some(name) if name == Path::new(COMMITTED) => Prices::committed(),
            Some(file) => Prices::read(file),
            None => {
                let committed = Prices::committed()?;
                match newest(&folder()) {
                    Some((date, file)) if date > committed.sheet.date => Prices::read(&file),
                    _ => Ok(committed),
                }
            }
        }
    }

    fn committed() -> Result<Prices> {
        let sheet =
            PriceSheet::committed().map_err(|error| refused(Path::new("the repository's price sheet"), &error))?;
        Ok(Prices { sheet: sheet.clone(), origin: format!("the repository's sheet of {}", sheet.date) })
    }

    fn read(file: &Path) -> Result<Prices> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            CliError::bad_input(format!("{} cannot be read: {error}", file.display()))
                .advice("`marea price refresh` writes a sheet; `--sheet committed` is the repository's own.")
        })?;
        let sheet = PriceSheet::parse(&text).map_err(|error| refused(file, &error))?;
        let origin = format!("{} of {}", file.display(), sheet.date);
        Ok(Prices { sheet, origin })
    }

    /// What the platform costs for the consumption, each stack in its own region unless one is given for all.
    ///
    /// # Errors
    /// When the sheet lacks a price, or the platform has something that cannot be priced.
    pub fn bill(&self, platform: &Platform, consumption: &Consumption, region: Option<&str>) -> Result<Bill> {
        let usage = Usage::of(platform, consumption).map_err(|error| {
            CliError::bad_input(error.to_string()).advice("Correct the stack's file, or leave that part out.")
        })?;
        self.bill_usage(platform, &usage, region)
    }

    /// As [`Prices::bill`], for a use that is known.
    ///
    /// # Errors
    /// When the sheet lacks a price.
    pub fn bill_usage(&self, platform: &Platform, usage: &Usage, region: Option<&str>) -> Result<Bill> {
        let cluster = region.unwrap_or(&platform.cluster.location);
        let database = region.or(platform.database.as_ref().map(|database| database.location.as_str()));
        let priced = |usage: &Usage, region: &str| {
            bill(usage, &self.sheet, region).map_err(|error| {
                CliError::bad_input(format!("{error}\n  (prices: {})", self.origin))
                    .advice("`marea price list` shows every price; `marea price refresh` and --sheet bring others.")
            })
        };
        match database.filter(|there| !there.eq_ignore_ascii_case(cluster)) {
            None => priced(usage, cluster),
            Some(there) => {
                let (mut here, mut apart) = (usage.clone(), usage.clone());
                here.items.retain(|item| item.stack != Stack::Db);
                apart.items.retain(|item| item.stack == Stack::Db);
                let mut whole = priced(&here, cluster)?;
                whole.lines.extend(priced(&apart, there)?.lines);
                Ok(whole)
            }
        }
    }
}

fn refused(file: &Path, error: &price::SheetError) -> CliError {
    CliError::bad_input(format!("{}: {error}", file.display()))
        .advice("Make it anew with `marea price refresh`, or use `--sheet committed`.")
}

/// Where refreshed sheets are kept: beside the cloud's data directory, which `marea local reset` deletes.
pub fn folder() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("MAREA_PRICES_DIR")
        .or_else(|| set("XDG_DATA_HOME").map(|home| home.join("marea-prices")))
        .or_else(|| set("HOME").map(|home| home.join(".local/share/marea-prices")))
        .unwrap_or_else(|| PathBuf::from(".marea-prices"))
}

/// The sheet with the latest date in its name, `YYYY-MM-DD.json`.
fn newest(folder: &Path) -> Option<(String, PathBuf)> {
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let dated = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut dated: Vec<(String, PathBuf)> =
        dated.filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path.clone()))).collect();
    dated.retain(|(name, _)| name.parse::<jiff::civil::Date>().is_ok());
    dated.into_iter().max()
}

/// `$12.41`, or `12.41 EUR` in other currencies.
pub fn amount(money: units::Money, currency: &str) -> String {
    match currency {
        "USD" if money < units::Money::ZERO => format!("-${}", -money),
        "USD" => format!("${money}"),
        other => format!("{money} {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_dated_sheet_is_found() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["2026-11-20.json", "2026-12-01.json", "2027-01-01.txt", "notes.json"] {
            std::fs::write(folder.path().join(name), "{}").unwrap();
        }
        let (date, file) = newest(folder.path()).unwrap();
        assert_eq!((date.as_str(), file), ("2026-12-01", folder.path().join("2026-12-01.json")));
        assert_eq!(newest(&folder.path().join("none")), None);
    }

    #[test]
    fn a_refused_sheet_is_named_with_its_first_problem() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sheet.json");
        std::fs::write(&file, r#"{"format": 1, "date": "2026-01-01", "currency": "USD", "entries": [], "more": 1}"#)
            .unwrap();
        let error = Prices::load(Some(&file)).err().unwrap();
        assert!(error.message.contains("sheet.json: not a price sheet: unknown field `more`"), "{}", error.message);
        assert_eq!(error.exit, crate::error::Exit::BadInput);
        assert!(Prices::load(Some(Path::new("/nowhere/x.json"))).err().unwrap().message.contains("cannot be read"));
        assert!(Prices::load(Some(Path::new(COMMITTED))).unwrap().origin.starts_with("the repository's sheet"));
    }

    #[test]
    fn amounts_carry_their_currency() {
        let cents = units::Money::from_cents;
        assert_eq!(amount(cents(1241), "USD"), "$12.41");
        assert_eq!(amount(cents(-1241), "USD"), "-$12.41");
        assert_eq!(amount(cents(1241), "EUR"), "12.41 EUR");
    }
}
