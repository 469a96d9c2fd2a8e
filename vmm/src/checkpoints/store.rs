//! The checkpoints of one recording in a database on disk.

use super::error::Fault;
use super::tables::{
    BLOCK, BLOCKS, CHUNK, CHUNKS, HEAD, Place, Places, RECORDS, Record, TABLE, TABLES, VERSION, decode,
    decode_places, encode, encode_identity, encode_places, seal, unseal,
};
use crate::machine::{Page, Pages, Snapshot};
use crate::memory::PAGE_SIZE;
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};
use rrvmm_replay::{Digest, Position, Stamp, VirtualTime};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Name of the database in the cache's directory.
pub(super) const FILE: &str = "checkpoints.redb";
/// Bytes of the database that redb keeps in memory: each value is read and written once.
const CACHE: usize = 8 << 20;
/// Zstandard's level: the fastest that is still worth it.
const LEVEL: i32 = -1;

/// An open database.
pub(super) struct Store {
    database: Database,
    /// Most bytes in it.
    budget: u64,
    /// The checkpoint last written or read, with what its pages' places are.
    base: Option<Base>,
}

struct Base {
    position: Position,
    /// RAM and disks in one, see [`Record::chunks`].
    pages: Pages,
    chunks: BTreeMap<u64, u64>,
    places: BTreeMap<u64, Places>,
}

impl Store {
    /// Whether there is one in `directory`.
    pub(super) fn is_in(directory: &Path) -> bool {
        directory.join(FILE).exists()
    }

    /// Opens the one in `directory`, or makes it.
    pub(super) fn open(directory: &Path, recording: Digest, budget: u64) -> Result<Self, Fault> {
        if !directory.exists() {
            std::fs::DirBuilder::new().mode(0o700).create(directory).map_err(Fault::Host)?;
        }
        let path = directory.join(FILE);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let backend = FileBackend::new(file.map_err(Fault::Host)?)?;
        let database = redb::Builder::new().set_cache_size(CACHE).create_with_backend(backend)?;
        let write = database.begin_write()?;
        {
            let mut head = write.open_table(HEAD)?;
            let recording = encode_identity(recording);
            let (version, known) = (value(&head, "version")?, value(&head, "recording")?);
            match (version, known) {
                (None, None) => {
                    head.insert("version", VERSION.as_bytes())?;
                    head.insert("recording", &*recording)?;
                }
                (Some(version), _) if version != VERSION.as_bytes() => return Err(Fault::Version),
                (_, Some(known)) if known != recording => return Err(Fault::Foreign),
                (Some(_), Some(_)) => {}
                (None, Some(_)) | (Some(_), None) => return Err(Fault::damaged("no version")),
            }
        }
        // Here and below no table is open while another is opened: over a damaged database that may panic, and closing the
        // first would do so again, which ends the process.
        write.open_table(RECORDS)?;
        write.open_table(CHUNKS)?;
        write.open_table(BLOCKS)?;
        write.commit()?;
        Ok(Self { database, budget, base: None })
    }

    /// When and where its checkpoints are.
    pub(super) fn moments(&self) -> Result<BTreeMap<Position, VirtualTime>, Fault> {
        let read = self.database.begin_read()?;
        let records = read.open_table(RECORDS)?;
        let mut moments = BTreeMap::new();
        for record in records.iter()? {
            let (position, record) = record?;
            let record: Record = decode(record.value())?;
            moments.insert(Position::from_count(position.value()), record.time);
        }
        Ok(moments)
    }

    /// Takes the state of a machine's first arrival at `at`, unless `stop` becomes true meanwhile. Whether it did.
    pub(super) fn keep(
        &mut self,
        at: Stamp,
        events: u64,
        state: &Snapshot,
        stop: &AtomicBool,
    ) -> Result<bool, Fault> {
        let mut base = self.base_near(at.position)?;
        let write = self.database.begin_write()?;
        let mut counts = Counts::read(&write)?;
        let pages = in_one(state);
        let changed = changed_pages(&base, &pages);
        let mut touched: BTreeMap<usize, Places> = BTreeMap::new();
        for (page, place) in store_blocks(&write, &mut counts, &changed, stop)? {
            let chunk = touched.entry(page / CHUNK).or_insert_with(|| base.places_of(page / CHUNK));
            chunk[page % CHUNK] = place;
        }
        if stop.load(Ordering::Relaxed) {
            write.abort()?;
            return Ok(false);
        }
        {
            let mut chunks = write.open_table(CHUNKS)?;
            for (n, places) in touched {
                let number = counts.number();
                base.chunks.insert(n as u64, number);
                let value = seal(&encode_places(&places));
                counts.bytes += value.len() as u64;
                chunks.insert(number, &*value)?;
                base.places.insert(number, places);
            }
        }
        {
            let disks = state.disks().len() as u32;
            let (core, chunks) = (state.core().clone(), base.chunks.clone());
            let record = Record { time: at.time, events, core, disks, chunks };
            let value = encode(&record)?;
            counts.bytes += value.len() as u64;
            write.open_table(RECORDS)?.insert(at.position.count(), &*value)?;
        }
        counts.write(&write)?;
        write.commit()?;
        base.keep_only_own_places();
        (base.position, base.pages) = (at.position, pages);
        self.base = Some(base);
        if counts.bytes > self.budget {
            self.thin()?;
        }
        Ok(true)
    }

    /// The state at `at` and the number of events before it.
    pub(super) fn load(&mut self, at: Position) -> Result<(Snapshot, u64), Fault> {
        let read = self.database.begin_read()?;
        let missing = || Fault::damaged("a checkpoint is missing");
        let record: Record = decode(read.open_table(RECORDS)?.get(at.count())?.ok_or_else(missing)?.value())?;
        let old = self.base.take().unwrap_or_else(Base::nothing);
        let chunks = read.open_table(CHUNKS)?;
        let mut places = BTreeMap::new();
        let mut pages = Pages::default();
        // What has to be read, by block.
        let mut wanted: BTreeMap<u64, Vec<(usize, usize)>> = BTreeMap::new();
        for (&at, &number) in &record.chunks {
            let n = at as usize;
            if old.chunks.get(&at) == Some(&number) {
                pages.share_chunk(n, &old.pages);
                places.insert(number, old.places_of(n));
                continue;
            }
            let now = decode_places(unseal(chunks.get(number)?.ok_or_else(missing)?.value())?)?;
            let before = old.places_of(n);
            for (i, place) in now.iter().enumerate() {
                let page = n * CHUNK + i;
                match place.get() {
                    Some(_) if before[i] == *place => pages.put(page, old.pages.page(page).cloned()),
                    Some((block, slot)) => wanted.entry(block).or_default().push((page, slot)),
                    None => {}
                }
            }
            places.insert(number, now);
        }
        let blocks = read.open_table(BLOCKS)?;
        for (number, of) in wanted {
            let bytes = unpack(unseal(blocks.get(number)?.ok_or_else(missing)?.value())?)?;
            for (page, slot) in of {
                let bytes = bytes.get(slot).ok_or_else(|| Fault::damaged("a block is short"))?;
                pages.put(page, Some(Page::new(bytes)));
            }
        }
        if record.disks > TABLES {
            return Err(Fault::damaged("a number of disks"));
        }
        let disk = |n: usize| pages.part((n + 1) * TABLE..(n + 2) * TABLE);
        let disks = (0..record.disks as usize).map(disk).collect();
        let snapshot = Snapshot::at_digest(record.core, pages.part(0..TABLE), disks);
        self.base = Some(Base { position: at, pages, chunks: record.chunks, places });
        Ok((snapshot, record.events))
    }

    /// Forgets the one at `at`.
    pub(super) fn remove(&mut self, at: Position) -> Result<(), Fault> {
        let write = self.database.begin_write()?;
        write.open_table(RECORDS)?.remove(at.count())?;
        write.commit()?;
        Ok(())
    }

    /// Bytes of all values.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> Result<u64, Fault> {
        let write = self.database.begin_write()?;
        let bytes = Counts::read(&write)?.bytes;
        write.abort()?;
        Ok(bytes)
    }

    /// What the next checkpoint is described by its difference to: the last one in hand, or the nearest.
    fn base_near(&mut self, at: Position) -> Result<Base, Fault> {
        if self.base.is_none() {
            let nearest = {
                let read = self.database.begin_read()?;
                let records = read.open_table(RECORDS)?;
                records.range(..=at.count())?.next_back().transpose()?.map(|(position, _)| position.value())
            };
            if let Some(position) = nearest {
                self.load(Position::from_count(position))?;
            }
        }
        Ok(self.base.take().unwrap_or_else(Base::nothing))
    }

    /// Drops every second checkpoint, those with the nearest neighbours first, until three quarters of the budget do.
    fn thin(&mut self) -> Result<(), Fault> {
        loop {
            let write = self.database.begin_write()?;
            let mut left = true;
            {
                let mut records = write.open_table(RECORDS)?;
                let mut positions = vec![0];
                for record in records.iter()? {
                    positions.push(record?.0.value());
                }
                // The last one is where a recording that goes on needs one.
                let mut gaps: Vec<(u64, u64)> = positions.windows(3).map(|w| (w[2] - w[0], w[1])).collect();
                gaps.sort_unstable();
                gaps.truncate(gaps.len().div_ceil(4));
                left &= !gaps.is_empty();
                for (_, position) in gaps {
                    records.remove(position)?;
                    if self.base.as_ref().is_some_and(|base| base.position.count() == position) {
                        self.base = None;
                    }
                }
            }
            let bytes = sweep(&write)?;
            let counts = Counts { bytes, ..Counts::read(&write)? };
            counts.write(&write)?;
            write.commit()?;
            if !left || bytes <= self.budget / 4 * 3 {
                return Ok(());
            }
        }
    }
}

impl Base {
    fn nothing() -> Self {
        Self {
            position: Position::START,
            pages: Pages::default(),
            chunks: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// Where the pages of chunk `n` are.
    fn places_of(&self, n: usize) -> Places {
        let number = self.chunks.get(&(n as u64)).copied().unwrap_or(0);
        self.places.get(&number).copied().unwrap_or([Place::ZEROS; CHUNK])
    }

    fn keep_only_own_places(&mut self) {
        let own: BTreeSet<u64> = self.chunks.values().copied().collect();
        self.places.retain(|number, _| own.contains(number));
    }
}

/// The free numbers and the size of everything.
struct Counts {
    next: u64,
    bytes: u64,
}

impl Counts {
    fn read(write: &WriteTransaction) -> Result<Self, Fault> {
        let head = write.open_table(HEAD)?;
        let number = |name| -> Result<u64, Fault> {
            let bytes = value(&head, name)?.unwrap_or_else(|| vec![0; 8]);
            bytes.try_into().map(u64::from_le_bytes).map_err(|_| Fault::damaged(name))
        };
        Ok(Self { next: number("next")?.max(1), bytes: number("bytes")? })
    }

    fn write(&self, write: &WriteTransaction) -> Result<(), Fault> {
        let mut head = write.open_table(HEAD)?;
        head.insert("next", &self.next.to_le_bytes()[..])?;
        head.insert("bytes", &self.bytes.to_le_bytes()[..])?;
        Ok(())
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}

fn value(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &'static str,
) -> Result<Option<Vec<u8>>, Fault> {
    Ok(table.get(name)?.map(|value| value.value().to_vec()))
}

/// RAM and disks in one table.
fn in_one(state: &Snapshot) -> Pages {
    let mut pages = state.pages().clone();
    for (n, disk) in state.disks().iter().enumerate() {
        pages.take_shifted(disk, (n + 1) * TABLE);
    }
    pages
}

/// The pages in which `pages` differs from `base`, with their bytes; none for zeros.
fn changed_pages<'a>(base: &Base, pages: &'a Pages) -> Vec<(usize, Option<&'a Page>)> {
    let differing = base.pages.differing(pages).filter(|page| base.pages.page(*page) != pages.page(*page));
    differing.map(|page| (page, pages.page(page))).collect()
}

/// Writes pages into blocks of their own, until `stop`; gives their places.
fn store_blocks(
    write: &WriteTransaction,
    counts: &mut Counts,
    changed: &[(usize, Option<&Page>)],
    stop: &AtomicBool,
) -> Result<Vec<(usize, Place)>, Fault> {
    let mut blocks = write.open_table(BLOCKS)?;
    let mut places: Vec<(usize, Place)> =
        changed.iter().filter(|(_, bytes)| bytes.is_none()).map(|(page, _)| (*page, Place::ZEROS)).collect();
    let filled: Vec<(usize, &Page)> =
        changed.iter().filter_map(|(page, bytes)| bytes.map(|bytes| (*page, bytes))).collect();
    let mut pack = zstd::bulk::Compressor::new(LEVEL).map_err(Fault::Host)?;
    let mut raw = Vec::with_capacity(BLOCK * PAGE_SIZE);
    for of in filled.chunks(BLOCK) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        raw.clear();
        of.iter().for_each(|(_, bytes)| raw.extend_from_slice(&bytes[..]));
        let value = seal(&pack.compress(&raw).map_err(Fault::Host)?);
        let number = counts.number();
        counts.bytes += value.len() as u64;
        blocks.insert(number, &*value)?;
        places.extend(of.iter().enumerate().map(|(slot, (page, _))| (*page, Place::new(number, slot))));
    }
    Ok(places)
}

/// The pages of a block.
fn unpack(packed: &[u8]) -> Result<Vec<[u8; PAGE_SIZE]>, Fault> {
    let bytes = zstd::bulk::decompress(packed, BLOCK * PAGE_SIZE).map_err(Fault::damaged)?;
    let (pages, []) = bytes.as_chunks::<PAGE_SIZE>() else { return Err(Fault::damaged("a block")) };
    Ok(pages.to_vec())
}

/// Drops what no checkpoint needs; gives the bytes of what is left.
fn sweep(write: &WriteTransaction) -> Result<u64, Fault> {
    let mut bytes = 0;
    let mut live_chunks = BTreeSet::new();
    for record in write.open_table(RECORDS)?.iter()? {
        let (_, value) = record?;
        bytes += value.value().len() as u64;
        live_chunks.extend(decode::<Record>(value.value())?.chunks.into_values());
    }
    let mut live_blocks = BTreeSet::new();
    {
        let mut chunks = write.open_table(CHUNKS)?;
        chunks.retain(|number, _| live_chunks.contains(&number))?;
        for chunk in chunks.iter()? {
            let (_, value) = chunk?;
            bytes += value.value().len() as u64;
            let places = decode_places(unseal(value.value())?)?;
            live_blocks.extend(places.iter().filter_map(|place| place.get()).map(|(block, _)| block));
        }
    }
    let mut blocks = write.open_table(BLOCKS)?;
    blocks.retain(|number, _| live_blocks.contains(&number))?;
    for block in blocks.iter()? {
        bytes += block?.1.value().len() as u64;
    }
    Ok(bytes)
}
