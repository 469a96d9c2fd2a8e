//! What a machine reads of its images for the first time, on its way into the recording.

use super::ahead::Ahead;
use super::base::OfImage;
use crate::host::image::Image;
use rrvmm_replay::Digest;
use rrvmm_replay::journal::{
    BLOCK_SIZE, BLOCKS_LIMIT, Blob, BlockRun, Contents, EMPTY_LIMIT, JournalError, Reads,
};
use rrvmm_replay::seam::FirstReads;
use std::sync::{Arc, Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

/// A run of blocks of an image as they were read.
struct Run {
    disk: u32,
    image: Arc<Image>,
    first: u64,
    noted: Noted,
}

/// What is known of blocks in a row until they are written.
enum Noted {
    Zeros(u64),
    /// What they hash to: they are read again, since copies of all that a guest reads would take memory and its time.
    Bytes(Vec<u64>),
    Hashes(Vec<Digest>),
    Unreadable(u64),
}

impl Run {
    fn blocks(&self) -> u64 {
        match &self.noted {
            Noted::Zeros(count) | Noted::Unreadable(count) => *count,
            Noted::Bytes(hashes) => hashes.len() as u64,
            Noted::Hashes(hashes) => hashes.len() as u64,
        }
    }

    /// The run as a recording has it.
    fn fetch(self) -> Result<(u32, BlockRun), JournalError> {
        let contents = match self.noted {
            Noted::Zeros(count) => Contents::Zeros(count),
            Noted::Unreadable(count) => Contents::Unreadable(count),
            Noted::Hashes(hashes) => Contents::Hashes(hashes),
            Noted::Bytes(hashes) => {
                let mut bytes = vec![0; hashes.len() * BLOCK_SIZE];
                let changed = |block, source| JournalError::Changed {
                    disk: self.disk,
                    block: self.first + block,
                    source,
                };
                let read = self.image.read(self.first * BLOCK_SIZE as u64, &mut bytes);
                read.map_err(|source| changed(0, Some(source)))?;
                let mut blocks = bytes.chunks_exact(BLOCK_SIZE).zip(&hashes);
                if let Some(block) = blocks.position(|(bytes, hash)| xxh3_64(bytes) != *hash) {
                    return Err(changed(block as u64, None));
                }
                Contents::Bytes(Blob(bytes))
            }
        };
        Ok((self.disk, BlockRun { first: self.first, contents }))
    }
}

/// Where what was read waits for the recording. Clones are the same place.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<Run>>>);

impl Log {
    /// Adds block `block` of an image, of which `bytes` were read, or which could not be read.
    pub(super) fn add(&self, of: &OfImage, block: u64, bytes: Option<&[u8]>) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The latest run goes on if it is of the same kind.
        let last = runs.last_mut().filter(|run| run.disk == of.disk && run.first + run.blocks() == block);
        let last = last.map(|run| &mut run.noted);
        let noted = match (bytes, last) {
            (None, Some(Noted::Unreadable(count))) if *count < EMPTY_LIMIT => return *count += 1,
            (None, _) => Noted::Unreadable(1),
            (Some(bytes), last) if is_zero(bytes) => match last {
                Some(Noted::Zeros(count)) if *count < EMPTY_LIMIT => return *count += 1,
                _ => Noted::Zeros(1),
            },
            (Some(bytes), Some(Noted::Bytes(hashes))) if of.embed && hashes.len() < LIMIT => {
                return hashes.push(xxh3_64(bytes));
            }
            (Some(bytes), _) if of.embed => Noted::Bytes(vec![xxh3_64(bytes)]),
            (Some(bytes), Some(Noted::Hashes(hashes))) if (hashes.len() as u64) < BLOCKS_LIMIT => {
                return hashes.push(Digest::of(bytes));
            }
            (Some(bytes), _) => Noted::Hashes(vec![Digest::of(bytes)]),
        };
        runs.push(Run { disk: of.disk, image: Arc::clone(&of.image), first: block, noted });
    }

    fn take(&self) -> Vec<Run> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Blocks in a run that is full: as many as a chunk of the recording has, which is decoded for each of its blocks.
const LIMIT: usize = 16;

/// Runs that do not wait for an event: about a megabyte.
const MUCH: usize = 16;

fn is_zero(bytes: &[u8]) -> bool {
    let (pieces, rest) = bytes.as_chunks::<64>();
    pieces.iter().all(|piece| piece.iter().fold(0, |any, byte| any | byte) == 0)
        && rest.iter().all(|b| *b == 0)
}

impl FirstReads for Log {
    fn is_much(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() > MUCH
    }

    fn drain(&mut self, each: &mut dyn FnMut(Reads) -> Result<(), JournalError>) -> Result<(), JournalError> {
        let taken = self.take();
        if taken.is_empty() {
            return Ok(());
        }
        let bytes = |run: &Run| match &run.noted {
            Noted::Bytes(hashes) => hashes.len() * BLOCK_SIZE,
            Noted::Zeros(_) | Noted::Hashes(_) | Noted::Unreadable(_) => 0,
        };
        each(Reads::Later {
            runs: taken.len() as u64,
            bytes: taken.iter().map(bytes).sum(),
            fetch: Box::new(|each| {
                taken.into_iter().try_for_each(|run| {
                    let (disk, run) = run.fetch()?;
                    each(disk, &run)
                })
            }),
        })
    }
}

/// First what an earlier recording has, then what is read.
pub(super) struct Continued<R> {
    /// The earlier recording, until it was handed over.
    pub(super) earlier: Option<Arc<Mutex<Ahead<R>>>>,
    pub(super) log: Log,
}

impl<R: std::io::Read + std::io::Seek + Send + 'static> FirstReads for Continued<R> {
    fn is_much(&self) -> bool {
        self.log.is_much()
    }

    fn drain(&mut self, each: &mut dyn FnMut(Reads) -> Result<(), JournalError>) -> Result<(), JournalError> {
        if let Some(earlier) = self.earlier.take() {
            let mut earlier = earlier.lock().unwrap_or_else(PoisonError::into_inner);
            earlier.blocks().each(|disk, run| each(Reads::Run(disk, run)))?;
        }
        self.log.drain(each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: usize = 16;

    /// An image whose blocks are all ones, those of an even number all zeros.
    fn image(directory: &std::path::Path) -> OfImage {
        let path = directory.join("image");
        let bytes: Vec<u8> = (0..BLOCKS * BLOCK_SIZE).map(|at| (at / BLOCK_SIZE % 4 / 2) as u8).collect();
        std::fs::write(&path, bytes).unwrap();
        OfImage::new(3, Arc::new(Image::open(&path, None).unwrap()), true, None)
    }

    fn add(log: &Log, of: &OfImage, blocks: &[u64]) {
        for block in blocks {
            let mut bytes = vec![0; BLOCK_SIZE];
            of.image.read(block * BLOCK_SIZE as u64, &mut bytes).unwrap();
            log.add(of, *block, Some(&bytes));
        }
    }

    fn drained(log: &mut Log) -> Result<Vec<(u64, Contents)>, JournalError> {
        let mut seen = Vec::new();
        log.drain(&mut |reads| match reads {
            Reads::Run(..) => panic!("read from no recording"),
            Reads::Later { runs, fetch, .. } => {
                fetch(&mut |disk, run| {
                    assert_eq!(disk, 3);
                    seen.push((run.first, run.contents.clone()));
                    Ok(())
                })?;
                assert_eq!(runs, seen.len() as u64);
                Ok(())
            }
        })?;
        Ok(seen)
    }

    #[test]
    fn blocks_in_a_row_become_one_run() {
        let directory = tempfile::tempdir().unwrap();
        let (mut of, mut log) = (image(directory.path()), Log::default());
        add(&log, &of, &[2, 3, 4, 5, 9, 10]);
        log.add(&of, 11, None);
        log.add(&of, 12, None);
        of.embed = false;
        add(&log, &of, &[6, 7]);
        let bytes = |blocks: usize| Contents::Bytes(Blob(vec![1; blocks * BLOCK_SIZE]));
        let hash = Digest::of(&[1; BLOCK_SIZE]);
        let expected = [
            (2, bytes(2)),
            (4, Contents::Zeros(2)),
            (9, Contents::Zeros(1)),
            (10, bytes(1)),
            (11, Contents::Unreadable(2)),
            (6, Contents::Hashes(vec![hash; 2])),
        ];
        assert_eq!(drained(&mut log).unwrap(), expected);
        assert_eq!(drained(&mut log).unwrap(), []);
    }

    #[test]
    fn an_image_that_changes_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let (of, mut log) = (image(directory.path()), Log::default());
        add(&log, &of, &[2, 3]);
        let mut bytes = std::fs::read(of.image.path()).unwrap();
        bytes[3 * BLOCK_SIZE + 5] = 9;
        std::fs::write(of.image.path(), bytes).unwrap();
        let error = drained(&mut log).unwrap_err();
        assert!(matches!(error, JournalError::Changed { disk: 3, block: 3, source: None }), "{error}");
    }
}
