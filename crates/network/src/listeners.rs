//! Where something of this host listens already.
//!
//! Without isolation every pod has a loopback address of its own, and nothing stops another program from using it: a pod of
//! a cloud whose data directory was removed under it, or a test that was killed. Whoever hands out an address looks here.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;

/// `TCP_LISTEN` in the kernel's include/net/tcp_states.h.
const LISTEN: &str = "0A";
/// An IPv4 address as an IPv6 socket holds it, as proc(5) prints the three words before it on a little-endian host and on
/// a big-endian one.
const MAPPED: [&str; 2] = ["0000000000000000FFFF0000", "00000000000000000000FFFF"];

/// IPv4 addresses with a listening TCP socket at the moment of the look. Wildcard sockets are not among them: they belong to
/// no address.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    addresses: BTreeSet<Ipv4Addr>,
}

impl Listeners {
    /// Asks the kernel about this process' network namespace.
    ///
    /// # Errors
    /// When `/proc` is not there or hides its network tables.
    pub fn read() -> io::Result<Listeners> {
        let mut found = Listeners::parse(&std::fs::read_to_string("/proc/net/tcp")?);
        // Missing on a host without IPv6.
        let sixth = std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
        found.addresses.extend(Listeners::parse(&sixth).addresses);
        Ok(found)
    }

    /// As [`Listeners::read`]; where the kernel does not tell, nothing is known to listen.
    pub fn read_or_none() -> Listeners {
        Listeners::read().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot see which addresses of this host are in use");
            Listeners::default()
        })
    }

    fn parse(table: &str) -> Listeners {
        let address = |line: &str| -> Option<Ipv4Addr> {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let local = fields.next()?;
            if fields.nth(1)? != LISTEN {
                return None;
            }
            let (address, _port) = local.split_once(':')?;
            let word = match address.len() {
                8 => address,
                32 => MAPPED.iter().find_map(|prefix| address.strip_prefix(prefix))?,
                _ => return None,
            };
            // The kernel prints the bytes in network order as a number of this host.
            let octets = u32::from_str_radix(word, 16).ok()?.to_ne_bytes();
            Some(Ipv4Addr::from(octets)).filter(|address| !address.is_unspecified())
        };
        Listeners { addresses: table.lines().skip(1).filter_map(address).collect() }
    }

    pub fn holds(&self, address: Ipv4Addr) -> bool {
        self.addresses.contains(&address)
    }

    /// The lowest address with a listener for which the condition holds.
    pub fn first(&self, condition: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        self.addresses.iter().copied().find(|address| condition(*address))
    }
}

impl FromIterator<Ipv4Addr> for Listeners {
    fn from_iter<I: IntoIterator<Item = Ipv4Addr>>(addresses: I) -> Listeners {
        Listeners { addresses: addresses.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    #[cfg(target_endian = "little")]
    #[test]
    fn only_sockets_that_listen_on_an_address_count() {
        let check = |rows: &str, expected: &[Ipv4Addr]| {
            let found = Listeners::parse(&format!("{HEAD}{rows}"));
            assert_eq!(found.addresses.into_iter().collect::<Vec<_>>(), expected, "{rows}");
        };
        let pod = Ipv4Addr::new(127, 17, 3, 4);
        check("   0: 0403117F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n", &[pod]);
        // Connected, ended, everywhere, and not a row at all.
        check("   1: 0403117F:1F90 0100007F:A1B2 01 00000000:00000000 00:00000000 00000000 0 0 1\n", &[]);
        check("   2: 0403117F:1F90 0100007F:A1B2 06 00000000:00000000 00:00000000 00000000 0 0 1\n", &[]);
        check("   3: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n", &[]);
        check("cut off\n", &[]);
        // An IPv6 socket with a mapped address takes the IPv4 address as well; one of IPv6 does not.
        let far = "00000000000000000000000000000000:0000";
        check(&format!("   4: 0000000000000000FFFF00000403117F:1F90 {far} 0A 0 0 0 0 0 0 1\n"), &[pod]);
        check(&format!("   5: 00000000000000000000000001000000:1F90 {far} 0A 0 0 0 0 0 0 1\n"), &[]);
    }

    #[test]
    fn a_socket_of_this_process_is_seen_for_as_long_as_it_listens() {
        let own = Ipv4Addr::new(127, 201, 3, 4);
        let socket = std::net::TcpListener::bind((own, 0)).unwrap();
        assert!(Listeners::read().unwrap().holds(own));
        drop(socket);
        assert!(!Listeners::read().unwrap().holds(own));
    }
}
