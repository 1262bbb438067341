//! Where a Service's port listens on its cluster address when this user may not bind it.
//!
//! Without isolation cluster addresses are loopback addresses of the host, and there an ordinary user cannot bind ports
//! below 1024. Such a port is served so much higher on the same address, and pods are told the port that is served.

use std::net::Ipv4Addr;
use std::sync::OnceLock;

/// 80 is served at 20080: above what programs usually listen on, below Linux' ephemeral ports (32768 and up).
pub const SHIFT: u16 = 20_000;
/// Linux' default for `net.ipv4.ip_unprivileged_port_start`.
const UNPRIVILEGED_START: u16 = 1024;
/// `CAP_NET_BIND_SERVICE` in linux/capability.h.
const NET_BIND_SERVICE_BIT: u32 = 10;

/// The port that really listens on `cluster_ip` for a Service's `port`.
pub fn served(cluster_ip: Ipv4Addr, port: u16) -> u16 {
    if cluster_ip.is_loopback() { shifted(port, lowest_bindable()) } else { port }
}

fn shifted(port: u16, lowest: u16) -> u16 {
    if port < lowest { port.saturating_add(SHIFT) } else { port }
}

fn lowest_bindable() -> u16 {
    static LOWEST: OnceLock<u16> = OnceLock::new();
    *LOWEST.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        if may_bind_any(&status) {
            return 0;
        }
        let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        start.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(UNPRIVILEGED_START)
    })
}

/// Whether `/proc/self/status` grants `CAP_NET_BIND_SERVICE`.
fn may_bind_any(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << NET_BIND_SERVICE_BIT) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Differs (Isolation `none`): An ordinary user cannot bind Service ports below 1024: they are served 20000 higher.
    #[test]
    fn only_ports_that_cannot_be_bound_are_served_elsewhere() {
        let check = |port, lowest, expected| assert_eq!(shifted(port, lowest), expected, "{port} with {lowest}");
        check(80, 1024, 20080);
        check(1023, 1024, 21023);
        check(1024, 1024, 1024);
        check(80, 0, 80);
        check(80, 80, 80);
        assert_eq!(served(Ipv4Addr::new(10, 100, 0, 7), 80), 80);
    }

    #[test]
    fn the_capability_is_read_from_the_process() {
        assert!(may_bind_any("Name:\tmarea\nCapEff:\t000001ffffffffff\n"));
        assert!(may_bind_any("CapEff:\t0000000000000400\n"));
        assert!(!may_bind_any("CapEff:\t0000000000000000\n"));
        assert!(!may_bind_any("Name:\tmarea\n"));
    }
}
