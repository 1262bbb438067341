//! The network inside: a router that is the virtual network and all nodes, and one veth pair to each pod and database.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use parking_lot::Mutex;
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::{Error as NetlinkError, Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use super::thread::{Resident, inside};
use super::{Entered, Places};
use crate::plan;

/// Every pod's gateway, as Azure's and others' routed plugins have it: one address that no pod can be confused with.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// Of the file system that namespaces live in (include/uapi/linux/magic.h).
const NSFS_MAGIC: i64 = 0x6e73_6673;
/// How often the holder is looked at; it only matters when the daemon is killed as well.
const HOLDER_CHECK: Duration = Duration::from_secs(5);
/// What somebody else's rules may take to be there; whoever waits goes on then, refused or not.
const RULES_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    #[error("cannot {action}")]
    Kernel {
        action: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot {action}")]
    Netlink {
        action: String,
        #[source]
        source: NetlinkError,
    },
    #[error("nft refuses the rules: {0}")]
    Rules(String),
}

impl RouterError {
    fn kernel(action: impl Into<String>) -> impl FnOnce(io::Error) -> RouterError {
        let action = action.into();
        move |source| RouterError::Kernel { action, source }
    }

    fn netlink(action: impl Into<String>) -> impl FnOnce(NetlinkError) -> RouterError {
        let action = action.into();
        move |source| RouterError::Netlink { action, source }
    }
}

/// Access to the network inside. One for a process.
#[derive(Debug)]
pub struct Router {
    places: Places,
    namespace: File,
    resident: Resident,
    handle: Handle,
    entered: Mutex<Entered>,
    /// The pods that the rules in force know; none before somebody keeps rules.
    known: watch::Sender<Option<BTreeSet<Ipv4Addr>>>,
}

impl Router {
    /// Prepares the router's own addresses and routes; those of an earlier daemon stay.
    ///
    /// # Errors
    /// When the kernel refuses something; the message says what.
    pub async fn open(entered: Entered) -> Result<Arc<Router>, RouterError> {
        let places = entered.places.clone();
        let namespace = File::open(places.router()).map_err(RouterError::kernel("open the router's namespace"))?;
        let resident = Resident::start(&namespace).map_err(RouterError::kernel("enter the router's namespace"))?;
        let handle = connect(&namespace).map_err(RouterError::kernel("speak netlink to the router"))?;
        let settings = || {
            sysctl("net/ipv4/ip_forward", "1")?;
            // Replies to a Service's address take the same way back, so nothing needs the reverse path filter.
            sysctl("net/ipv4/conf/all/rp_filter", "0")?;
            sysctl("net/ipv4/conf/default/rp_filter", "0")?;
            sysctl("net/ipv4/ip_unprivileged_port_start", "0")
        };
        resident.run(settings).map_err(RouterError::kernel("set the router's parameters"))?;
        let known = watch::Sender::new(None);
        let router = Router { places, namespace, resident, handle, entered: Mutex::new(entered), known };
        let loopback = router.loopback_up(&router.handle).await?;
        for address in [GATEWAY, plan::INTERNET, plan::CONTROL_PLANE] {
            router.assign(loopback, address).await?;
        }
        let (services, prefix) = plan::SERVICES;
        let local = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(services, prefix)
            .output_interface(loopback)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            // RT_TABLE_LOCAL: whatever no rule sends on is this machine's own, where nothing listens and so refuses.
            .table_id(255)
            .build();
        let added = router.handle.route().add(local).replace().execute().await;
        added.map_err(RouterError::netlink("route the services' range"))?;
        let router = Arc::new(router);
        tokio::spawn(Arc::clone(&router).keep_held());
        Ok(router)
    }

    /// An address of a node, or of anything else that this router is.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub async fn add_address(&self, address: Ipv4Addr) -> Result<(), RouterError> {
        let loopback = index_of(&self.handle, "lo").await?;
        self.assign(loopback.unwrap_or(1), address).await
    }

    /// Connects a namespace of its own to the router and returns when its address can be reached. What `id` names stays
    /// over a restart of the daemon. The router speaks to it as `from`.
    ///
    /// # Errors
    /// When the kernel refuses a step.
    pub async fn attach(&self, id: &str, address: Ipv4Addr, from: Option<Ipv4Addr>) -> Result<PathBuf, RouterError> {
        let path = self.namespace_path(id);
        let name = link_name(id);
        if is_namespace(&path) && index_of(&self.handle, &name).await?.is_some() {
            return Ok(path);
        }
        self.detach(id).await;
        make_namespace(&path).map_err(RouterError::kernel(format!("make a network namespace for {id}")))?;
        let namespace = File::open(&path).map_err(RouterError::kernel(format!("open the namespace of {id}")))?;
        let peer = LinkUnspec::new_with_name("eth0").setns_by_fd(namespace.as_raw_fd()).build();
        let pair = LinkMessageBuilder::<LinkVeth>::new(&name, "eth0")
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .up()
            .build();
        let added = self.handle.link().add(pair).execute().await;
        added.map_err(RouterError::netlink(format!("connect {id}")))?;
        self.configure_inside(id, &namespace, address).await?;
        let index = index_of(&self.handle, &name).await?.ok_or_else(|| {
            RouterError::kernel(format!("find the link of {id}"))(io::Error::from(io::ErrorKind::NotFound))
        })?;
        let mut route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, 32)
            .output_interface(index)
            .scope(RouteScope::Link);
        if let Some(from) = from {
            route = route.pref_source(from);
        }
        let added = self.handle.route().add(route.build()).replace().execute().await;
        added.map_err(RouterError::netlink(format!("route {address} to {id}")))?;
        Ok(path)
    }

    async fn configure_inside(&self, id: &str, namespace: &File, address: Ipv4Addr) -> Result<(), RouterError> {
        let handle = connect(namespace).map_err(RouterError::kernel(format!("speak netlink to {id}")))?;
        self.loopback_up(&handle).await?;
        let failed = |action: &str| RouterError::netlink(format!("{action} of {id}"));
        let missing =
            || RouterError::kernel(format!("find the interface of {id}"))(io::Error::from(io::ErrorKind::NotFound));
        let index = index_of(&handle, "eth0").await?.ok_or_else(missing)?;
        let added = handle.address().add(index, address.into(), 32).execute().await;
        added.map_err(failed("set the address"))?;
        let up = LinkUnspec::new_with_index(index).up().build();
        handle.link().set(up).execute().await.map_err(failed("start the interface"))?;
        let gateway = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(GATEWAY, 32)
            .output_interface(index)
            .scope(RouteScope::Link);
        handle.route().add(gateway.build()).execute().await.map_err(failed("set the gateway"))?;
        let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(GATEWAY).output_interface(index);
        handle.route().add(default.build()).execute().await.map_err(failed("set the default route"))
    }

    /// Takes away what [`Router::attach`] made; what is not there is no error.
    pub async fn detach(&self, id: &str) {
        if let Ok(Some(index)) = index_of(&self.handle, &link_name(id)).await {
            // It goes with its namespace at the latest.
            let _ = self.handle.link().del(index).execute().await;
        }
        let path = self.namespace_path(id);
        if path.exists() {
            let _ = umount2(&path, MntFlags::MNT_DETACH);
            let _ = fs::remove_file(&path);
        }
    }

    /// The ids of everything attached, sorted.
    pub fn attached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.places.namespaces()).into_iter().flatten().flatten();
        let mut ids: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort_unstable();
        ids
    }

    /// Where the namespace of `id` can be opened by processes of this mount namespace.
    pub fn namespace_path(&self, id: &str) -> PathBuf {
        self.places.namespaces().join(id)
    }

    /// Where the host's cgroups are seen by processes of this mount namespace; empty where the host has none.
    pub fn cgroups(&self) -> PathBuf {
        self.places.cgroups()
    }

    /// Connects from the router, i.e. from the node of whatever listens there.
    ///
    /// # Errors
    /// As [`TcpStream::connect`].
    pub async fn connect(&self, to: SocketAddrV4, from: Option<Ipv4Addr>) -> io::Result<TcpStream> {
        let socket = self.resident.run(move || {
            let socket = TcpSocket::new_v4()?;
            if let Some(from) = from {
                socket.bind(SocketAddr::from((from, 0)))?;
            }
            Ok(socket)
        })?;
        socket.connect(to.into()).await
    }

    /// Connects from within the namespace of `id`.
    ///
    /// # Errors
    /// When there is no such namespace, and as [`TcpStream::connect`].
    pub async fn connect_inside(&self, id: &str, to: SocketAddrV4) -> io::Result<TcpStream> {
        let namespace = File::open(self.namespace_path(id))?;
        inside(&namespace, TcpSocket::new_v4)?.connect(to.into()).await
    }

    /// # Errors
    /// As [`std::net::TcpListener::bind`].
    pub fn listen(&self, address: SocketAddrV4) -> io::Result<tokio::net::TcpListener> {
        let listener = self.resident.run(move || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })?;
        tokio::net::TcpListener::from_std(listener)
    }

    /// # Errors
    /// As [`std::net::UdpSocket::bind`].
    pub fn bind_udp(&self, address: SocketAddrV4) -> io::Result<tokio::net::UdpSocket> {
        let socket = self.resident.run(move || {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })?;
        tokio::net::UdpSocket::from_std(socket)
    }

    /// Starts a program inside the namespace of `id`.
    ///
    /// # Errors
    /// When there is no such namespace or the program does not start.
    pub fn spawn_inside(&self, id: &str, command: &mut Command) -> io::Result<std::process::Child> {
        let namespace = File::open(self.namespace_path(id))?;
        inside(&namespace, || command.spawn())
    }

    /// Replaces all rules at once: `ruleset` is a document of nftables' JSON interface. Blocks for some milliseconds.
    ///
    /// # Errors
    /// When nft is missing or refuses the document; the rules stay as they were.
    pub fn apply_rules(&self, ruleset: &str) -> Result<(), RouterError> {
        let run = || -> io::Result<std::process::Output> {
            let mut command = Command::new(NFT);
            command.args(["--json", "--file", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = inside(&self.namespace, || command.spawn())?;
            if let Some(mut input) = child.stdin.take() {
                io::Write::write_all(&mut input, ruleset.as_bytes())?;
            }
            child.wait_with_output()
        };
        let output = run().map_err(RouterError::kernel(format!("run {NFT}")))?;
        if output.status.success() {
            return Ok(());
        }
        Err(RouterError::Rules(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    /// Says which pods the rules in force know.
    pub(crate) fn rules_know(&self, pods: BTreeSet<Ipv4Addr>) {
        self.known.send_replace(Some(pods));
    }

    /// Returns when the rules know the pod, so that its first connections are not refused as a stranger's; at once where
    /// nobody keeps rules, and after five seconds in any case.
    pub async fn rules_for(&self, pod: Ipv4Addr) {
        let mut known = self.known.subscribe();
        let waiting = known.wait_for(|known| known.as_ref().is_none_or(|known| known.contains(&pod)));
        if tokio::time::timeout(RULES_PATIENCE, waiting).await.is_err() {
            tracing::warn!(%pod, "the network's rules do not know a pod that starts");
        }
    }

    /// Ends the namespaces with the last process inside.
    pub fn dismiss(&self) {
        super::dismiss(self.entered.lock().directory());
    }

    pub fn holder_pid(&self) -> i32 {
        self.entered.lock().holder_pid
    }

    /// Starts another holder when the one that there was has ended.
    async fn keep_held(self: Arc<Router>) {
        let weak = Arc::downgrade(&self);
        drop(self);
        loop {
            tokio::time::sleep(HOLDER_CHECK).await;
            let Some(router) = weak.upgrade() else { return };
            let mut entered = router.entered.lock();
            // A child is gone once it was waited for; an adopted holder is looked up by its number.
            let ended = match &mut entered.child {
                Some(child) => child.try_wait().is_ok_and(|status| status.is_some()),
                None => !PathBuf::from(format!("/proc/{}/ns/net", entered.holder_pid)).exists(),
            };
            if ended && let Err(error) = entered.hold_again() {
                tracing::error!(%error, "nothing holds the network if this process is killed");
            }
        }
    }

    async fn loopback_up(&self, handle: &Handle) -> Result<u32, RouterError> {
        let index = index_of(handle, "lo").await?.unwrap_or(1);
        let up = LinkUnspec::new_with_index(index).up().build();
        handle.link().set(up).execute().await.map_err(RouterError::netlink("start the loopback interface"))?;
        Ok(index)
    }

    async fn assign(&self, link: u32, address: Ipv4Addr) -> Result<(), RouterError> {
        let added = self.handle.address().add(link, address.into(), 32).replace().execute().await;
        added.map_err(RouterError::netlink(format!("assign {address}")))
    }
}

/// Debian keeps it where an ordinary user's PATH does not look.
pub(crate) const NFT: &str = "/usr/sbin/nft";

fn sysctl(name: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/{name}"), value)
}

/// A netlink connection belongs to the namespace in which its socket was made.
fn connect(namespace: &File) -> io::Result<Handle> {
    let runtime = tokio::runtime::Handle::current();
    let (connection, handle, _) = inside(namespace, || {
        let _context = runtime.enter();
        rtnetlink::new_connection()
    })?;
    tokio::spawn(connection);
    Ok(handle)
}

async fn index_of(handle: &Handle, name: &str) -> Result<Option<u32>, RouterError> {
    let found = handle.link().get().match_name(name.to_owned()).execute().try_next().await;
    match found {
        Ok(link) => Ok(link.map(|link| link.header.index)),
        Err(NetlinkError::NetlinkError(message)) if message.raw_code() == -libc_enodev() => Ok(None),
        Err(error) => Err(RouterError::netlink(format!("look for the link {name}"))(error)),
    }
}

fn libc_enodev() -> i32 {
    rustix::io::Errno::NODEV.raw_os_error()
}

/// A new network namespace, kept by a mount of its file.
fn make_namespace(path: &PathBuf) -> io::Result<()> {
    File::create(path)?;
    let make = || -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        // As every container runtime has it: a program without privileges may listen on port 80 of its own pod.
        sysctl("net/ipv4/ip_unprivileged_port_start", "0")?;
        let none: Option<&str> = None;
        Ok(mount(Some("/proc/thread-self/ns/net"), path, none, MsFlags::MS_BIND, none)?)
    };
    std::thread::scope(|scope| {
        let worker = scope.spawn(make);
        worker.join().unwrap_or_else(|_| Err(io::Error::other("the thread has ended badly")))
    })
}

fn is_namespace(path: &PathBuf) -> bool {
    rustix::fs::statfs(path).is_ok_and(|status| status.f_type == NSFS_MAGIC)
}

/// Interface names have at most fifteen bytes, ids are longer: a hash (FNV-1a, 64 bit) stands for them.
fn link_name(id: &str) -> String {
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("v{:014x}", hash >> 8)
}
