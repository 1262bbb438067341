//! From where connections to pods are made.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::sandbox::Router;

#[derive(Clone, Debug)]
pub enum Dialer {
    /// Pods listen on addresses of this host.
    Host,
    /// From the sandbox's router, as `from` where the packet rules are to know it.
    Inside { router: Arc<Router>, from: Option<Ipv4Addr> },
}

impl Dialer {
    /// # Errors
    /// As [`TcpStream::connect`].
    pub async fn connect(&self, address: SocketAddrV4) -> io::Result<TcpStream> {
        match self {
            Dialer::Host => TcpStream::connect(address).await,
            Dialer::Inside { router, from } => router.connect(address, *from).await,
        }
    }

    /// The router, where there is one.
    pub fn router(&self) -> Option<&Arc<Router>> {
        match self {
            Dialer::Host => None,
            Dialer::Inside { router, .. } => Some(router),
        }
    }
}
