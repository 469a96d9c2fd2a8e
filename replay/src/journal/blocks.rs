//! What the machine's disks had where it first read them: a recording is whole without the images.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Seek};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::JournalError;
use super::chunk::ChunkReader;
use super::scan::{self, ChunkSpan, Found, Known};
use crate::digest::Digest;

/// Bytes of a disk block; the last one of a disk is filled up with zeros.
pub const BLOCK_SIZE: usize = 4096;

/// Most blocks in one message: 1 MiB of contents.
pub const BLOCKS_LIMIT: u64 = 256;

/// Most blocks of zeros, or of none that could be read, in one message.
pub const EMPTY_LIMIT: u64 = 1 << 32;

/// Name of a disk's channel without the disk's number.
pub const CHANNEL_DISK: &str = "disk";

/// Bytes of decoded blocks that are kept: a guest comes back to what it has read shortly before, or to what is near it.
const RECENT: usize = 32 << 20;

/// Blocks in a row as a disk's image had them when the machine first read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRun {
    /// Number of the first block.
    pub first: u64,
    /// What is known of it and of those after it.
    pub contents: Contents,
}

/// What is known of blocks in a row. The encoding is part of the recording format: variants are only added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Contents {
    /// So many blocks of zeros.
    Zeros(u64),
    /// The blocks' bytes.
    Bytes(Blob),
    /// The blocks' hashes: whoever replays has to bring the image.
    Hashes(Vec<Digest>),
    /// So many blocks that the host could not read; the guest was told of a bad medium.
    Unreadable(u64),
}

/// Bytes that are encoded in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Blob, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Blob(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

impl BlockRun {
    /// How many blocks it is of.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        match &self.contents {
            Contents::Zeros(count) | Contents::Unreadable(count) => *count,
            Contents::Bytes(bytes) => (bytes.0.len() / BLOCK_SIZE) as u64,
            Contents::Hashes(hashes) => hashes.len() as u64,
        }
    }

    /// Bytes of memory it takes, and roughly of the journal.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>()
            + match &self.contents {
                Contents::Bytes(bytes) => bytes.0.len(),
                Contents::Hashes(hashes) => size_of_val(&hashes[..]),
                Contents::Zeros(_) | Contents::Unreadable(_) => 0,
            }
    }

    /// Whether it is one that a recording can have; what is wrong if not.
    pub(super) fn check(&self) -> Result<(), String> {
        let limit = match &self.contents {
            Contents::Zeros(_) | Contents::Unreadable(_) => EMPTY_LIMIT,
            Contents::Bytes(bytes) if !bytes.0.len().is_multiple_of(BLOCK_SIZE) => {
                return Err(format!("{} bytes of disk blocks", bytes.0.len()));
            }
            Contents::Bytes(_) | Contents::Hashes(_) => BLOCKS_LIMIT,
        };
        let blocks = self.blocks();
        if blocks == 0 || blocks > limit || self.first.checked_add(blocks).is_none() {
            return Err(format!("{blocks} disk blocks from {} on in one message", self.first));
        }
        Ok(())
    }
}

/// What a recording has of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlockTotals {
    /// Blocks whose bytes it has, zeros excepted.
    pub embedded: u64,
    /// Blocks of zeros.
    pub zeros: u64,
    /// Blocks of which it has only hashes.
    pub hashed: u64,
    /// Blocks that could not be read.
    pub unreadable: u64,
}

/// Where the blocks of all disks are in a recording.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    disks: BTreeMap<u32, Disk>,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    /// By number of the first block.
    runs: BTreeMap<u64, Place>,
    totals: BlockTotals,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    blocks: u64,
    chunk: usize,
    /// The message's number, as entries have them.
    number: u64,
}

impl Index {
    pub(super) fn add(&mut self, chunk: usize, number: u64, disk: u32, run: &BlockRun) {
        let disk = self.disks.entry(disk).or_default();
        let blocks = run.blocks();
        let total = match run.contents {
            Contents::Zeros(_) => &mut disk.totals.zeros,
            Contents::Bytes(_) => &mut disk.totals.embedded,
            Contents::Hashes(_) => &mut disk.totals.hashed,
            Contents::Unreadable(_) => &mut disk.totals.unreadable,
        };
        *total = total.saturating_add(blocks);
        disk.runs.entry(run.first).or_insert(Place { blocks, chunk, number });
    }

    pub(super) fn totals(&self, disk: u32) -> BlockTotals {
        self.disks.get(&disk).map_or_else(BlockTotals::default, |disk| disk.totals)
    }

    /// The place of the run that has `block`.
    fn find(&self, disk: u32, block: u64) -> Option<Place> {
        let (first, place) = self.disks.get(&disk)?.runs.range(..=block).next_back()?;
        (block - first < place.blocks).then_some(*place)
    }
}

/// A block in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    /// Zeros.
    Zeros,
    /// These bytes.
    Bytes(&'a [u8; BLOCK_SIZE]),
    /// Whatever has this hash.
    Hash(Digest),
    /// The host could not read it.
    Unreadable,
    /// The recording does not have it: the machine did not read it there.
    Missing,
}

/// Gives the blocks of a recording, in any order. It reads the file beside the recording's other reader.
pub struct Blocks<R> {
    index: Arc<Index>,
    decoder: Decoder<R>,
    /// Chunks decoded.
    recent: BTreeMap<usize, Decoded>,
    /// Their numbers, the oldest first.
    ages: VecDeque<usize>,
    /// Bytes of blocks in them.
    bytes: usize,
}

/// Decodes chunks, for [`Blocks`] or beside them.
pub struct Decoder<R> {
    source: Arc<Mutex<R>>,
    chunks: Arc<Vec<ChunkSpan>>,
    known: Known,
    reader: ChunkReader,
}

/// A chunk decoded: its runs by their messages' numbers.
#[derive(Debug, Default)]
pub struct Decoded(BTreeMap<u64, BlockRun>);

impl<R: Read + Seek> Blocks<R> {
    pub(super) fn new(
        source: Arc<Mutex<R>>,
        index: Arc<Index>,
        chunks: Arc<Vec<ChunkSpan>>,
        known: Known,
    ) -> Self {
        let decoder = Decoder { source, chunks, known, reader: ChunkReader::default() };
        Self { index, decoder, recent: BTreeMap::new(), ages: VecDeque::new(), bytes: 0 }
    }

    /// Another decoder of the same chunks.
    #[must_use]
    pub fn decoder(&self) -> Decoder<R> {
        let Decoder { source, chunks, known, .. } = &self.decoder;
        let (source, chunks, known) = (Arc::clone(source), Arc::clone(chunks), known.clone());
        Decoder { source, chunks, known, reader: ChunkReader::default() }
    }

    /// How many chunks there are.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.decoder.chunks.len()
    }

    /// Number of the chunk with block number `block` of disk number `disk`; none if the recording does not have it.
    #[must_use]
    pub fn chunk_of(&self, disk: u32, block: u64) -> Option<usize> {
        self.index.find(disk, block).map(|place| place.chunk)
    }

    /// Whether chunk `n` need not be decoded.
    #[must_use]
    pub fn has(&self, n: usize) -> bool {
        self.recent.contains_key(&n)
    }

    /// Takes over chunk `n`, which a [`decoder`](Self::decoder) of this recording has decoded.
    pub fn put(&mut self, n: usize, decoded: Decoded) {
        self.bytes += decoded.bytes();
        if let Some(old) = self.recent.insert(n, decoded) {
            self.bytes -= old.bytes();
            return;
        }
        self.ages.push_back(n);
        while self.bytes > RECENT
            && self.ages.len() > 1
            && let Some(oldest) = self.ages.pop_front()
        {
            self.bytes -= self.recent.remove(&oldest).as_ref().map_or(0, Decoded::bytes);
        }
    }

    /// Block number `block` of disk number `disk`.
    ///
    /// # Errors
    /// The file cannot be read, or has changed since it was opened.
    pub fn get(&mut self, disk: u32, block: u64) -> Result<Block<'_>, JournalError> {
        let Some(place) = self.index.find(disk, block) else { return Ok(Block::Missing) };
        let Some(run) = self.chunk(place.chunk)?.0.get(&place.number) else { return Ok(Block::Missing) };
        let nth = (block - run.first) as usize;
        Ok(match &run.contents {
            Contents::Zeros(_) => Block::Zeros,
            Contents::Unreadable(_) => Block::Unreadable,
            Contents::Bytes(bytes) => {
                bytes.0.as_chunks::<BLOCK_SIZE>().0.get(nth).map_or(Block::Missing, Block::Bytes)
            }
            Contents::Hashes(hashes) => hashes.get(nth).map_or(Block::Missing, |hash| Block::Hash(*hash)),
        })
    }

    /// Hands every run to `each`, in the order they were recorded in.
    ///
    /// # Errors
    /// As [`Blocks::get`]; or `each` fails.
    pub fn each<E: From<JournalError>>(
        &mut self,
        mut each: impl FnMut(u32, BlockRun) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut places: Vec<(usize, u64, u32)> = Vec::new();
        for (disk, of) in &self.index.disks {
            places.extend(of.runs.values().map(|place| (place.chunk, place.number, *disk)));
        }
        places.sort_unstable();
        for (chunk, number, disk) in places {
            if let Some(run) = self.chunk(chunk)?.0.get(&number) {
                each(disk, run.clone())?;
            }
        }
        Ok(())
    }

    /// Chunk `n`, decoded now if need be.
    fn chunk(&mut self, n: usize) -> Result<&Decoded, JournalError> {
        if !self.has(n) {
            let decoded = self.decoder.decode(n)?;
            self.put(n, decoded);
        }
        Ok(self.recent.entry(n).or_default())
    }
}

impl<R: Read + Seek> Decoder<R> {
    /// Decodes chunk `n`; nothing if there is none.
    ///
    /// # Errors
    /// The file cannot be read, or has changed since it was opened.
    pub fn decode(&mut self, n: usize) -> Result<Decoded, JournalError> {
        let mut runs = BTreeMap::new();
        let Some(span) = self.chunks.get(n) else { return Ok(Decoded(runs)) };
        let changed = |what: String| JournalError::Damaged { offset: span.frame.offset, what };
        let record = {
            let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
            scan::read_record(&mut *source, span.frame).map_err(JournalError::Read)?
        };
        let items = self.reader.read(&record).map_err(changed)?;
        let take = |found| {
            if let Found::Blocks { number, run, .. } = found {
                runs.insert(number, run);
            }
        };
        self.known.before(span).take_items(items, take).map_err(changed)?;
        Ok(Decoded(runs))
    }
}

impl Decoded {
    /// Bytes of blocks in it.
    fn bytes(&self) -> usize {
        self.0.values().map(BlockRun::weight).sum()
    }
}

/// Number of the disk whose channel is called `name`.
pub(super) fn disk_of(name: &str) -> Option<u32> {
    let number = name.strip_prefix(CHANNEL_DISK)?;
    number.parse().ok().filter(|disk: &u32| disk.to_string() == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn runs_come_back_and_nonsense_is_refused() {
        let bytes = Contents::Bytes(Blob(vec![7; 2 * BLOCK_SIZE]));
        for contents in [bytes, Contents::Zeros(3), Contents::Hashes(vec![Digest::of(b"x")])] {
            let run = BlockRun { first: 9, contents };
            let coded = codec::to_bytes(&run).unwrap();
            assert_eq!(codec::from_bytes::<BlockRun>(&coded).unwrap(), run);
            assert_eq!(run.check(), Ok(()));
        }
        for bad in [
            BlockRun { first: 0, contents: Contents::Bytes(Blob(vec![0; 100])) },
            BlockRun { first: 0, contents: Contents::Zeros(0) },
            BlockRun { first: u64::MAX, contents: Contents::Zeros(2) },
            BlockRun { first: 0, contents: Contents::Unreadable(u64::MAX) },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_numbers_name_disks() {
        assert_eq!(disk_of("disk0"), Some(0));
        assert_eq!(disk_of("disk17"), Some(17));
        for name in ["disk", "disk01", "disk-1", "serial0", "diskette"] {
            assert_eq!(disk_of(name), None, "{name}");
        }
    }
}
