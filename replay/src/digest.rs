//! What a machine state hashes to, part by part, so that two runs can be told apart and the difference named.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::codec::{self, CodecError};

/// A 128-bit XXH3 hash. It tells runs apart; it does not resist somebody who forges one.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u128);

impl Digest {
    /// Hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_128(bytes))
    }

    /// Hash of the encoding of a plain-data state.
    ///
    /// # Errors
    /// When the state cannot be encoded; see [`codec::to_bytes`].
    pub fn of_state<T: Serialize + ?Sized>(state: &T) -> Result<Self, CodecError> {
        let mut hasher = Hasher::new();
        codec::write_to(state, &mut hasher)?;
        Ok(hasher.finish())
    }

    /// A part of it, where few have to be told apart.
    #[must_use]
    pub const fn short(self) -> u64 {
        self.0 as u64
    }

    /// The digest with this value.
    #[must_use]
    pub const fn from_u128(value: u128) -> Self {
        Self(value)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 32 hexadecimal digits")]
pub struct ParseDigestError;

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseDigestError);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| ParseDigestError)
    }
}

// Hexadecimal where people read it (JSON), 16 plain bytes elsewhere.
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.to_be_bytes().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            <[u8; 16]>::deserialize(deserializer).map(|bytes| Self(u128::from_be_bytes(bytes)))
        }
    }
}

/// Makes a [`Digest`] of bytes that come in pieces.
#[derive(Clone, Default)]
pub struct Hasher(Xxh3);

impl Hasher {
    /// A hasher that has seen no bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Hash of all bytes so far.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(self.0.digest128())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hasher").field(&self.finish()).finish()
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A part of the machine that is hashed on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Registers and every other state of the vCPUs.
    Cpu,
    /// Chips, buses, boards.
    Devices,
    /// Guest RAM.
    Memory,
    /// Everything the guest has sent out since power-on: console bytes, frames, samples.
    Outputs,
}

impl Part {
    /// Every part, in the order a difference is looked for.
    pub const ALL: [Part; 4] = [Part::Cpu, Part::Devices, Part::Memory, Part::Outputs];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Cpu => "cpu",
            Part::Devices => "devices",
            Part::Memory => "memory",
            Part::Outputs => "outputs",
        })
    }
}

/// The digest of a whole machine at one moment, by parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineDigest {
    /// See [`Part::Cpu`].
    pub cpu: Digest,
    /// See [`Part::Devices`].
    pub devices: Digest,
    /// See [`Part::Memory`].
    pub memory: Digest,
    /// See [`Part::Outputs`].
    pub outputs: Digest,
}

impl MachineDigest {
    /// The digest of one part.
    #[must_use]
    pub fn part(&self, part: Part) -> Digest {
        match part {
            Part::Cpu => self.cpu,
            Part::Devices => self.devices,
            Part::Memory => self.memory,
            Part::Outputs => self.outputs,
        }
    }

    /// One digest over all parts, for people and scripts to compare.
    #[must_use]
    pub fn combined(&self) -> Digest {
        let mut hasher = Hasher::new();
        for part in Part::ALL {
            hasher.update(&self.part(part).0.to_be_bytes());
        }
        hasher.finish()
    }

    /// The parts in which the two differ; empty when they are equal.
    #[must_use]
    pub fn differing(&self, other: &MachineDigest) -> Vec<Part> {
        Part::ALL.into_iter().filter(|part| self.part(*part) != other.part(*part)).collect()
    }
}

impl fmt::Display for MachineDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.combined(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_come_back() {
        let digest = Digest::of(b"rrvmm");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(serde_json::from_str::<Digest>(&serde_json::to_string(&digest).unwrap()).unwrap(), digest);
        let bytes = codec::to_bytes(&digest).unwrap();
        assert_eq!(bytes.len(), 16);
        assert_eq!(codec::from_bytes::<Digest>(&bytes).unwrap(), digest);
        assert_eq!("+123456789012345678901234567890a".parse::<Digest>(), Err(ParseDigestError));
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut hasher = Hasher::new();
        hasher.update(b"rr");
        hasher.update(b"vmm");
        assert_eq!(hasher.finish(), Digest::of(b"rrvmm"));
    }

    #[test]
    fn each_part_shows_in_the_difference_and_in_the_whole() {
        let base = MachineDigest::default();
        for part in Part::ALL {
            let mut other = base;
            *match part {
                Part::Cpu => &mut other.cpu,
                Part::Devices => &mut other.devices,
                Part::Memory => &mut other.memory,
                Part::Outputs => &mut other.outputs,
            } = Digest::of(b"x");
            assert_eq!(base.differing(&other), [part]);
            assert_ne!(base.combined(), other.combined());
        }
    }
}
