//! `guid`, `uniqueString`, `newGuid`.
//!
//! Both hashes are stable and have Azure's form. `guid` is a version 5 UUID. `uniqueString` is 13 characters of base 32 over a
//! 64-bit murmur hash; that its values equal Azure's has not been verified against Azure.

use serde_json::Value;

use super::Call;
use crate::expression::Evaluated;
use crate::expression::evaluate::text_of;
use crate::ids::{Ids, hyphenated};

/// The namespace of ARM's `guid` function.
const NAMESPACE: u128 = 0x11fb_06fb_712d_4ddd_98c7_e71b_bd58_8830;

pub(super) fn call(name: &str, call: &Call<'_>) -> Option<Evaluated> {
    let joined = || call.values.iter().map(text_of).collect::<Vec<_>>().join("-");
    Some(match name {
        "guid" => call.value(0).map(|_| Value::String(guid(&joined()))),
        "uniquestring" => call.value(0).map(|_| Value::String(unique_string(&joined()))),
        "newguid" => match call.context.now {
            Some(now) => Ok(Ids::new(now.0 as u64).guid().into()),
            None => call.fail("is only allowed in the default value of a parameter"),
        },
        _ => return None,
    })
}

pub(crate) fn guid(name: &str) -> String {
    let mut message = NAMESPACE.to_be_bytes().to_vec();
    message.extend_from_slice(name.as_bytes());
    let digest = sha1(&message);
    let mut bits = [0u8; 16];
    bits.copy_from_slice(&digest[..16]);
    let bits = u128::from_be_bytes(bits) & !(0xF000 << 64) & !(0xC << 60) | (0x5000 << 64) | (0x8 << 60);
    hyphenated(bits)
}

/// FIPS 180-1, needed only because version 5 UUIDs are defined by it; not used for security.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        sha1_block(&mut state, block);
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn sha1_block(state: &mut [u32; 5], block: &[u8]) {
    let mut words = [0u32; 80];
    for (word, bytes) in words.iter_mut().zip(block.chunks(4)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    for at in 16..80 {
        words[at] = (words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for (round, word) in words.iter().enumerate() {
        let (mixed, constant) = match round / 20 {
            0 => (b & c | !b & d, 0x5A82_7999),
            1 => (b ^ c ^ d, 0x6ED9_EBA1),
            2 => (b & c | b & d | c & d, 0x8F1B_BCDC),
            _ => (b ^ c ^ d, 0xCA62_C1D6u32),
        };
        let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
    }
    for (total, part) in state.iter_mut().zip([a, b, c, d, e]) {
        *total = total.wrapping_add(part);
    }
}

pub(crate) fn unique_string(text: &str) -> String {
    let mut hash = murmur64(text.as_bytes());
    (0..13)
        .map(|_| {
            let digit = b"abcdefghijklmnopqrstuvwxyz234567"[(hash >> 59) as usize];
            hash <<= 5;
            char::from(digit)
        })
        .collect()
}

/// The pair-of-words variant of MurmurHash3 with seed 0.
fn murmur64(bytes: &[u8]) -> u64 {
    const C1: u32 = 0x239B_961B;
    const C2: u32 = 0xAB0E_9789;
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    let first = |k: u32| k.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let second = |k: u32| k.wrapping_mul(C2).rotate_left(17).wrapping_mul(C1);
    let (mut h1, mut h2) = (0u32, 0u32);
    let chunks = bytes.chunks_exact(8);
    let tail = chunks.remainder();
    for chunk in chunks {
        h1 = (h1 ^ first(word(&chunk[..4]))).rotate_left(19).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x561C_CD1B);
        h2 =
            (h2 ^ second(word(&chunk[4..]))).rotate_left(13).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x0BCA_A747);
    }
    let (low, high) = tail.split_at(tail.len().min(4));
    if !low.is_empty() {
        h1 ^= first(word(low));
    }
    if !high.is_empty() {
        h2 ^= second(word(high));
    }
    h1 ^= bytes.len() as u32;
    h2 ^= bytes.len() as u32;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2) = (finish(h1), finish(h2));
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    u64::from(h2) << 32 | u64::from(h1)
}

fn finish(mut h: u32) -> u32 {
    h = (h ^ h >> 16).wrapping_mul(0x85EB_CA6B);
    h = (h ^ h >> 13).wrapping_mul(0xC2B2_AE35);
    h ^ h >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha1_agrees_with_its_published_vector() {
        let hex: String = sha1(b"abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn hashes_are_stable_and_have_their_form() {
        assert_eq!(unique_string("a").len(), 13);
        assert_ne!(unique_string("a-b"), unique_string("a-c"));
        assert_eq!(&guid("x")[14..15], "5");
    }
}
