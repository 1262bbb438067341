//! Slots: which loopback networks belong to which cloud of this host.
//!
//! A slot is a file that its cloud keeps locked. The kernel drops the lock with the process, however it ends; the file
//! then still names the cloud's data directory, because its pods go on using the addresses until it comes back.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::addressing::Addressing;
use crate::listeners::Listeners;

/// Shared by every user of the host, unlike `$XDG_RUNTIME_DIR`: loopback addresses are shared by them too.
const SHARED_DIRECTORY: &str = "/tmp/.marea-slots";

#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    #[error(
        "loopback slot {slot} belongs to this cloud but is in use by the cloud in `{owner}`; stop that one first (MAREA_DATA_DIR={owner} marea local stop)"
    )]
    Taken { slot: u8, owner: String },
    #[error(
        "all {count} loopback slots of this host are in use: {owners}; stop one of those clouds (`MAREA_DATA_DIR=… marea local stop`), or end the programs that listen there (`ss -ltnp` names them)"
    )]
    Exhausted { count: usize, owners: String },
    #[error("cannot use the slot directory {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// A slot held by this process; dropping it gives the lock back but keeps the claim of the data directory.
#[derive(Debug)]
pub struct SlotLease {
    slot: u8,
    file: File,
}

impl SlotLease {
    /// Leases `wanted`, which a cloud that ran before must get again since its objects carry the addresses; without one,
    /// a slot that no cloud claims, or else one whose cloud is not running. A slot in which something listens is nobody's to
    /// take: pods outlive a cloud that was killed, and even one whose data directory is gone.
    ///
    /// # Errors
    /// When the wanted slot is locked by another process, when every slot is, or when the directory cannot be used.
    pub fn acquire(data_dir: &Path, wanted: Option<u8>) -> Result<SlotLease, SlotError> {
        SlotLease::acquire_in(Path::new(SHARED_DIRECTORY), data_dir, wanted, &Listeners::read_or_none())
    }

    /// As [`SlotLease::acquire`], in a directory and among listeners of the caller's choice.
    ///
    /// # Errors
    /// As [`SlotLease::acquire`].
    pub fn acquire_in(
        directory: &Path,
        data_dir: &Path,
        wanted: Option<u8>,
        listeners: &Listeners,
    ) -> Result<SlotLease, SlotError> {
        prepare(directory)?;
        match wanted {
            Some(slot) => match lock(directory, slot)? {
                Ok(lease) => lease.claim(directory, data_dir),
                Err(owner) => Err(SlotError::Taken { slot, owner }),
            },
            None => acquire_any(directory, data_dir, listeners),
        }
    }

    pub fn slot(&self) -> u8 {
        self.slot
    }

    pub fn addressing(&self) -> Addressing {
        Addressing::loopback(self.slot)
    }

    /// Gives up the claim as well: nothing of this cloud uses the addresses any more.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn release(self) -> std::io::Result<()> {
        self.file.set_len(0)
    }

    fn owner(&self) -> String {
        let mut text = String::new();
        // An unreadable claim is no claim; the lock is what counts.
        let _ = (&self.file).read_to_string(&mut text);
        text.trim().to_owned()
    }

    fn claim(mut self, directory: &Path, data_dir: &Path) -> Result<SlotLease, SlotError> {
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", data_dir.display())
        };
        write(&mut self.file).map_err(|source| SlotError::Io { path: path_of(directory, self.slot), source })?;
        Ok(self)
    }
}

fn acquire_any(directory: &Path, data_dir: &Path, listeners: &Listeners) -> Result<SlotLease, SlotError> {
    let mut abandoned = None;
    let mut owners = Vec::new();
    for slot in Addressing::SLOTS {
        match lock(directory, slot)? {
            Err(owner) => owners.push(format!("slot {slot} by the cloud in {owner}")),
            Ok(lease) => {
                let addressing = lease.addressing();
                if let Some(address) = listeners.first(|address| addressing.covers(address)) {
                    owners.push(format!("slot {slot} by a program that listens on {address}"));
                    continue;
                }
                let owner = lease.owner();
                if owner.is_empty() || Path::new(&owner) == data_dir || !Path::new(&owner).exists() {
                    return lease.claim(directory, data_dir);
                }
                abandoned.get_or_insert(lease);
            }
        }
    }
    match abandoned {
        Some(lease) => lease.claim(directory, data_dir),
        None => Err(SlotError::Exhausted { count: owners.len(), owners: owners.join(", ") }),
    }
}

fn path_of(directory: &Path, slot: u8) -> PathBuf {
    directory.join(format!("slot-{slot}"))
}

fn prepare(directory: &Path) -> Result<(), SlotError> {
    match std::fs::DirBuilder::new().mode(0o1777).create(directory) {
        // The creation mode is reduced by the umask; other users must be able to lease slots too.
        Ok(()) => std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o1777)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .map_err(|source| SlotError::Io { path: directory.to_owned(), source })
}

/// The locked slot, or who holds it.
fn lock(directory: &Path, slot: u8) -> Result<Result<SlotLease, String>, SlotError> {
    let path = path_of(directory, slot);
    let file = open(&path).map_err(|source| SlotError::Io { path, source })?;
    let lease = SlotLease { slot, file };
    match flock(&lease.file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Ok(lease)),
        Err(_) => Ok(Err(lease.owner())),
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    // Without O_CREAT first: `fs.protected_regular` forbids it on another user's file in a sticky directory.
    match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o666).open(path)?;
            file.set_permissions(std::fs::Permissions::from_mode(0o666))?;
            Ok(file)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn acquire(slots: &Path, data_dir: &Path, wanted: Option<u8>) -> Result<SlotLease, SlotError> {
        SlotLease::acquire_in(slots, data_dir, wanted, &Listeners::default())
    }

    #[test]
    fn clouds_get_different_slots_and_each_gets_its_own_again() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        std::fs::create_dir_all(&one).unwrap();
        std::fs::create_dir_all(&two).unwrap();
        let slots = directory.path().join("slots");

        let first = acquire(&slots, &one, None).unwrap();
        let second = acquire(&slots, &two, None).unwrap();
        assert_eq!((first.slot(), second.slot()), (1, 2));
        let taken = acquire(&slots, &two, Some(1)).unwrap_err();
        assert!(taken.to_string().contains(&one.display().to_string()), "{taken}");

        // A cloud that is down keeps its claim for as long as there is a free slot.
        drop(first);
        let third = acquire(&slots, &directory.path().join("three"), None).unwrap();
        assert_eq!(third.slot(), 3);
        assert_eq!(acquire(&slots, &one, None).unwrap().slot(), 1);

        second.release().unwrap();
        assert_eq!(acquire(&slots, &directory.path().join("four"), None).unwrap().slot(), 2);
    }

    #[test]
    fn the_last_slot_taken_is_an_error_that_names_the_owners() {
        let directory = tempfile::tempdir().unwrap();
        let slots = directory.path().join("slots");
        let held: Vec<_> = Addressing::SLOTS.map(|_| acquire(&slots, directory.path(), None).unwrap()).collect();
        let error = acquire(&slots, directory.path(), None).unwrap_err();
        assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
        drop(held);
    }

    #[test]
    fn a_slot_in_which_something_is_left_over_is_passed_by() {
        let directory = tempfile::tempdir().unwrap();
        let slots = directory.path().join("slots");
        // A pod of a cloud whose data directory was removed: no lock and no valid claim, but its address is taken.
        let left: Listeners = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 17, 0, 2)].into_iter().collect();
        let own = directory.path().join("own");
        let new = SlotLease::acquire_in(&slots, &own, None, &left).unwrap();
        assert_eq!(new.slot(), 2);
        drop(new);
        // A cloud that was killed comes back to its own pods.
        let again: Listeners = [Ipv4Addr::new(127, 33, 0, 2)].into_iter().collect();
        assert_eq!(SlotLease::acquire_in(&slots, &own, Some(2), &again).unwrap().slot(), 2);
        // What listens in every slot leaves none, and is named.
        let everywhere: Listeners = Addressing::SLOTS.map(|slot| Ipv4Addr::new(127, 16 * slot + 3, 0, 4)).collect();
        let error = SlotLease::acquire_in(&slots, &own, None, &everywhere).unwrap_err().to_string();
        assert!(error.contains("slot 7 by a program that listens on 127.115.0.4"), "{error}");
    }
}
