//! What a server is told when it starts, apart from its sockets and certificates.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::authn::tokens::Signer;

/// An IPv4 range from which service addresses are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceRange {
    pub base: Ipv4Addr,
    pub prefix: u8,
}

impl ServiceRange {
    /// `10.100.0.0/16`
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<ServiceRange, String> {
        let wrong = || format!("`{text}` is not an IPv4 range such as 10.100.0.0/16");
        let (base, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let base: Ipv4Addr = base.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().ok().filter(|p| (8..=28).contains(p)).ok_or_else(wrong)?;
        let mask = u32::MAX << (32 - prefix);
        Ok(ServiceRange { base: Ipv4Addr::from(u32::from(base) & mask), prefix })
    }

    /// Addresses in the range, the network's and broadcast ones included.
    pub fn size(self) -> u32 {
        1 << (32 - self.prefix)
    }

    pub fn address(self, index: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + index)
    }

    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address).wrapping_sub(u32::from(self.base)) < self.size()
    }
}

#[derive(Clone)]
pub struct Settings {
    /// `None` keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    pub service_range: ServiceRange,
    /// The `iss` of service account tokens, and the base of the OIDC discovery document.
    pub issuer: String,
    pub signer: Arc<Signer>,
    /// PEM, for the `kube-root-ca.crt` that pods mount.
    pub ca_pem: Arc<str>,
}
