//! Digests of memory and of what the guest sent out, kept up to date by difference.

use crate::accel::Accelerator;
use rrvmm_devices::Output;
use rrvmm_replay::Digest;
use serde::{Deserialize, Serialize};

/// Digest of all RAM: the sum over pages of a hash of page number and contents; a page of zeros counts nothing.
#[derive(Clone, Debug)]
pub(super) struct MemoryDigest {
    pages: Vec<u128>,
    sum: u128,
}

impl MemoryDigest {
    /// For `pages` pages of zeros.
    pub fn new(pages: usize) -> Self {
        Self { pages: vec![0; pages], sum: 0 }
    }

    /// The digest now; looks at the pages written since the last time.
    pub fn update(&mut self, accel: &mut dyn Accelerator) -> Digest {
        for page in accel.take_dirty() {
            let new = hash(page, accel.page(page));
            let old = std::mem::replace(&mut self.pages[page], new);
            self.sum = self.sum.wrapping_sub(old).wrapping_add(new);
        }
        Digest::from_u128(self.sum)
    }
}

/// As [`MemoryDigest`], of all pages as they are, from scratch.
pub(super) fn of_memory(accel: &dyn Accelerator) -> Digest {
    let sum = (0..accel.pages()).fold(0u128, |sum, page| sum.wrapping_add(hash(page, accel.page(page))));
    Digest::from_u128(sum)
}

fn hash(page: usize, bytes: &[u8; 4096]) -> u128 {
    if is_zero(bytes) {
        return 0;
    }
    xxhash_rust::xxh3::xxh3_128_with_seed(bytes, page as u64)
}

/// In pieces that the compiler tests at once, and ends at the first that is not zero.
fn is_zero(bytes: &[u8; 4096]) -> bool {
    let (pieces, _) = bytes.as_chunks::<64>();
    pieces.iter().all(|piece| piece.iter().fold(0, |any, byte| any | byte) == 0)
}

/// Digest of every output since power-on, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OutputDigest(u128);

impl OutputDigest {
    /// Adds one output.
    pub fn add(&mut self, output: &Output) {
        let (kind, a, b, rest): (u8, u32, u32, &[u8]) = match output {
            Output::Serial { port, byte } => (0, u32::from(*port), u32::from(*byte), &[]),
            Output::DebugConsole(byte) => (1, u32::from(*byte), 0, &[]),
            Output::DebugExit { value } => (2, *value, 0, &[]),
            Output::PowerOff => (3, 0, 0, &[]),
            Output::Reset => (4, 0, 0, &[]),
            Output::Frame { nic, bytes } => (5, u32::from(*nic), bytes.len() as u32, bytes),
            Output::Console { port, bytes } => (6, u32::from(*port), bytes.len() as u32, bytes),
        };
        let mut bytes = [0; 25];
        bytes[..16].copy_from_slice(&self.0.to_le_bytes());
        bytes[16] = kind;
        bytes[17..21].copy_from_slice(&a.to_le_bytes());
        bytes[21..].copy_from_slice(&b.to_le_bytes());
        self.0 = if rest.is_empty() {
            xxhash_rust::xxh3::xxh3_128(&bytes)
        } else {
            xxhash_rust::xxh3::xxh3_128(&[&bytes, rest].concat())
        };
    }

    /// The digest.
    pub fn get(self) -> Digest {
        Digest::from_u128(self.0)
    }
}
