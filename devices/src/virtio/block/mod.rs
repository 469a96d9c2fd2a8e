//! Block device (5.2) over a disk of [`Disks`](crate::dma::Disks).
//!
//! A request is noted when the driver rings and carried out when its time has come: then its chain is read, data moved and
//! the driver told.

mod request;
#[cfg(test)]
mod tests;

use super::{Device, Fault, Io};
use crate::pc::DiskConfig;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX,
    VIRTIO_BLK_F_WRITE_ZEROES,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;

/// Bytes of a sector, whatever the block size.
pub(super) const SECTOR: u64 = 512;
const QUEUE_SIZE: u16 = 256;
/// Most data of one request, so that no request takes the host long.
pub(super) const MOST_BYTES: u64 = 64 << 20;
/// Most pieces of a request that zeroes or discards.
const MOST_RANGES: u32 = 16;
/// Most sectors of such a piece.
const MOST_SECTORS: u32 = 8192;
/// Virtual nanoseconds from the doorbell to the end of the smallest request: about that of a solid state disk.
const LATENCY: u64 = 20_000;
/// Bytes moved in a virtual nanosecond.
const BYTES_PER_NS: u64 = 2;

/// A request that its time has not come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    due: VirtualTime,
    head: u16,
}

/// The device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    pub(super) config: DiskConfig,
    /// In order of time.
    pending: VecDeque<Pending>,
    /// When the data of all pending requests is moved.
    free_at: VirtualTime,
}

impl Block {
    /// A device for a disk.
    #[must_use]
    pub fn new(config: &DiskConfig) -> Self {
        Self { config: config.clone(), pending: VecDeque::new(), free_at: VirtualTime::ZERO }
    }

    fn take_new(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        for _ in 0..io.most(0) {
            let Some(head) = io.pop(0)? else { break };
            let chain = io.chain(0, head)?;
            let bytes = (chain.readable_len() + chain.writable_len()).min(MOST_BYTES);
            self.free_at = self.free_at.max(io.now).after(bytes / BYTES_PER_NS);
            self.pending.push_back(Pending { due: self.free_at.after(LATENCY), head });
        }
        Ok(())
    }
}

impl Device for Block {
    fn id(&self) -> u16 {
        VIRTIO_ID_BLOCK as u16
    }

    fn class(&self) -> u32 {
        // Mass storage controller, other.
        0x01_8000
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE]
    }

    fn features(&self) -> u64 {
        let always = 1 << VIRTIO_BLK_F_SEG_MAX | 1 << VIRTIO_BLK_F_BLK_SIZE | 1 << VIRTIO_BLK_F_FLUSH;
        let writing = if self.config.read_only {
            1 << VIRTIO_BLK_F_RO
        } else {
            1 << VIRTIO_BLK_F_DISCARD | 1 << VIRTIO_BLK_F_WRITE_ZEROES
        };
        always | writing
    }

    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; 60];
        let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &(self.config.bytes / SECTOR).to_le_bytes());
        put(12, &(u32::from(QUEUE_SIZE) - 2).to_le_bytes());
        put(20, &(SECTOR as u32).to_le_bytes());
        put(36, &MOST_SECTORS.to_le_bytes());
        put(40, &MOST_RANGES.to_le_bytes());
        put(44, &1u32.to_le_bytes());
        put(48, &MOST_SECTORS.to_le_bytes());
        put(52, &MOST_RANGES.to_le_bytes());
        put(56, &[1]);
        config
    }

    fn reset(&mut self) {
        *self = Self::new(&self.config);
    }

    fn due(&self) -> Option<VirtualTime> {
        self.pending.front().map(|pending| pending.due)
    }

    fn serve(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.due <= io.now) {
            let chain = io.chain(0, pending.head)?;
            let written = self.carry_out(&chain, io)?;
            io.push(0, pending.head, written)?;
        }
        self.take_new(io)
    }
}
