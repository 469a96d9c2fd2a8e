//! What a machine reads of its images for the first time, on its way into the recording.

use rrvmm_replay::Digest;
use rrvmm_replay::journal::{BLOCK_SIZE, BLOCKS_LIMIT, Blob, BlockRun, Contents, EMPTY_LIMIT, JournalError};
use rrvmm_replay::seam::FirstReads;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Blocks of a disk that are in the recording already.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<u64, u64>);

impl Seen {
    /// Takes note of `block`; true if it is new.
    pub(super) fn add(&mut self, block: u64) -> bool {
        let word = self.0.entry(block / 64).or_default();
        let is_new = *word >> (block % 64) & 1 == 0;
        *word |= 1 << (block % 64);
        is_new
    }
}

/// Where what was read waits for the recording. Clones are the same place.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<Vec<(u32, BlockRun)>>>);

impl Log {
    /// Adds a block of `bytes`, or one that could not be read.
    pub(super) fn add(&self, disk: u32, block: u64, bytes: Option<&[u8]>, embed: bool) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The latest run goes on if it is of the same kind.
        let last = runs.last_mut().filter(|(of, run)| *of == disk && run.first + run.blocks() == block);
        let last = last.map(|(_, run)| &mut run.contents);
        let contents = match (bytes, last) {
            (None, Some(Contents::Unreadable(count))) if *count < EMPTY_LIMIT => return *count += 1,
            (None, _) => Contents::Unreadable(1),
            (Some(bytes), last) if is_zero(bytes) => match last {
                Some(Contents::Zeros(count)) if *count < EMPTY_LIMIT => return *count += 1,
                _ => Contents::Zeros(1),
            },
            (Some(bytes), Some(Contents::Bytes(run))) if embed && run.0.len() < LIMIT => {
                return run.0.extend_from_slice(bytes);
            }
            (Some(bytes), _) if embed => Contents::Bytes(Blob(bytes.to_vec())),
            (Some(bytes), Some(Contents::Hashes(hashes))) if (hashes.len() as u64) < BLOCKS_LIMIT => {
                return hashes.push(Digest::of(bytes));
            }
            (Some(bytes), _) => Contents::Hashes(vec![Digest::of(bytes)]),
        };
        runs.push((disk, BlockRun { first: block, contents }));
    }

    fn take(&self) -> Vec<(u32, BlockRun)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Bytes in a run that is full: as many as a chunk of the recording has, which is decoded for each of its blocks.
const LIMIT: usize = 16 * BLOCK_SIZE;

fn is_zero(bytes: &[u8]) -> bool {
    let (pieces, rest) = bytes.as_chunks::<64>();
    pieces.iter().all(|piece| piece.iter().fold(0, |any, byte| any | byte) == 0)
        && rest.iter().all(|b| *b == 0)
}

impl FirstReads for Log {
    fn drain(
        &mut self,
        each: &mut dyn FnMut(u32, &BlockRun) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        self.take().iter().try_for_each(|(disk, run)| each(*disk, run))
    }
}

/// First what an earlier recording has, then what is read.
pub(super) struct Continued<R> {
    /// The earlier recording, until it was handed over.
    pub(super) earlier: Option<Arc<Mutex<rrvmm_replay::journal::Blocks<R>>>>,
    pub(super) log: Log,
}

impl<R: std::io::Read + std::io::Seek> FirstReads for Continued<R> {
    fn drain(
        &mut self,
        each: &mut dyn FnMut(u32, &BlockRun) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        if let Some(earlier) = self.earlier.take() {
            earlier.lock().unwrap_or_else(PoisonError::into_inner).each(|disk, run| each(disk, &run))?;
        }
        self.log.drain(each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_in_a_row_become_one_run() {
        let mut log = Log::default();
        let (data, zeros) = (vec![1; BLOCK_SIZE], vec![0; BLOCK_SIZE]);
        for (disk, block, bytes) in
            [(0, 4, &data), (0, 5, &data), (0, 6, &zeros), (0, 7, &zeros), (0, 9, &zeros), (1, 10, &data)]
        {
            log.add(disk, block, Some(bytes), true);
        }
        log.add(1, 11, None, true);
        log.add(1, 12, Some(&data), false);
        log.add(1, 13, Some(&data), false);
        let mut seen = Vec::new();
        log.drain(&mut |disk, run| {
            seen.push((disk, run.first, run.blocks()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(0, 4, 2), (0, 6, 2), (0, 9, 1), (1, 10, 1), (1, 11, 1), (1, 12, 2)]);
        assert!(log.take().is_empty());
    }

    #[test]
    fn every_block_is_new_once() {
        let mut seen = Seen::default();
        assert!([0, 63, 64, 1 << 40].into_iter().all(|block| seen.add(block)));
        assert!(![0, 63, 64, 1 << 40].into_iter().any(|block| seen.add(block)));
    }
}
