//! The tiers that managed disks are billed as.

/// A managed disk is billed as the smallest tier that holds it (Azure "Managed disks billing").
const PREMIUM_TIERS: [(u32, &str); 12] = [
    (4, "P1"),
    (8, "P2"),
    (16, "P3"),
    (32, "P4"),
    (64, "P6"),
    (128, "P10"),
    (256, "P15"),
    (512, "P20"),
    (1024, "P30"),
    (2048, "P40"),
    (4096, "P50"),
    (8192, "P60"),
];

pub(crate) fn premium_tier(gib: u32) -> Option<&'static str> {
    PREMIUM_TIERS.iter().find(|(size, _)| *size >= gib).map(|(_, tier)| *tier)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(gib: u32, expected: Option<&str>) {
        assert_eq!(premium_tier(gib), expected, "{gib}");
    }

    #[test]
    fn a_disk_is_billed_as_the_smallest_tier_that_holds_it() {
        check(30, Some("P4"));
        check(32, Some("P4"));
        check(33, Some("P6"));
        check(128, Some("P10"));
        check(9000, None);
    }
}
