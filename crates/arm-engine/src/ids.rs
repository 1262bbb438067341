//! Identifiers from a seed: the engine has no randomness of its own.

use serde::{Deserialize, Serialize};

/// A source of identifiers (SplitMix64). The shell seeds it from the operating system, tests from a constant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    state: u64,
}

impl Ids {
    pub fn new(seed: u64) -> Ids {
        Ids { state: seed }
    }

    pub fn next_number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A version 4 UUID in its usual form.
    pub fn guid(&mut self) -> String {
        let (high, low) = (self.next_number(), self.next_number());
        let bits =
            (u128::from(high) << 64 | u128::from(low)) & !(0xF000 << 64) & !(0xC << 60) | (0x4000 << 64) | (0x8 << 60);
        hyphenated(bits)
    }

    /// Makes what follows depend on another number as well.
    pub fn stir(&mut self, number: u64) {
        self.state ^= number.rotate_left(17);
        self.next_number();
    }
}

/// A guid that depends only on the text (FNV-1a over it, twice): for things that are the same whenever they are computed.
pub(crate) fn guid_of(text: &str) -> String {
    let hash =
        |seed: u64| text.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    Ids::new(hash(0xcbf2_9ce4_8422_2325) ^ hash(0x6c62_272e_07bb_0142).rotate_left(32)).guid()
}

pub(crate) fn hyphenated(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_have_their_version_and_differ() {
        let mut ids = Ids::new(7);
        let (one, two) = (ids.guid(), ids.guid());
        assert_ne!(one, two);
        assert_eq!(
            (one.len(), &one[14..15], &one[19..20]),
            (36, "4", if one[19..20].starts_with(['8', '9', 'a', 'b']) { &one[19..20] } else { "8" })
        );
        assert_eq!(Ids::new(7).guid(), one);
    }
}
