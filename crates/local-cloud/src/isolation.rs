//! Which of the two ways in which pods and databases run: in the sandbox, or beside everything else on this host.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use kubelet::Cgroups;
use network::addressing::Addressing;
use network::dial::Dialer;
use network::dns::NameServer;
use network::names::Names;
use network::plan;
use network::sandbox::{self, Entered, Router, RouterError};
use network::slot::{SlotError, SlotLease};

use crate::folder::{Folder, FolderError, digits_of};
use crate::identity::Identity;

/// What a user may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// What the data directory's cloud has; for a new one as `Auto`.
    #[default]
    Kept,
    /// The sandbox where this machine allows it, and otherwise none, with the reason.
    Auto,
    Sandbox,
    None,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        match text {
            "auto" => Ok(Choice::Auto),
            "sandbox" => Ok(Choice::Sandbox),
            "none" => Ok(Choice::None),
            _ => Err(format!("`{text}` is not a kind of isolation: write sandbox, none or auto")),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Choice::Kept => "kept",
            Choice::Auto => "auto",
            Choice::Sandbox => SANDBOX,
            Choice::None => NONE,
        })
    }
}

pub const SANDBOX: &str = "sandbox";
pub const NONE: &str = "none";

#[derive(Debug, thiserror::Error)]
pub enum IsolationError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("this machine allows no sandbox: {0}; `--isolation none` runs the same platform without")]
    Forbidden(String),
    #[error(
        "the cloud in {folder} was made with `--isolation {made}` and its objects carry that mode's addresses; `marea local reset` deletes it, or name another MAREA_DATA_DIR"
    )]
    Made { folder: String, made: String },
}

/// How the cloud is isolated, decided before it has more than one thread.
#[derive(Debug)]
pub enum Isolation {
    Sandbox(Entered),
    /// With the reason, where the sandbox was looked for in vain.
    None(Option<String>),
}

/// Decides, and enters the sandbox. Must be called while the process has one thread.
///
/// # Errors
/// When the sandbox was asked for and this machine does not allow it, or the data directory belongs to the other mode.
pub fn prepare(folder: &Folder, choice: Choice, shim: &[OsString]) -> Result<Isolation, IsolationError> {
    let mut identity = Identity::open(folder)?;
    // A cloud from before there was a choice has a slot and nothing else.
    let made = identity.isolation.clone().or_else(|| identity.slot.map(|_| NONE.to_owned()));
    let wanted = wanted(choice, made.as_deref(), folder)?;
    let isolation = match wanted {
        Choice::None => Isolation::None(None),
        Choice::Sandbox => Isolation::Sandbox(enter(folder, shim).map_err(IsolationError::Forbidden)?),
        Choice::Auto | Choice::Kept => match enter(folder, shim) {
            Ok(entered) => Isolation::Sandbox(entered),
            Err(reason) => Isolation::None(Some(reason)),
        },
    };
    if made.is_none() {
        identity.isolation = Some(isolation.name().to_owned());
        identity.save(folder)?;
    }
    Ok(isolation)
}

/// What is to be tried: a data directory keeps the mode in which it was made.
fn wanted(choice: Choice, made: Option<&str>, folder: &Folder) -> Result<Choice, IsolationError> {
    match (choice, made) {
        (Choice::Kept | Choice::Auto | Choice::Sandbox, Some(SANDBOX)) => Ok(Choice::Sandbox),
        (Choice::Kept | Choice::Auto | Choice::None, Some(NONE)) => Ok(Choice::None),
        (Choice::Kept, None) => Ok(Choice::Auto),
        (choice, None) => Ok(choice),
        (_, Some(made)) => {
            Err(IsolationError::Made { folder: folder.root().display().to_string(), made: made.to_owned() })
        }
    }
}

fn enter(folder: &Folder, shim: &[OsString]) -> Result<Entered, String> {
    for (program, package) in [("crun", "crun"), ("nft", "nftables")] {
        let directories = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin", "/usr/local/sbin"];
        if !directories.iter().any(|directory| Path::new(directory).join(program).is_file()) {
            return Err(format!("{program} is not installed (apt-get install {package})"));
        }
    }
    let holder: Vec<OsString> = shim.iter().cloned().chain(["hold".into()]).collect();
    sandbox::enter(&folder.sandbox(), &holder).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        format!("{error}{cause}")
    })
}

impl Isolation {
    pub fn name(&self) -> &'static str {
        match self {
            Isolation::Sandbox(_) => SANDBOX,
            Isolation::None(_) => NONE,
        }
    }
}

/// What the parts of a running cloud need to know of its isolation; kept until it ends.
pub(crate) struct Ground {
    pub addressing: Addressing,
    pub dialer: Dialer,
    /// Why there is no sandbox although it was looked for.
    pub reason: Option<String>,
    /// How limits are enforced, or why they are not.
    pub limits: Result<Cgroups, String>,
    _slot: Option<SlotLease>,
    _names: Option<NameServer>,
}

#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Slot(#[from] SlotError),
    #[error(transparent)]
    Router(#[from] RouterError),
    #[error("the sandbox's name server does not start")]
    Names(#[source] std::io::Error),
}

impl Ground {
    /// `cpu_scale`: virtual vCPUs of a core, where CPU limits are to be enforced.
    pub(crate) async fn prepare(
        isolation: Isolation,
        folder: &Folder,
        identity: &mut Identity,
        names: &Names,
        cpu_scale: Option<f64>,
    ) -> Result<Ground, GroundError> {
        let cgroups = |mount: &Path| {
            let found = Cgroups::find(mount, &format!("marea-{}", digits_of(folder.root())))?;
            Ok(match cpu_scale {
                Some(scale) => found.with_cpu(scale),
                None => found,
            })
        };
        match isolation {
            Isolation::None(reason) => {
                let slot = SlotLease::acquire(folder.root(), identity.slot)?;
                identity.slot = Some(slot.slot());
                identity.save(folder)?;
                let addressing = slot.addressing();
                let limits = cgroups(Path::new("/sys/fs/cgroup"));
                Ok(Ground { addressing, dialer: Dialer::Host, reason, limits, _slot: Some(slot), _names: None })
            }
            Isolation::Sandbox(entered) => {
                let router = Router::open(entered).await?;
                let server = NameServer::start(&router, names.clone()).map_err(GroundError::Names)?;
                let limits = cgroups(&router.cgroups());
                Ok(Ground {
                    addressing: Addressing::Virtual,
                    limits,
                    dialer: Dialer::Inside { router, from: None },
                    reason: None,
                    _slot: None,
                    _names: Some(server),
                })
            }
        }
    }

    pub(crate) fn router(&self) -> Option<&Arc<Router>> {
        self.dialer.router()
    }

    /// From where the clients of load balancers come.
    pub(crate) fn public(&self) -> Dialer {
        match &self.dialer {
            Dialer::Host => Dialer::Host,
            Dialer::Inside { router, .. } => Dialer::Inside { router: Arc::clone(router), from: Some(plan::INTERNET) },
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.router().is_some() { SANDBOX } else { NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(choice: Choice, made: Option<&str>, expected: Result<Choice, &str>) {
        let folder = Folder::new("/data");
        match (wanted(choice, made, &folder), expected) {
            (Ok(found), expected) => assert_eq!(Ok(found), expected, "{choice} of {made:?}"),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (Err(error), Ok(_)) => panic!("{choice} of {made:?}: {error}"),
        }
    }

    #[test]
    fn a_new_cloud_gets_a_sandbox_where_there_can_be_one_and_an_old_one_keeps_what_it_has() {
        check(Choice::Kept, None, Ok(Choice::Auto));
        check(Choice::None, None, Ok(Choice::None));
        check(Choice::Sandbox, None, Ok(Choice::Sandbox));
        for (mode, kept, other) in [(SANDBOX, Choice::Sandbox, Choice::None), (NONE, Choice::None, Choice::Sandbox)] {
            check(Choice::Kept, Some(mode), Ok(kept));
            check(Choice::Auto, Some(mode), Ok(kept));
            check(kept, Some(mode), Ok(kept));
            check(other, Some(mode), Err("marea local reset"));
        }
    }
}
