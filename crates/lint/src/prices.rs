//! Prices of machines beside each other.

use platform::Size;
use price::{Meter, PriceSheet};

const HOURS_A_MONTH: u64 = 730;

/// Cents a month of one machine, pay as you go; `None` where the sheet has no price.
pub(crate) fn cents_a_month(size: &str, region: &str) -> Option<u64> {
    let price = PriceSheet::committed().ok()?.price(Meter::Vm, region, size).ok()?;
    Some(price.first_charge().nanos().saturating_mul(HOURS_A_MONTH).saturating_add(5_000_000) / 10_000_000)
}

pub(crate) fn dollars(cents: u64) -> String {
    format!("${}.{:02}", cents / 100, cents % 100)
}

/// `Standard_B2als_v2 costs $27.45 a month instead of $30.37`, for the cheapest size that `admits`.
pub(crate) fn alternative(current: &str, region: &str, admits: impl Fn(&Size) -> bool) -> Option<String> {
    let now = Size::find(current);
    let same_architecture = |size: &&Size| now.is_none_or(|now| now.architecture == size.architecture);
    let other = Size::all().iter().filter(|size| !size.name.eq_ignore_ascii_case(current));
    let candidates = other.filter(same_architecture).filter(|size| admits(size));
    let (cents, size) = candidates
        .filter_map(|size| Some((cents_a_month(size.name, region)?, size)))
        .min_by_key(|(cents, size)| (*cents, size.name))?;
    Some(match cents_a_month(current, region) {
        Some(current) => format!("{} costs {} a month instead of {}", size.name, dollars(cents), dollars(current)),
        None => format!("{} costs {} a month", size.name, dollars(cents)),
    })
}
