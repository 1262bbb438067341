//! Address ranges.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A range in canonical form: bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    base: u32,
    prefix: u8,
}

impl Cidr {
    pub const ALL: Cidr = Cidr { base: 0, prefix: 0 };

    /// # Panics
    /// When the prefix is longer than 32 bits.
    pub const fn new(address: Ipv4Addr, prefix: u8) -> Cidr {
        assert!(prefix <= 32, "an IPv4 prefix has at most 32 bits");
        let mask = if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) };
        Cidr { base: address.to_bits() & mask, prefix }
    }

    pub const fn host(address: Ipv4Addr) -> Cidr {
        Cidr::new(address, 32)
    }

    pub fn contains(self, other: Cidr) -> bool {
        self.prefix <= other.prefix && Cidr::new(Ipv4Addr::from_bits(other.base), self.prefix).base == self.base
    }

    pub fn overlaps(self, other: Cidr) -> bool {
        self.contains(other) || other.contains(self)
    }

    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base)
    }

    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The range without `hole`, as few ranges.
    pub fn without(self, hole: Cidr) -> Vec<Cidr> {
        if !self.overlaps(hole) {
            return vec![self];
        }
        if hole.contains(self) {
            return Vec::new();
        }
        let [low, high] = self.halves();
        [low.without(hole), high.without(hole)].concat()
    }

    fn halves(self) -> [Cidr; 2] {
        let prefix = self.prefix + 1;
        let high = self.base | (1 << (32 - u32::from(prefix)));
        [Cidr { base: self.base, prefix }, Cidr { base: high, prefix }]
    }
}

/// Sorted, and without ranges that lie in another: nftables refuses sets with overlaps.
pub(crate) fn merged(mut ranges: Vec<Cidr>) -> Vec<Cidr> {
    ranges.sort_unstable();
    let mut kept: Vec<Cidr> = Vec::new();
    for range in ranges {
        if !kept.last().is_some_and(|last| last.contains(range)) {
            kept.push(range);
        }
    }
    kept
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address(), self.prefix)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an IPv4 address range such as 10.0.0.0/16")]
pub struct NotACidr(String);

impl FromStr for Cidr {
    type Err = NotACidr;

    /// Also a plain address.
    fn from_str(text: &str) -> Result<Cidr, NotACidr> {
        let fail = || NotACidr(text.to_owned());
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32).ok_or_else(fail)?;
        Ok(Cidr::new(address.parse().map_err(|_| fail())?, prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn holes_leave_what_is_around_them() {
        let check = |range: &str, hole: &str, expected: &[&str]| {
            let found: Vec<String> = cidr(range).without(cidr(hole)).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{range} without {hole}");
        };
        check("10.0.0.0/30", "10.0.0.1", &["10.0.0.0/32", "10.0.0.2/31"]);
        check("10.0.0.0/30", "10.0.0.0/8", &[]);
        check("10.0.0.0/30", "10.1.0.0/16", &["10.0.0.0/30"]);
        check("0.0.0.0/0", "128.0.0.0/1", &["0.0.0.0/1"]);
        assert_eq!(
            merged(vec![cidr("10.1.0.0/16"), cidr("10.0.0.0/8"), cidr("9.0.0.1")]),
            [cidr("9.0.0.1"), cidr("10.0.0.0/8")]
        );
        assert!("10.0.0.0/33".parse::<Cidr>().is_err());
        assert!("Internet".parse::<Cidr>().is_err());
    }
}
