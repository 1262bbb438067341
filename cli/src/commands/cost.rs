//! `marea cost`: what the platform costs in a month, beside what its specification says.

mod distribution;
mod report;
mod text;

use std::path::PathBuf;

use clap::Args;

use crate::error::{CliError, Result};
use crate::planned::{Override, Sources};
use crate::pricing::Prices;
use crate::project::Project;
use crate::terminal::{print, print_json};

use self::distribution::Wanted;
pub use self::report::Bounds;
use self::report::{Alternative, Report};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marea cost                                       least and most that a month in Azure can cost
  marea cost --region westeurope --csv > cost.csv
  marea cost --compare pools.backend.vmSize=Standard_B2als_v2
  marea cost --compare base.tier=Standard --compare db.size=Standard_B2s,db.storageGib=64
  marea cost --load traffic.csv                    and what this traffic makes of it: P5, P50, P95 over 20 seeds

Prices are pay as you go, without reservations, credits and taxes; `marea price list` shows each with its source.
Exit codes: 0 done, 2 bad usage, an unknown region or a size without a price.")]
pub struct CostArgs {
    /// Which stack.<ENV>.yaml.
    #[arg(long, default_value = "production", env = "MAREA_ENV")]
    pub env: String,
    /// An Azure region for everything, e.g. westeurope [default: the stacks' own].
    #[arg(long)]
    pub region: Option<String>,
    /// A price sheet that `marea price refresh` wrote, or `committed` for the repository's own [default: the newer of the two].
    #[arg(long, value_name = "FILE", env = "MAREA_PRICES")]
    pub sheet: Option<PathBuf>,
    /// Another value for a setting of the stacks' files; may be repeated.
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// The same with other settings beside it, several joined by commas; may be repeated.
    #[arg(long, value_name = "PATH=VALUE[,PATH=VALUE…]")]
    pub compare: Vec<String>,
    /// A CSV or Prometheus answer of traffic: simulates it, and shows how the month's cost spreads over seeds.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "compare"])]
    pub load: Option<PathBuf>,
    /// The same for a scenario of `marea simulate`, whose own environment and settings count.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "compare", "load"])]
    pub scenario: Option<PathBuf>,
    /// Over how many seeds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub seeds: u32,
    /// One JSON document instead of text.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Every line of both bills as CSV.
    #[arg(long)]
    pub csv: bool,
}

pub fn run(args: &CostArgs) -> Result<()> {
    if args.csv && !args.compare.is_empty() {
        return Err(CliError::bad_input("--csv prints one platform's bills and takes no --compare")
            .advice("Use --json, or run it once for each with --set."));
    }
    let sources = Sources::read(&Project::find()?, &args.env)?;
    let prices = Prices::load(args.sheet.as_deref())?;
    let report = report(args, &sources, &prices)?;
    if args.json {
        print_json(&report.json());
    } else if args.csv {
        print(&report.csv()?);
    } else {
        print(&text::render(&report));
    }
    Ok(())
}

fn report(args: &CostArgs, sources: &Sources, prices: &Prices) -> Result<Report> {
    let base = overrides(&args.set)?;
    let planned = sources.plan(&base)?;
    let mut report = Report::new(&args.env, &planned.platform, prices, args.region.as_deref())?;
    for compared in &args.compare {
        let texts: Vec<String> = compared.split(',').map(str::to_owned).collect();
        let changes: Vec<Override> = base.iter().cloned().chain(overrides(&texts)?).collect();
        let other = sources.plan(&changes)?;
        report.alternatives.push(Alternative::new(compared, &other.platform, prices, args.region.as_deref())?);
    }
    if args.load.is_some() || args.scenario.is_some() {
        let wanted = Wanted {
            scenario: args.scenario.clone(),
            load: args.load.clone(),
            environment: args.env.clone(),
            set: args.set.clone(),
            seeds: args.seeds,
        };
        report.distribution = Some(distribution::of(&wanted, prices, args.region.as_deref())?);
    }
    Ok(report)
}

fn overrides(texts: &[String]) -> Result<Vec<Override>> {
    texts.iter().map(|text| Override::parse(text)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;
    use serde_json::Value;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: CostArgs,
    }

    fn of(line: &[&str]) -> Result<Report> {
        let args = Line::parse_from(["cost"].iter().chain(line)).args;
        let project = Project { root: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), here: None };
        let sources = Sources::read(&project, &args.env)?;
        super::report(&args, &sources, &Prices::load(Some(Path::new("committed")))?)
    }

    /// Worked out by hand in `crates/price/tests/bill.rs`; here from the repository's own stacks and manifests.
    #[test]
    fn the_repository_s_platform_costs_what_the_specification_forgot() {
        let report = of(&[]).unwrap().json();
        let cents = |pointer: &str| (report.pointer(pointer).and_then(Value::as_f64).unwrap() * 100.0).round() / 100.0;
        assert_eq!((cents("/floor/total"), cents("/ceiling/total")), (192.37, 492.84));
        assert_eq!((cents("/table/sumOfLines/0"), cents("/table/sumOfLines/1")), (122.0, 302.0));
        assert_eq!((cents("/table/saidTotal/0"), cents("/table/saidTotal/1")), (92.0, 302.0));
        assert_eq!((cents("/table/priced/0"), cents("/table/priced/1")), (121.76, 303.97));
        assert_eq!((cents("/leftOut/0"), cents("/leftOut/1")), (70.61, 188.87));
        assert_eq!(cents("/floor/byStack/db"), 16.59);
        assert_eq!(cents("/ceiling/byMeter/os-disk"), 177.39);
    }

    #[test]
    fn the_text_shows_every_line_once() {
        let text = text::render(&of(&["--compare", "pools.backend.vmSize=Standard_B2als_v2"]).unwrap());
        for line in [
            "pool backend, 1-5 × B2s                       $30-150     $30.37 - $151.84",
            "total it prints                               $92-302",
            "its lines added                              $122-302    $121.76 - $303.97",
            "OS disks",
            "total                                                          $192.37    $492.84",
            "pools.backend.vmSize=Standard_B2als_v2",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    }

    #[test]
    fn csv_has_both_bills() {
        let csv = of(&[]).unwrap().csv().unwrap();
        assert!(
            csv.starts_with("case,stack,resource,meter,sku,amount,unit,price,cost,currency,region,confidence\n"),
            "{csv}"
        );
        assert!(
            csv.contains("\nfloor,base,pool backend,vm,Standard_B2s,730,hour,0.0416,30.368,USD,eastus,published\n"),
            "{csv}"
        );
        assert!(
            csv.contains("\nceiling,base,pool backend,vm,Standard_B2s,3650,hour,0.0416,151.84,USD,eastus,published\n"),
            "{csv}"
        );
    }

    #[test]
    fn what_has_no_price_is_named() {
        let check = |line: &[&str], expected: &str| {
            let error = of(line).err().unwrap();
            assert!(error.message.contains(expected), "{}", error.message);
            assert_eq!(error.exit, crate::error::Exit::BadInput);
        };
        check(&["--region", "moonbase"], "no prices for the region `moonbase`; it has brazilsouth, ");
        check(
            &["--set", "db.size=Standard_D2s_v3"],
            "database-compute for `Standard_D2s_v3` in eastus; it has Standard_B1ms",
        );
        check(&["--compare", "pools.backend.vmsize=x"], "is not a setting");
        check(&["--set", "pools.backend.vmSize=Standard_B2x"], "`Standard_B2x`");
    }

    #[test]
    fn an_alternative_stands_with_its_difference() {
        let report = of(&["--compare", "base.tier=Standard,db.size=Standard_B2s"]).unwrap().json();
        let difference = &report["alternatives"][0]["difference"];
        assert_eq!(
            (difference[0].as_f64(), difference[1].as_f64()),
            (Some(85.41), Some(85.41)),
            "73.00 and 12.41 more"
        );
    }

    #[test]
    fn a_load_has_a_spread_between_the_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("traffic.csv");
        let rows: String =
            (0..48).map(|hour| format!("{},{}\n", hour * 3600, if hour % 24 < 8 { 5 } else { 60 })).collect();
        std::fs::write(&trace, format!("seconds,requests_per_second\n{rows}")).unwrap();
        let report = of(&["--load", trace.to_str().unwrap(), "--seeds", "3"]).unwrap();
        let json = report.json();
        let number = |pointer: &str| json.pointer(pointer).and_then(Value::as_f64).unwrap();
        let spread = ["/distribution/total/p5", "/distribution/total/p50", "/distribution/total/p95"].map(number);
        assert!(spread.is_sorted() && spread[0] >= 192.37 && spread[2] <= 550.0, "{spread:?}");
        assert!(number("/distribution/byMeter/egress/p50") > 0.0);
        let stacks = ["base", "db", "deploy"].map(|stack| number(&format!("/distribution/byStack/{stack}/p50")));
        assert!((stacks.iter().sum::<f64>() - spread[1]).abs() < 1.0, "{stacks:?} {spread:?}");
        let text = text::render(&report);
        assert!(text.contains("traffic.csv") && text.contains("P95"), "{text}");
    }

    #[test]
    fn a_database_elsewhere_is_billed_there() {
        let here = of(&["--set", "db.location=westus2"]).unwrap().json();
        let storage = here["floor"]["byMeter"]["database-storage"].as_f64();
        assert_eq!(storage, Some(4.416), "32 GiB at westus2's 0.138");
        assert_eq!(here["floor"]["byMeter"]["vm"].as_f64(), Some(91.104));
    }
}
