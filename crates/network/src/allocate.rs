//! Which addresses of a network are in use.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::listeners::Listeners;

/// The host part of a /24: pods of one node, machines of one subnet. Addresses are handed out in rising order and reused
/// only after the whole range went round, so that a late packet for a dead pod does not reach a new one.
#[derive(Clone, Debug)]
pub struct Subnet24 {
    network: [u8; 3],
    first_host: u8,
    next_host: u8,
    used: BTreeSet<u8>,
}

impl Subnet24 {
    /// `first_host` leaves room for what the network's owner reserves: Azure keeps the first four addresses of a subnet.
    pub fn new(network: Ipv4Addr, first_host: u8) -> Subnet24 {
        let [a, b, c, _] = network.octets();
        Subnet24 { network: [a, b, c], first_host, next_host: first_host, used: BTreeSet::new() }
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.octets()[..3] == self.network
    }

    /// Marks an address as used, e.g. of a pod that outlived a restart. False when it is outside the network or taken.
    pub fn occupy(&mut self, address: Ipv4Addr) -> bool {
        self.contains(address) && self.used.insert(address.octets()[3])
    }

    /// The next free address, or none when all are used or held by a program that is not ours. The last address is the
    /// broadcast address and stays unused.
    pub fn allocate(&mut self, listeners: &Listeners) -> Option<Ipv4Addr> {
        let [a, b, c] = self.network;
        let address = |host| Ipv4Addr::new(a, b, c, host);
        let is_free = |host: &u8| !self.used.contains(host) && !listeners.holds(address(*host));
        let host = (self.next_host..255).chain(self.first_host..self.next_host).find(is_free)?;
        self.used.insert(host);
        self.next_host = if host == 254 { self.first_host } else { host + 1 };
        Some(address(host))
    }

    pub fn release(&mut self, address: Ipv4Addr) {
        if self.contains(address) {
            self.used.remove(&address.octets()[3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_rise_and_are_reused_last() {
        let nobody = Listeners::default();
        let mut subnet = Subnet24::new(Ipv4Addr::new(127, 17, 2, 0), 252);
        assert!(subnet.occupy(Ipv4Addr::new(127, 17, 2, 253)));
        assert!(!subnet.occupy(Ipv4Addr::new(127, 17, 3, 253)));
        assert_eq!(subnet.allocate(&nobody), Some(Ipv4Addr::new(127, 17, 2, 252)));
        subnet.release(Ipv4Addr::new(127, 17, 2, 252));
        assert_eq!(subnet.allocate(&nobody), Some(Ipv4Addr::new(127, 17, 2, 254)));
        assert_eq!(subnet.allocate(&nobody), Some(Ipv4Addr::new(127, 17, 2, 252)));
        assert_eq!(subnet.allocate(&nobody), None);
    }

    #[test]
    fn an_address_that_somebody_else_listens_on_is_left_out_while_he_does() {
        let mut subnet = Subnet24::new(Ipv4Addr::new(127, 17, 2, 0), 253);
        let held: Listeners = [Ipv4Addr::new(127, 17, 2, 253)].into_iter().collect();
        assert_eq!(subnet.allocate(&held), Some(Ipv4Addr::new(127, 17, 2, 254)));
        assert_eq!(subnet.allocate(&held), None);
        assert_eq!(subnet.allocate(&Listeners::default()), Some(Ipv4Addr::new(127, 17, 2, 253)));
    }
}
