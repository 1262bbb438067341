//! IPv4 ranges as Azure and Kubernetes write them.

use std::net::Ipv4Addr;

/// A CIDR block. Host bits are dropped, as Azure does not admit them and Kubernetes warns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    first: u32,
    prefix: u32,
}

impl Range {
    /// `None` for what is not `a.b.c.d/n`.
    pub(crate) fn parse(text: &str) -> Option<Range> {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u32 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
        Some(Range { first: address & Self::mask(prefix), prefix })
    }

    fn mask(prefix: u32) -> u32 {
        u32::MAX.checked_shl(32 - prefix).unwrap_or(0)
    }

    pub(crate) fn addresses(self) -> u64 {
        1 << (32 - self.prefix)
    }

    /// How many blocks of a longer prefix fit.
    pub(crate) fn blocks(self, prefix: u32) -> u64 {
        prefix.checked_sub(self.prefix).map_or(0, |bits| 1 << bits)
    }

    pub(crate) fn contains(self, other: Range) -> bool {
        other.prefix >= self.prefix && other.first & Self::mask(self.prefix) == self.first
    }

    pub(crate) fn overlaps(self, other: Range) -> bool {
        self.contains(other) || other.contains(self)
    }

    pub(crate) fn has(self, address: Ipv4Addr) -> bool {
        u32::from(address) & Self::mask(self.prefix) == self.first
    }

    pub(crate) fn first(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_and_overlap() {
        let range = |text| Range::parse(text).unwrap();
        assert!(range("10.0.0.0/8").contains(range("10.1.0.0/16")));
        assert!(range("10.1.0.0/16").overlaps(range("10.0.0.0/8")));
        assert!(!range("10.1.0.0/16").overlaps(range("10.2.0.0/16")));
        assert!(range("0.0.0.0/0").contains(range("255.255.255.255/32")));
        assert_eq!((range("10.0.0.0/16").blocks(24), range("10.0.0.0/28").addresses()), (256, 16));
        assert_eq!(range("0.0.0.0/0").addresses(), 1 << 32);
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "/8", "::/0"] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }
}
