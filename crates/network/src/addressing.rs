//! Which address a virtual address becomes on this host.

use std::net::Ipv4Addr;

use crate::listeners::Listeners;
use crate::plan;

/// The ranges of the platform; each has its own second octet when addresses are mapped to loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    Service = 0,
    Pod = 1,
    Node = 2,
    Database = 3,
    LoadBalancer = 4,
}

/// How the virtual addresses of the platform become addresses that programs bind and dial.
///
/// In the sandbox they are what they are. Without isolation every address is a loopback address of its own:
/// `127.(16·slot + range).b.c`, where `b.c` are the virtual address's last two octets. The slot keeps several clouds on one
/// host apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    Virtual,
    Loopback { slot: u8 },
}

impl Addressing {
    pub const SLOTS: std::ops::RangeInclusive<u8> = 1..=7;

    /// # Panics
    /// When the slot is outside [`Addressing::SLOTS`].
    pub fn loopback(slot: u8) -> Addressing {
        assert!(Self::SLOTS.contains(&slot), "slot {slot} is outside 1..=7");
        Addressing::Loopback { slot }
    }

    /// The address that programs bind and dial.
    pub fn host_address(self, range: Range, virtual_address: Ipv4Addr) -> Ipv4Addr {
        let [_, _, b, c] = virtual_address.octets();
        match self {
            Addressing::Virtual => virtual_address,
            Addressing::Loopback { slot } => Ipv4Addr::new(127, 16 * slot + range as u8, b, c),
        }
    }

    /// Whether programs of this host that are not the platform's can use its addresses too.
    pub fn is_shared(self) -> bool {
        matches!(self, Addressing::Loopback { .. })
    }

    /// Who listens where its addresses are, as far as others can be there at all.
    pub fn listeners(self) -> Listeners {
        if self.is_shared() { Listeners::read_or_none() } else { Listeners::default() }
    }

    /// Whether the address is one that this addressing may hand out.
    pub fn covers(self, address: Ipv4Addr) -> bool {
        match self {
            Addressing::Virtual => address.octets()[0] == 10,
            Addressing::Loopback { slot } => address.is_loopback() && address.octets()[1] / 16 == slot,
        }
    }

    /// The range of cluster addresses, for the API server.
    pub fn service_range(self) -> (Ipv4Addr, u8) {
        match self {
            Addressing::Virtual => plan::SERVICES,
            Addressing::Loopback { slot } => (Ipv4Addr::new(127, 16 * slot + Range::Service as u8, 0, 0), 16),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_and_slot_is_a_loopback_network_of_its_own() {
        let first = Addressing::loopback(1);
        let last = Addressing::loopback(7);
        let pod = Ipv4Addr::new(10, 244, 3, 17);
        assert_eq!(first.host_address(Range::Pod, pod), Ipv4Addr::new(127, 17, 3, 17));
        assert_eq!(last.host_address(Range::LoadBalancer, pod), Ipv4Addr::new(127, 116, 3, 17));
        assert_eq!(first.service_range(), (Ipv4Addr::new(127, 16, 0, 0), 16));
        assert_eq!(Addressing::Virtual.host_address(Range::Pod, pod), pod);
        for range in [Range::Service, Range::Pod, Range::Node, Range::Database, Range::LoadBalancer] {
            assert!(first.covers(first.host_address(range, pod)) && !first.covers(last.host_address(range, pod)));
        }
        assert!(!first.covers(Ipv4Addr::LOCALHOST));
    }
}
