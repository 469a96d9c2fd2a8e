//! Where a disk's blocks come from that the guest has not written: an image, or a recording.

use super::ahead::Ahead;
use super::block_set::BlockSet;
use super::error::DiskError;
use super::first_reads::Log;
use super::in_order::InOrder;
use crate::host::image::Image;
use rrvmm_replay::Digest;
use rrvmm_replay::journal::{BLOCK_SIZE, Block};
use std::io::{Read, Seek};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a base gives nothing.
#[derive(Debug)]
pub(super) enum BaseFault {
    /// A bad medium: the guest is told, and the recording says so.
    Unreadable,
    /// The run cannot go on.
    Fatal(DiskError),
}

/// A disk as it was at power-on. Immutable: what it gives does not depend on when it is asked.
pub(super) trait Base {
    /// Fills `bytes`, whole blocks, from block `first` on.
    fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), BaseFault>;
}

/// Nobody gave the disk.
pub(super) struct Absent {
    pub(super) disk: u32,
}

impl Base for Absent {
    fn read(&mut self, _first: u64, _bytes: &mut [u8]) -> Result<(), BaseFault> {
        Err(BaseFault::Fatal(DiskError::Absent { disk: self.disk }))
    }
}

/// An image, with what is read from it for the first time put into a log if there is one.
pub(super) struct OfImage {
    pub(super) disk: u32,
    pub(super) image: Arc<Image>,
    pub(super) embed: bool,
    /// The log, and the blocks that are in it or in the recording already.
    pub(super) log: Option<(Log, BlockSet)>,
    in_order: InOrder,
}

impl OfImage {
    /// `embed` says whether the recording gets what is read, or hashes of it.
    pub(super) fn new(disk: u32, image: Arc<Image>, embed: bool, log: Option<(Log, BlockSet)>) -> Self {
        Self { disk, image, embed, log, in_order: InOrder::default() }
    }

    /// Block by block: some of them can be read.
    fn read_apart(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), BaseFault> {
        let mut read = Ok(());
        for (block, bytes) in (first..).zip(bytes.chunks_exact_mut(BLOCK_SIZE)) {
            let could = self.image.read(block * BLOCK_SIZE as u64, bytes).is_ok();
            self.note(block, could.then_some(&*bytes));
            if !could {
                read = Err(BaseFault::Unreadable);
            }
        }
        read
    }

    fn note(&mut self, block: u64, bytes: Option<&[u8]>) {
        if let Some((_, seen)) = &mut self.log
            && seen.add(block)
            && let Some((log, _)) = &self.log
        {
            log.add(self, block, bytes);
        }
    }
}

impl Base for OfImage {
    fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), BaseFault> {
        if self.in_order.read(&self.image, first * BLOCK_SIZE as u64, bytes).is_err() {
            return self.read_apart(first, bytes);
        }
        if self.log.is_some() {
            for (block, bytes) in (first..).zip(bytes.chunks_exact(BLOCK_SIZE)) {
                self.note(block, Some(bytes));
            }
        }
        Ok(())
    }
}

/// A recording; beside it an image for what the recording has only hashes of, or, live, nothing.
pub(super) struct OfRecording<R> {
    pub(super) disk: u32,
    pub(super) blocks: Arc<Mutex<Ahead<R>>>,
    pub(super) image: Option<OfImage>,
}

impl<R: Read + Seek + Send + 'static> Base for OfRecording<R> {
    fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), BaseFault> {
        let disk = self.disk;
        let mut read = Ok(());
        for (block, bytes) in (first..).zip(bytes.chunks_exact_mut(BLOCK_SIZE)) {
            let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            let found = blocks.get(disk, block);
            match found.map_err(|source| BaseFault::Fatal(DiskError::Recording { disk, source }))? {
                Block::Zeros => bytes.fill(0),
                Block::Bytes(of) => bytes.copy_from_slice(of),
                Block::Unreadable => read = Err(BaseFault::Unreadable),
                Block::Hash(hash) => self.checked(block, hash, bytes)?,
                Block::Missing => match &mut self.image {
                    Some(image) => image.read(block, bytes)?,
                    None => return Err(BaseFault::Fatal(DiskError::Missing { disk, block })),
                },
            }
        }
        read
    }
}

impl<R> OfRecording<R> {
    /// Reads `block` of the image, which has to have this hash.
    fn checked(&self, block: u64, hash: Digest, bytes: &mut [u8]) -> Result<(), BaseFault> {
        let disk = self.disk;
        let Some(OfImage { image, .. }) = &self.image else {
            return Err(BaseFault::Fatal(DiskError::Missing { disk, block }));
        };
        let read = image.read(block * BLOCK_SIZE as u64, bytes);
        read.map_err(|source| BaseFault::Fatal(DiskError::Image { disk, block, source }))?;
        if Digest::of(bytes) != hash {
            return Err(BaseFault::Fatal(DiskError::Different { disk, block }));
        }
        Ok(())
    }
}
