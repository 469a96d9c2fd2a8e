//! The machine's state in parts that an event of a recording can carry: what differs from an earlier state.

use super::{CoreState, MachineError, PcMachine, Snapshot};
use crate::memory::PAGE_SIZE;
use crate::pages::{Page, Pages};
use rrvmm_replay::{Steppable as _, codec};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Pages in a part: what compresses well, and is far from the most that one event may be.
const PAGES: usize = 64;

/// A part of a state. All parts of one state come in a row, [`Part::Core`] last.
#[derive(Debug, Serialize, Deserialize)]
pub enum Part {
    /// Pages of RAM.
    Ram(Vec<NumberedPage>),
    /// Blocks that the guest has written to a disk.
    Disk {
        /// Its number.
        disk: u32,
        /// The blocks.
        blocks: Vec<NumberedPage>,
    },
    /// Everything else.
    Core(Box<CoreState>),
}

/// A page and its number.
#[derive(Debug, Serialize, Deserialize)]
pub struct NumberedPage {
    number: u64,
    /// Nothing where there is none.
    #[serde(with = "codec::bytes")]
    bytes: Vec<u8>,
}

impl NumberedPage {
    fn of(pages: &Pages, number: usize) -> Self {
        let bytes = pages.page(number).map_or(Vec::new(), |page| page.to_vec());
        Self { number: number as u64, bytes }
    }

    /// Number and bytes; nothing if these are not those of a page below number `end`.
    fn get(&self, end: usize) -> Option<(usize, Option<&[u8; PAGE_SIZE]>)> {
        let number = usize::try_from(self.number).ok().filter(|&number| number < end)?;
        let bytes = if self.bytes.is_empty() { None } else { Some(self.bytes.as_slice().try_into().ok()?) };
        Some((number, bytes))
    }
}

/// What `to` has and `from` has not, in parts, encoded.
///
/// # Errors
/// The encoder refuses.
pub fn parts(from: &Snapshot, to: &Snapshot) -> Result<Vec<Vec<u8>>, codec::CodecError> {
    let mut parts = Vec::new();
    let mut cut = |old: &Pages, new: &Pages, part: &dyn Fn(Vec<NumberedPage>) -> Part| {
        let differing: Vec<usize> = new.differing(old).filter(|&n| new.page(n) != old.page(n)).collect();
        differing.chunks(PAGES).try_for_each(|numbers| {
            let pages = numbers.iter().map(|&number| NumberedPage::of(new, number)).collect();
            parts.push(codec::to_bytes(&part(pages))?);
            Ok(())
        })
    };
    cut(from.pages(), to.pages(), &Part::Ram)?;
    for (disk, new) in to.disks().iter().enumerate() {
        let none = Pages::default();
        let old = from.disks().get(disk).unwrap_or(&none);
        cut(old, new, &|blocks| Part::Disk { disk: disk as u32, blocks })?;
    }
    parts.push(codec::to_bytes(&Part::Core(Box::new(to.core().clone())))?);
    Ok(parts)
}

/// What a part is of that cannot be one of this machine's.
fn misfit(what: &str) -> MachineError {
    MachineError::State(format!("the recording has a state that is none of this machine's: {what}"))
}

impl Snapshot {
    /// Becomes the state that `part` leads to. Whether that is whole now.
    ///
    /// # Errors
    /// It is no part of a state of this machine.
    pub fn take(&mut self, part: Part) -> Result<bool, MachineError> {
        let put = |pages: &mut Pages, from: Vec<NumberedPage>, end| {
            from.iter().try_for_each(|page| -> Result<(), MachineError> {
                let (number, bytes) = page.get(end).ok_or_else(|| misfit("a page"))?;
                pages.put(number, bytes.map(Page::new));
                Ok(())
            })
        };
        match part {
            Part::Ram(pages) => put(&mut self.pages, pages, usize::MAX)?,
            Part::Disk { disk, blocks } => {
                let disk = self.disks.get_mut(disk as usize).ok_or_else(|| misfit("a disk"))?;
                put(disk, blocks, usize::MAX)?;
            }
            Part::Core(core) => {
                self.core = Arc::new(*core);
                self.translations = None;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl PcMachine {
    /// What has changed since the last call, or power-on, in [`parts`]. The machine must be at a digest.
    pub(super) fn parts_since(&mut self) -> Result<Vec<Vec<u8>>, MachineError> {
        let now = self.save();
        let before = self.kept.replace(now.clone());
        Ok(before.map_or(Ok(Vec::new()), |before| parts(&before, &now))?)
    }

    /// Becomes, where it is, what the encoded `part` says.
    pub(super) fn take_part(&mut self, part: &[u8]) -> Result<(), MachineError> {
        match codec::from_bytes(part)? {
            Part::Ram(pages) => {
                let end = self.accel.pages();
                for page in &pages {
                    let (number, bytes) = page.get(end).ok_or_else(|| misfit("a page"))?;
                    self.accel.set_page(number, bytes.unwrap_or(&[0; PAGE_SIZE]));
                }
            }
            Part::Disk { disk, blocks } => {
                let mut overlays = self.disks.save();
                let overlay = overlays.get_mut(disk as usize).ok_or_else(|| misfit("a disk"))?;
                for block in &blocks {
                    let (number, bytes) = block.get(usize::MAX).ok_or_else(|| misfit("a block"))?;
                    overlay.put(number, bytes.map(Page::new));
                }
                self.disks.restore(&overlays);
            }
            Part::Core(mut core) => {
                core.cpu.count = self.position().count();
                self.become_core(&core).map_err(|()| misfit("its devices"))?;
            }
        }
        Ok(())
    }
}
