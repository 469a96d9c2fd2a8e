//! Entropy device (5.4). Its bytes are those of a stream cipher under a key from the configuration, which the recording
//! keeps: as good as the key, and the same in every replay.

mod chacha20;
#[cfg(test)]
mod tests;

use super::{Device, Fault, Io};
use chacha20::{BLOCK, block};
use serde::{Deserialize, Serialize};
use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;

const QUEUE_SIZE: u16 = 64;
/// Most bytes for one request; what is used says how many there are.
const MOST_BYTES: u64 = 64 << 10;

/// The device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    key: [u8; 32],
    /// Blocks of the stream used up.
    blocks: u64,
}

impl Rng {
    /// A device whose bytes follow from `seed`.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self { key: seed, blocks: 0 }
    }

    fn next(&mut self) -> [u8; BLOCK] {
        let bytes = block(&self.key, self.blocks);
        self.blocks = self.blocks.wrapping_add(1);
        bytes
    }
}

impl Device for Rng {
    fn id(&self) -> u16 {
        VIRTIO_ID_RNG as u16
    }

    fn class(&self) -> u32 {
        0xff_0000
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE]
    }

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    /// The stream goes on: a new driver must not get the old one's bytes.
    fn reset(&mut self) {}

    fn serve(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        for _ in 0..io.most(0) {
            let Some(head) = io.pop(0)? else { break };
            let chain = io.chain(0, head)?;
            let len = chain.writable_len().min(MOST_BYTES);
            let (mut to, mut done) = (chain.writer(), 0);
            while done < len {
                let part = (len - done).min(BLOCK as u64);
                to.write(io.memory, &self.next()[..part as usize])?;
                done += part;
            }
            io.push(0, head, len as u32)?;
        }
        Ok(())
    }
}
