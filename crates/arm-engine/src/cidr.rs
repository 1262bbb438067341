//! IPv4 address blocks.

/// A CIDR block with its host bits cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    first: u32,
    prefix: u8,
}

impl Block {
    pub fn parse(text: &str) -> Option<Block> {
        let (address, prefix) = text.split_once('/')?;
        let address: std::net::Ipv4Addr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        let block = Block { first: 0, prefix };
        Some(Block { first: u32::from(address) & block.mask(), prefix })
    }

    pub fn prefix(self) -> u8 {
        self.prefix
    }

    pub fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    pub fn first(self) -> u32 {
        self.first
    }

    pub fn last(self) -> u32 {
        self.first | !self.mask()
    }

    pub fn overlaps(self, other: Block) -> bool {
        self.first <= other.last() && other.first <= self.last()
    }

    pub fn contains(self, other: Block) -> bool {
        self.first <= other.first && other.last() <= self.last()
    }
}
