//! `marea cost` for people.

use std::fmt::Write;

use price::{Confidence, SeedTable, Span, Stack, Unit};
use units::Money;

use super::report::{Report, Row};
use crate::pricing::amount;

/// Of the first column.
const WIDE: usize = 57;

pub fn render(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "A month (730 hours) of `{}` in {}, {}. Prices: {}.",
        report.environment, report.region, report.currency, report.prices
    );
    table(&mut out, report);
    bounds(&mut out, report);
    notes(&mut out, report);
    alternatives(&mut out, report);
    distribution(&mut out, report);
    out
}

/// The specification's table in its own words, and the same assumptions at the sheet's prices.
fn table(out: &mut String, report: &Report) {
    let _ = writeln!(out, "\n{:<41} {:>11}  {:>19}", "THE SPECIFICATION'S TABLE", "IT SAYS", "AT THESE PRICES");
    let mut line = |what: &str, said: Span, priced: Option<Span>| {
        let priced = priced.map(|span| between(span, &report.currency)).unwrap_or_default();
        let _ = writeln!(out, "{}", format!("{what:<41} {:>11}  {priced:>19}", whole_dollars(said)).trim_end());
    };
    for row in &report.table.lines {
        line(row.what, row.said, Some(row.priced));
    }
    line("total it prints", SeedTable::SAID_TOTAL, None);
    line("its lines added", report.table.sum_said(), Some(report.table.sum_priced()));
    let (printed, added) = (SeedTable::SAID_TOTAL.0, report.table.sum_said().0);
    let _ = writeln!(
        out,
        "(arquitectura-aks.md, \"Costos Estimados\". Its least, {}, leaves {} out: one pool's node.)",
        whole(printed),
        whole(added - printed)
    );
}

/// What this platform costs, by stack and meter.
fn bounds(out: &mut String, report: &Report) {
    let line = |what: &str, (low, high): Span, rest: &str| {
        let (low, high) = (amount(low, &report.currency), amount(high, &report.currency));
        format!("{what:<57} {low:>12} {high:>10}{rest}").trim_end().to_owned() + "\n"
    };
    let _ =
        writeln!(out, "\n{:<57} {:>12} {:>10}   {:<9} PRICE", "THIS PLATFORM", "ALL AT MIN", "ALL AT MAX", "IN TABLE");
    let rows = report.bounds.rows();
    for stack in Stack::ALL {
        let of_stack: Vec<&Row> = rows.iter().filter(|row| row.stack == stack).collect();
        if of_stack.is_empty() {
            continue;
        }
        let sum = of_stack.iter().fold((Money::ZERO, Money::ZERO), |sum, row| (sum.0 + row.cost.0, sum.1 + row.cost.1));
        out.push_str(&line(stack.name(), sum, ""));
        for row in of_stack {
            let told = if SeedTable::METERS.contains(&row.meter) { "yes" } else { "no" };
            let what = format!("  {}: {}", row.meter.label(), counts(row));
            out.push_str(&line(&what, row.cost, &format!("   {told:<9} {}", row.confidence.name())));
        }
    }
    out.push_str(&line("total", report.bounds.total(), ""));
    out.push_str(&line("  of which the table leaves out", report.bounds.left_out(), ""));
}

fn notes(out: &mut String, report: &Report) {
    let (balancer, internet) = report.traffic;
    let _ = writeln!(
        out,
        "\nTraffic comes on top: each 100 GB costs {} through the load balancer, and {} to the internet beyond the\nmonth's first 100 GB.",
        amount(balancer, &report.currency),
        amount(internet, &report.currency)
    );
    let bill = &report.bounds.ceiling;
    let unsure: Money = bill
        .by_confidence()
        .into_iter()
        .filter(|(kind, _)| *kind <= Confidence::Unconfirmed)
        .map(|(_, cost)| cost)
        .sum();
    if unsure > Money::ZERO {
        let _ = writeln!(
            out,
            "Of the most, {} rests on prices marked `unconfirmed` (no source) or `assumed` (another region's);\n`marea price show` tells where each comes from.",
            amount(unsure, &report.currency)
        );
    }
}

fn alternatives(out: &mut String, report: &Report) {
    if report.alternatives.is_empty() {
        return;
    }
    let (floor, ceiling) = report.bounds.total();
    let _ = writeln!(out, "\n{:<57} {:>12} {:>10}   DIFFERENCE", "WITH", "ALL AT MIN", "ALL AT MAX");
    for other in &report.alternatives {
        let (low, high) = other.bounds.total();
        let (less, more) = (low - floor, high - ceiling);
        let difference = if less == more { format!("{less:+}") } else { format!("{less:+} to {more:+}") };
        // Several settings are longer than the column: then the figures have a line of their own.
        let what = if other.set.chars().count() > WIDE {
            format!("{}\n{:<WIDE$}", other.set, "")
        } else {
            format!("{:<WIDE$}", other.set)
        };
        let (low, high) = (amount(low, &report.currency), amount(high, &report.currency));
        let _ = writeln!(out, "{what} {low:>12} {high:>10}   {difference}");
    }
}

fn distribution(out: &mut String, report: &Report) {
    let Some(spread) = &report.distribution else { return };
    let title = format!("UNDER {}, {} SEEDS", spread.what, spread.seeds);
    let _ = writeln!(out, "\n{title:<57} {:>12} {:>10} {:>12}", "P5", "P50", "P95");
    let money = |dollars: f64| amount(Money::from_micros((dollars * 1e6).round() as i64), &report.currency);
    let mut line = |what: &str, of: &simulate::Spread| {
        let _ = writeln!(out, "{what:<57} {:>12} {:>10} {:>12}", money(of.p5), money(of.p50), money(of.p95));
    };
    for (stack, of) in &spread.by_stack {
        line(stack, of);
    }
    for (meter, of) in spread.by_meter.iter().filter(|(_, of)| of.p95 > 0.0) {
        line(&format!("  {meter}"), of);
    }
    line("total", &spread.total);
    for note in &spread.notes {
        let _ = writeln!(out, "({note})");
    }
}

/// `1-3 × Standard_B2s, 2 × Standard_B2als_v2`
fn counts(row: &Row) -> String {
    let counts = row.counts.iter().map(|(sku, (low, high))| {
        let count = if low == high { low.to_string() } else { format!("{low}-{high}") };
        if row.unit == Unit::GibMonth { format!("{count} GiB") } else { format!("{count} × {sku}") }
    });
    counts.collect::<Vec<_>>().join(", ")
}

fn between((low, high): Span, currency: &str) -> String {
    if low == high { amount(low, currency) } else { format!("{} - {}", amount(low, currency), amount(high, currency)) }
}

fn whole(money: Money) -> String {
    format!("${}", money.cents() / 100)
}

/// The table has dollars only, whatever currency the sheet is in.
fn whole_dollars((low, high): Span) -> String {
    if low == high { whole(low) } else { format!("{}-{}", whole(low), high.cents() / 100) }
}
