//! A disk below redb that loses power, fills up and fails to sync.
//!
//! The crates that store include this file by its path in their tests: `testkit` itself depends on them, and one file needs
//! no crate.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a disk writes at once or not at all.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug)]
enum Operation {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Default)]
struct Medium {
    /// What a reader sees: everything that was written.
    seen: Vec<u8>,
    /// What a power failure leaves for certain.
    durable: Vec<u8>,
    /// What was written since the last sync.
    unsynced: Vec<Operation>,
    capacity_bytes: Option<usize>,
    failing_syncs: u32,
    /// Operations until the power is cut.
    remaining: Option<u64>,
}

/// Clones share the disk.
#[derive(Clone, Debug, Default)]
pub struct FaultyStorage(Arc<Mutex<Medium>>);

impl FaultyStorage {
    pub fn holding(bytes: Vec<u8>) -> FaultyStorage {
        FaultyStorage(Arc::new(Mutex::new(Medium { seen: bytes.clone(), durable: bytes, ..Medium::default() })))
    }

    fn medium(&self) -> MutexGuard<'_, Medium> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on no byte beyond this one can be written; `None` takes the limit away.
    pub fn limit(&self, bytes: Option<usize>) {
        self.medium().capacity_bytes = bytes;
    }

    /// As much as is written now, and not a byte more.
    pub fn fill(&self) {
        let mut medium = self.medium();
        medium.capacity_bytes = Some(medium.seen.len());
    }

    pub fn fail_syncs(&self, count: u32) {
        self.medium().failing_syncs = count;
    }

    /// Every operation after this many fails.
    pub fn cut_power_after(&self, operations: u64) {
        self.medium().remaining = Some(operations);
    }

    /// What is synced.
    pub fn durable(&self) -> Vec<u8> {
        self.medium().durable.clone()
    }

    /// The disk after the power came back: what was synced, and of the rest any part in any order, writes torn between
    /// sectors.
    pub fn after_power_loss(&self, random: &mut Random) -> FaultyStorage {
        let medium = self.medium();
        let mut bytes = medium.durable.clone();
        let (mut writes, mut lengths) = (Vec::new(), Vec::new());
        for operation in &medium.unsynced {
            match operation {
                Operation::Write { offset, bytes } => writes.push((*offset, bytes)),
                Operation::Length(length) => lengths.push(*length),
            }
        }
        // A file system keeps the order of lengths, and may forget the last ones.
        if let Some(length) = lengths.get(..random.below(lengths.len() + 1)).and_then(|kept| kept.last()) {
            bytes.resize(*length, 0);
        }
        for at in (1..writes.len()).rev() {
            writes.swap(at, random.below(at + 1));
        }
        for (offset, written) in writes {
            for (at, sector) in written.chunks(SECTOR_BYTES).enumerate() {
                let from = offset + at * SECTOR_BYTES;
                let kept = random.below(4) > 0;
                if let Some(place) = bytes.get_mut(from..from + sector.len()).filter(|_| kept) {
                    place.copy_from_slice(sector);
                }
            }
        }
        FaultyStorage::holding(bytes)
    }
}

impl Medium {
    fn operate(&mut self) -> Result<(), Error> {
        match &mut self.remaining {
            Some(0) => Err(Error::other("the power is cut")),
            Some(remaining) => {
                *remaining -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn room(&self, end: usize) -> Result<(), Error> {
        match self.capacity_bytes {
            Some(capacity) if end > capacity && end > self.seen.len() => Err(ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

fn place(offset: u64, length: usize) -> Result<std::ops::Range<usize>, Error> {
    let from = usize::try_from(offset).map_err(Error::other)?;
    Ok(from..from.checked_add(length).ok_or_else(|| Error::other("an offset beyond memory"))?)
}

fn apply(bytes: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Length(length) => bytes.resize(*length, 0),
        Operation::Write { offset, bytes: written } => {
            if bytes.len() < offset + written.len() {
                bytes.resize(offset + written.len(), 0);
            }
            bytes[*offset..offset + written.len()].copy_from_slice(written);
        }
    }
}

impl redb::StorageBackend for FaultyStorage {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.medium().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let medium = self.medium();
        let bytes = medium.seen.get(place(offset, out.len())?).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), Error> {
        let mut medium = self.medium();
        medium.operate()?;
        let length = place(length, 0)?.start;
        medium.room(length)?;
        let operation = Operation::Length(length);
        apply(&mut medium.seen, &operation);
        medium.unsynced.push(operation);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut medium = self.medium();
        medium.operate()?;
        if medium.failing_syncs > 0 {
            medium.failing_syncs -= 1;
            return Err(Error::other("the disk does not sync"));
        }
        for operation in std::mem::take(&mut medium.unsynced) {
            apply(&mut medium.durable, &operation);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut medium = self.medium();
        medium.operate()?;
        let place = place(offset, data.len())?;
        medium.room(place.end)?;
        let operation = Operation::Write { offset: place.start, bytes: data.to_vec() };
        apply(&mut medium.seen, &operation);
        medium.unsynced.push(operation);
        Ok(())
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `bound` − 1; 0 for no bound.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap_or_default()
    }
}
