use std::collections::VecDeque;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mcap::records::Record;

use super::attachment::Span;
use super::blocks::{BlockTotals, Blocks, Index};
use super::chunk::ChunkReader;
use super::frame::{self, Frame, Framed, op};
use super::scan::{self, ChunkSpan, Found, Known};
use super::{
    Entry, FORMAT_VERSION, JournalError, MANIFEST_LIMIT, METADATA_MANIFEST, METADATA_NAME, METADATA_VERSION,
    Manifest, PROFILE, Summary,
};
use crate::digest::Digest;

/// Reads a recording: its manifest, its attachments, and its entries one chunk at a time.
pub struct JournalReader<R> {
    source: Arc<Mutex<R>>,
    version: u32,
    manifest: Manifest,
    attachments: Vec<Span>,
    chunks: Arc<Vec<ChunkSpan>>,
    blocks: Arc<Index>,
    known: Known,
    chunk_reader: ChunkReader,
    /// Index of the chunk after the one in `pending`.
    next_chunk: usize,
    pending: VecDeque<Entry>,
}

impl<R: Read + Seek> JournalReader<R> {
    /// Opens a recording and checks it whole, attachments excepted (those are checked when they are read).
    ///
    /// A recording whose tail is missing or damaged opens, and says so in its [`Summary::cut`].
    ///
    /// # Errors
    /// When the file is not a recording, is of a later version, or has nothing that can be replayed.
    pub fn open(mut source: R) -> Result<Self, JournalError> {
        let Beginning { file_length, version, manifest, digest, end } = read_beginning(&mut source)?;
        let scan = scan::scan(&mut source, end, file_length, digest)?;
        for info in &manifest.attachments {
            let present =
                scan.attachments.iter().any(|span| span.name == info.name && span.length == info.length);
            if !present {
                return Err(attachment_error(&info.name, "it is not there whole"));
            }
        }
        Ok(Self {
            source: Arc::new(Mutex::new(source)),
            version,
            manifest,
            attachments: scan.attachments,
            chunks: Arc::new(scan.chunks),
            blocks: Arc::new(scan.blocks),
            known: scan.known,
            chunk_reader: scan.reader,
            next_chunk: 0,
            pending: VecDeque::new(),
        })
    }

    /// The manifest of a recording, which is in its beginning: nothing behind it is read or checked.
    ///
    /// # Errors
    /// When the file is not a recording or is of a later version.
    pub fn manifest_of(source: &mut R) -> Result<Manifest, JournalError> {
        Ok(read_beginning(source)?.manifest)
    }

    /// The format version it was written in.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What the recording is of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the recording has.
    pub fn summary(&self) -> &Summary {
        &self.known.summary
    }

    /// Names of the sources that the recording has channels for.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        let own =
            [super::CHANNEL_MANIFEST, super::CHANNEL_DIGEST, super::CHANNEL_LANDMARK, super::CHANNEL_END];
        let names = self.known.channels.values().map(String::as_str);
        names.filter(move |name| !own.contains(name) && super::blocks::disk_of(name).is_none())
    }

    /// The bytes of an attachment, checked against the manifest; none if the manifest lists no such file.
    ///
    /// # Errors
    /// The file cannot be read, or its bytes are not those that were recorded.
    pub fn attachment(&mut self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let Some(info) = self.manifest.attachments.iter().find(|info| info.name == name) else {
            return Ok(None);
        };
        let span = self.attachments.iter().find(|span| span.name == name && span.length == info.length);
        let Some(span) = span else { return Err(attachment_error(name, "it is not there whole")) };
        let data =
            frame::read_at(&mut *self.source(), span.offset, span.length).map_err(JournalError::Read)?;
        if Digest::of(&data) != info.digest {
            return Err(attachment_error(name, "its bytes have changed"));
        }
        Ok(Some(data))
    }

    /// The disks' blocks in it.
    pub fn blocks(&self) -> Blocks<R> {
        let (index, chunks) = (Arc::clone(&self.blocks), Arc::clone(&self.chunks));
        Blocks::new(Arc::clone(&self.source), index, chunks, self.known.clone())
    }

    /// What it has of disk number `disk`.
    pub fn block_totals(&self, disk: u32) -> BlockTotals {
        self.blocks.totals(disk)
    }

    /// The next entry; none after the last one that can be believed.
    ///
    /// # Errors
    /// The file cannot be read any more, or has changed since it was opened.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, JournalError> {
        while self.pending.is_empty() {
            let Some(span) = self.chunks.get(self.next_chunk).copied() else { return Ok(None) };
            self.load(span)?;
            self.next_chunk += 1;
        }
        Ok(self.pending.pop_front())
    }

    /// Goes to entry `number`, so that it is the next one; beyond the last entry, to the end.
    ///
    /// # Errors
    /// As [`next_entry`](Self::next_entry).
    pub fn rewind(&mut self, number: u64) -> Result<(), JournalError> {
        self.next_chunk = self.chunks.partition_point(|span| span.first <= number).saturating_sub(1);
        self.pending.clear();
        if number >= self.known.next {
            self.next_chunk = self.chunks.len();
            return Ok(());
        }
        if let Some(span) = self.chunks.get(self.next_chunk).copied() {
            self.load(span)?;
            self.next_chunk += 1;
            self.pending.retain(|entry| entry.number >= number);
        }
        Ok(())
    }

    fn load(&mut self, span: ChunkSpan) -> Result<(), JournalError> {
        if !span.eventful {
            return Ok(());
        }
        let changed = |what: String| JournalError::Damaged { offset: span.frame.offset, what };
        let record = scan::read_record(&mut *self.source(), span.frame).map_err(JournalError::Read)?;
        let items = self.chunk_reader.read(&record).map_err(changed)?;
        let pending = &mut self.pending;
        let each = |found| match found {
            Found::Entry(entry) => pending.push_back(entry),
            Found::Blocks { .. } => {}
        };
        self.known.before(&span).take_items(items, each).map_err(changed)
    }

    fn source(&self) -> MutexGuard<'_, R> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a recording has before its attachments and events.
struct Beginning {
    file_length: u64,
    version: u32,
    manifest: Manifest,
    /// Of the manifest's bytes.
    digest: Digest,
    /// Where the rest begins.
    end: u64,
}

fn read_beginning(source: &mut (impl Read + Seek)) -> Result<Beginning, JournalError> {
    let file_length = source.seek(SeekFrom::End(0)).map_err(JournalError::Read)?;
    check_magic(source, file_length)?;
    let header = beginning(source, mcap::MAGIC.len() as u64, file_length, op::HEADER)?;
    check_profile(source, header)?;
    let metadata = beginning(source, header.end(), file_length, op::METADATA)?;
    let (version, json) = read_manifest(source, metadata)?;
    let manifest = serde_json::from_str(&json).map_err(JournalError::Manifest)?;
    Ok(Beginning { file_length, version, manifest, digest: Digest::of(json.as_bytes()), end: metadata.end() })
}

fn attachment_error(name: &str, what: &str) -> JournalError {
    JournalError::Attachment { name: name.to_owned(), what: what.to_owned() }
}

fn check_magic(source: &mut (impl Read + Seek), file_length: u64) -> Result<(), JournalError> {
    let length = mcap::MAGIC.len() as u64;
    let magic = frame::read_at(source, 0, length.min(file_length)).map_err(JournalError::Read)?;
    if magic == mcap::MAGIC {
        Ok(())
    } else if !magic.is_empty() && mcap::MAGIC.starts_with(&magic) {
        Err(JournalError::Empty { offset: 0 })
    } else {
        Err(JournalError::NotARecording)
    }
}

/// One of the two records every recording begins with; they are small.
fn beginning(
    source: &mut (impl Read + Seek),
    offset: u64,
    file_length: u64,
    kind: u8,
) -> Result<Frame, JournalError> {
    match frame::read_frame(source, offset, file_length).map_err(JournalError::Read)? {
        Framed::Whole(frame) if frame.kind == kind && frame.length <= MANIFEST_LIMIT => Ok(frame),
        Framed::Whole(frame) => Err(JournalError::Damaged {
            offset,
            what: format!("a record of kind {:#04x} and {} bytes", frame.kind, frame.length),
        }),
        Framed::End | Framed::Torn => Err(JournalError::Empty { offset }),
    }
}

fn parse(source: &mut (impl Read + Seek), frame: Frame) -> Result<Record<'static>, JournalError> {
    let body = frame::read_at(source, frame.body(), frame.length).map_err(JournalError::Read)?;
    let damaged =
        |error: mcap::McapError| JournalError::Damaged { offset: frame.offset, what: error.to_string() };
    Ok(mcap::parse_record(frame.kind, &body).map_err(damaged)?.into_owned())
}

fn check_profile(source: &mut (impl Read + Seek), frame: Frame) -> Result<(), JournalError> {
    match parse(source, frame)? {
        Record::Header(header) if header.profile == PROFILE => Ok(()),
        Record::Header(header) => Err(JournalError::OtherProfile { profile: header.profile }),
        _ => Err(JournalError::NotARecording),
    }
}

fn read_manifest(source: &mut (impl Read + Seek), frame: Frame) -> Result<(u32, String), JournalError> {
    let damaged = |what: &str| JournalError::Damaged { offset: frame.offset, what: what.to_owned() };
    let Record::Metadata(mut metadata) = parse(source, frame)? else {
        return Err(damaged("not a metadata record"));
    };
    if metadata.name != METADATA_NAME {
        return Err(damaged("not the manifest"));
    }
    let version = metadata.metadata.get(METADATA_VERSION).and_then(|text| text.parse::<u32>().ok());
    match version {
        None | Some(0) => Err(damaged("no format version")),
        Some(found) if found > FORMAT_VERSION => Err(JournalError::FutureVersion { found }),
        Some(found) => match metadata.metadata.remove(METADATA_MANIFEST) {
            Some(json) => Ok((found, json)),
            None => Err(damaged("no manifest")),
        },
    }
}
