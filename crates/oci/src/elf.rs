//! Whether a program can run in an image that holds nothing else (the ELF specification, and `elf.h`'s numbers).

use std::path::Path;

use crate::error::OciError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    /// This machine's, where images are run on it.
    pub fn host() -> Option<Architecture> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Architecture::Amd64),
            "aarch64" => Some(Architecture::Arm64),
            _ => None,
        }
    }

    /// As OCI, Go and Kubernetes name it.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Amd64 => "amd64",
            Architecture::Arm64 => "arm64",
        }
    }
}

/// A static program's bytes.
#[derive(Clone, Debug)]
pub struct Program {
    pub architecture: Architecture,
    pub bytes: Vec<u8>,
}

const EM_X86_64: u64 = 62;
const EM_AARCH64: u64 = 183;
/// The program header that names a dynamic loader.
const PT_INTERP: u64 = 3;

impl Program {
    /// # Errors
    /// When the file cannot be read, is no 64-bit Linux program of a known architecture, or needs a dynamic loader, which an
    /// empty image does not have.
    pub fn read(path: &Path) -> Result<Program, OciError> {
        let bytes = std::fs::read(path).map_err(OciError::file(path))?;
        let architecture =
            inspect(&bytes).map_err(|reason| OciError::Program { path: path.to_owned(), reason: reason.to_owned() })?;
        Ok(Program { architecture, bytes })
    }
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    Some(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn inspect(bytes: &[u8]) -> Result<Architecture, &'static str> {
    const CUT: &str = "its ELF header is cut off";
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return Err("it is not a 64-bit little-endian ELF file");
    }
    let architecture = match number(bytes, 18, 2).ok_or(CUT)? {
        EM_X86_64 => Architecture::Amd64,
        EM_AARCH64 => Architecture::Arm64,
        _ => return Err("its machine is neither x86-64 nor AArch64"),
    };
    let start = usize::try_from(number(bytes, 32, 8).ok_or(CUT)?).map_err(|_| CUT)?;
    let size = number(bytes, 54, 2).ok_or(CUT)? as usize;
    let count = number(bytes, 56, 2).ok_or(CUT)? as usize;
    if count == 0 {
        return Err("it has no program headers, so it is not executable");
    }
    for index in 0..count {
        let at = start.checked_add(index * size).ok_or(CUT)?;
        if number(bytes, at, 4).ok_or(CUT)? == PT_INTERP {
            return Err("it is linked dynamically, and the image has no libraries");
        }
    }
    Ok(architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with these program header types.
    fn elf(machine: u8, segments: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + segments.len() * 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18] = machine;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = segments.len() as u8;
        for (index, kind) in segments.iter().enumerate() {
            bytes[64 + index * 56] = *kind;
        }
        bytes
    }

    #[test]
    fn only_static_programs_pass() {
        assert_eq!(inspect(&elf(62, &[1, 2])), Ok(Architecture::Amd64));
        assert_eq!(inspect(&elf(183, &[1])), Ok(Architecture::Arm64));
        assert!(inspect(&elf(62, &[1, 3])).unwrap_err().contains("dynamically"));
        assert!(inspect(&elf(8, &[1])).unwrap_err().contains("machine"));
        assert!(inspect(&elf(62, &[])).unwrap_err().contains("no program headers"));
        assert!(inspect(b"#!/bin/sh").unwrap_err().contains("not a 64-bit"));
    }

    #[test]
    fn a_cut_file_is_no_panic() {
        let whole = elf(62, &[1, 1]);
        for length in 0..whole.len() {
            let _ = inspect(&whole[..length]);
        }
        let mut far = whole;
        far[32..40].fill(0xff);
        assert!(inspect(&far).is_err());
    }
}
