//! The disks' contents: state of the machine beside RAM.
//!
//! A disk is an immutable base and, over it, the blocks that the guest has written. The base is an [`Image`] when a run is
//! recorded; what is read from it for the first time goes into the recording, which is the base of every replay. So the
//! image is not needed any more, and nobody needs to be believed that it is still the same.

mod ahead;
mod base;
mod block_set;
mod contents;
mod error;
mod first_reads;
mod in_order;
mod sums;

use crate::host::image::{Format, Image};
use crate::pages::Pages;
use ahead::Ahead;
use base::{Absent, Base, OfImage, OfRecording};
use block_set::BlockSet;
use contents::{Contents, Failed};
use first_reads::{Continued, Log};
use rrvmm_devices::dma::{self, DiskFault};
use rrvmm_replay::Digest;
use rrvmm_replay::journal::Blocks;
use rrvmm_replay::seam::FirstReads;
use serde::{Deserialize, Serialize};
use std::io::{Read, Seek};
use std::sync::{Arc, Mutex};

pub use error::DiskError;

/// What a recording says of a disk. Fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskInfo {
    /// Name of the image's file, for people.
    pub file: String,
    /// How the image was laid out.
    pub format: Format,
    /// Bytes on the disk.
    pub bytes: u64,
    /// When the image was changed last, in seconds since 1970-01-01 00:00:00 UTC.
    pub modified: i64,
    /// The guest cannot write it.
    #[serde(default)]
    pub read_only: bool,
    /// The recording has the blocks that were read; otherwise their hashes.
    #[serde(default = "embedded")]
    pub embedded: bool,
}

const fn embedded() -> bool {
    true
}

impl DiskInfo {
    /// Of `image`.
    #[must_use]
    pub fn new(image: &Image, read_only: bool, embedded: bool) -> Self {
        let name = image.path().file_name().unwrap_or_default();
        Self {
            file: name.to_string_lossy().into_owned(),
            format: image.format(),
            bytes: image.len(),
            modified: image.modified(),
            read_only,
            embedded,
        }
    }
}

/// The contents of all disks of a machine.
#[derive(Default)]
pub struct Disks {
    disks: Vec<Contents>,
    /// Why the run cannot go on.
    fault: Option<DiskError>,
    /// What is to be recorded of the bases; taken by the session that records.
    first_reads: Option<Box<dyn FirstReads>>,
}

impl Disks {
    /// Disks of `images`, for a run. What the run reads of them can be recorded ([`Disks::take_first_reads`]) if `recorded`.
    #[must_use]
    pub fn of_images(disks: &[DiskInfo], images: &[Arc<Image>], recorded: bool) -> Self {
        let log = Log::default();
        let contents = disks.iter().zip(images).zip(0..).map(|((info, image), disk)| {
            let log = recorded.then(|| (log.clone(), BlockSet::default()));
            let base = OfImage::new(disk, Arc::clone(image), info.embedded, log);
            Contents::new(Box::new(base), info.bytes, info.read_only)
        });
        let disks = contents.collect();
        Self { disks, fault: None, first_reads: recorded.then(|| Box::new(log) as Box<dyn FirstReads>) }
    }

    /// Disks of a recording. `images`, where there are any, are for what the recording does not have itself.
    #[must_use]
    pub fn of_recording<R: Read + Seek + Send + 'static>(
        disks: &[DiskInfo],
        blocks: Blocks<R>,
        images: &[Arc<Image>],
    ) -> Self {
        let (log, blocks) = (Log::default(), Arc::new(Mutex::new(Ahead::new(blocks))));
        let contents = disks.iter().zip(0..).map(|(info, disk)| {
            let image = images.get(disk as usize).map(|image| {
                let log = Some((log.clone(), BlockSet::default()));
                OfImage::new(disk, Arc::clone(image), info.embedded, log)
            });
            let base = OfRecording { disk, blocks: Arc::clone(&blocks), image };
            Contents::new(Box::new(base), info.bytes, info.read_only)
        });
        let disks = contents.collect();
        let first_reads = Continued { earlier: Some(blocks), log };
        Self { disks, fault: None, first_reads: Some(Box::new(first_reads)) }
    }

    /// Disks that nobody gave: a guest that reads one ends the run.
    #[must_use]
    pub fn absent(disks: &[DiskInfo]) -> Self {
        let absent = |disk| Box::new(Absent { disk }) as Box<dyn Base>;
        let disks = disks.iter().zip(0..);
        let disks =
            disks.map(|(info, disk)| Contents::new(absent(disk), info.bytes, info.read_only)).collect();
        Self { disks, fault: None, first_reads: None }
    }

    /// What a recording of the run has to keep of the bases: once.
    pub fn take_first_reads(&mut self) -> Option<Box<dyn FirstReads>> {
        self.first_reads.take()
    }

    /// What the guest has written to disk `disk`: blocks by number.
    #[must_use]
    pub fn written(&self, disk: usize) -> Option<&Pages> {
        self.disks.get(disk).map(Contents::overlay)
    }

    /// Why the run cannot go on, once.
    pub(crate) fn take_fault(&mut self) -> Option<DiskError> {
        self.fault.take()
    }

    /// Digest of all that was written; none without disks.
    pub(crate) fn digest(&self) -> Option<Vec<Digest>> {
        (!self.disks.is_empty()).then(|| self.disks.iter().map(Contents::digest).collect())
    }

    /// Makes later digests quick, which look only at what has been written since.
    pub(crate) fn sum_up(&mut self) {
        self.disks.iter_mut().for_each(Contents::sum_up);
    }

    pub(crate) fn save(&self) -> Vec<Pages> {
        self.disks.iter().map(|disk| disk.overlay().clone()).collect()
    }

    pub(crate) fn restore(&mut self, overlays: &[Pages]) {
        self.fault = None;
        for (n, disk) in self.disks.iter_mut().enumerate() {
            disk.set_overlay(overlays.get(n).unwrap_or(&Pages::default()));
        }
    }

    fn answer(&mut self, done: Result<(), Failed>) -> Result<(), DiskFault> {
        done.map_err(|failed| match failed {
            Failed::Guest(fault) => fault,
            Failed::Fatal(error) => {
                self.fault.get_or_insert(error);
                DiskFault::Unreadable
            }
        })
    }
}

impl dma::Disks for Disks {
    fn len(&self, disk: usize) -> u64 {
        self.disks.get(disk).map_or(0, Contents::len)
    }

    fn read(&mut self, disk: usize, offset: u64, bytes: &mut [u8]) -> Result<(), DiskFault> {
        let disk = self.disks.get_mut(disk).ok_or(DiskFault::OutOfRange)?;
        let done = disk.read(offset, bytes);
        self.answer(done)
    }

    fn write(&mut self, disk: usize, offset: u64, bytes: &[u8]) -> Result<(), DiskFault> {
        let disk = self.disks.get_mut(disk).ok_or(DiskFault::OutOfRange)?;
        let done = disk.write(offset, bytes);
        self.answer(done)
    }
}
