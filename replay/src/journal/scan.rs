//! The pass over a whole recording when it is opened: what it has, and up to where it can be believed.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Seek};

use super::blocks::{self, BlockRun, Index};
use super::chunk::{self, ChunkReader, Item};
use super::entry::EndPayload;
use super::frame::{self, FRAME, Frame, Framed, op};
use super::{
    Body, CHANNEL_DIGEST, CHANNEL_END, CHANNEL_LANDMARK, CHANNEL_MANIFEST, CHANNEL_STATE, CHUNK_COUNT_LIMIT,
    Entry, JournalError, attachment,
};
use crate::codec;
use crate::digest::{Digest, MachineDigest};
use crate::end::EndReason;
use crate::time::{Position, Stamp, VirtualTime};

/// Why nothing is known of a recording after some byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutReason {
    /// The file ends within a record: the writer was killed, or the file was copied in part.
    Torn,
    /// The file ends between two records and has no end event: the writer was killed or could not write on.
    Unclosed,
    /// Bytes have changed, or never were a recording's.
    Damaged(String),
}

/// The place after which nothing is known of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Length of the part that can be believed, in bytes.
    pub offset: u64,
    /// Why the rest cannot.
    pub reason: CutReason,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            CutReason::Torn => write!(f, "the recording is cut off in mid-record at byte {}", self.offset),
            CutReason::Unclosed => write!(f, "the recording stops at byte {} without an end", self.offset),
            CutReason::Damaged(what) => write!(f, "the recording is damaged at byte {}: {what}", self.offset),
        }
    }
}

/// What a recording has, as far as it can be believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Inputs.
    pub inputs: u64,
    /// Landmarks: places in a run that was not counted.
    pub landmarks: u64,
    /// Parts of the machine's states.
    pub states: u64,
    /// Digests, the one at the end included.
    pub digests: u64,
    /// Moment of the last event: the end, if there is one.
    pub last: Stamp,
    /// The last digest and its moment.
    pub digest: Option<(Stamp, MachineDigest)>,
    /// Why the run ended, if its end was recorded.
    pub end: Option<EndReason>,
    /// Why and where the recording is cut off, if its end was not recorded.
    pub cut: Option<Cut>,
}

impl Summary {
    /// Whether the recording has its end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.end.is_some()
    }
}

/// A chunk that was read and found right.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkSpan {
    pub(super) frame: Frame,
    /// Number of its first entry, or of the next chunk's if it has none.
    pub(super) first: u64,
    /// Whether it is the first chunk, with the channels and the manifest's hash.
    pub(super) opening: bool,
    /// Whether it has entries, and not only what disks had.
    pub(super) eventful: bool,
}

/// The state of the pass; also what later reads are checked against.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) channels: BTreeMap<u16, String>,
    pub(super) summary: Summary,
    /// Number of the next entry.
    pub(super) next: u64,
    /// The next message's number in the file; the first message is the manifest's.
    sequence: u32,
    /// Hash of the manifest, from the first message.
    manifest: Option<Digest>,
}

/// What the pass found after the manifest.
pub(super) struct Scan {
    pub(super) known: Known,
    pub(super) chunks: Vec<ChunkSpan>,
    pub(super) attachments: Vec<attachment::Span>,
    pub(super) blocks: Index,
    pub(super) reader: ChunkReader,
}

/// Something in a chunk.
pub(super) enum Found {
    Entry(Entry),
    /// What a disk had. It takes a number, as an entry does, but nothing happens by it.
    Blocks {
        number: u64,
        disk: u32,
        run: BlockRun,
    },
}

/// Passes over the file from `offset`, where the records after the manifest begin.
pub(super) fn scan(
    source: &mut (impl Read + Seek),
    mut offset: u64,
    file_length: u64,
    manifest: Digest,
) -> Result<Scan, JournalError> {
    let mut found = Scan {
        known: Known::default(),
        chunks: Vec::new(),
        attachments: Vec::new(),
        blocks: Index::default(),
        reader: ChunkReader::default(),
    };
    let reason = loop {
        let frame = match frame::read_frame(source, offset, file_length).map_err(JournalError::Read)? {
            Framed::Whole(frame) => frame,
            Framed::End => break CutReason::Unclosed,
            Framed::Torn => break CutReason::Torn,
        };
        match frame.kind {
            op::ATTACHMENT => {
                let window = frame.length.min(attachment::HEADER_WINDOW);
                let head = frame::read_at(source, frame.body(), window).map_err(JournalError::Read)?;
                match attachment::locate(&head, frame.body(), frame.length) {
                    Some(span) => found.attachments.push(span),
                    None => break CutReason::Damaged("an attachment's header".to_owned()),
                }
            }
            op::CHUNK => {
                if let Err(what) = found.take_chunk(source, frame, manifest)? {
                    break CutReason::Damaged(what);
                }
                if found.known.summary.end.is_some() {
                    return Ok(found);
                }
            }
            op::DATA_END => break CutReason::Unclosed,
            kind => break CutReason::Damaged(format!("a record of kind {kind:#04x}")),
        }
        offset = frame.end();
    };
    let cut = Cut { offset, reason };
    if found.chunks.is_empty() {
        return Err(match cut.reason {
            CutReason::Torn | CutReason::Unclosed => JournalError::Empty { offset },
            CutReason::Damaged(what) => JournalError::Damaged { offset, what },
        });
    }
    found.known.summary.cut = Some(cut);
    Ok(found)
}

impl Scan {
    /// Takes the chunk into account, or nothing of it if anything in it is wrong.
    fn take_chunk(
        &mut self,
        source: &mut (impl Read + Seek),
        frame: Frame,
        manifest: Digest,
    ) -> Result<Result<(), String>, JournalError> {
        if self.chunks.len() == CHUNK_COUNT_LIMIT {
            return Ok(Err(format!("more than {CHUNK_COUNT_LIMIT} chunks")));
        }
        if frame.length > chunk::RECORD_LIMIT {
            return Ok(Err(format!("a chunk of {} bytes", frame.length)));
        }
        let record = read_record(source, frame).map_err(JournalError::Read)?;
        let items = match self.reader.read(&record) {
            Ok(items) => items,
            Err(what) => return Ok(Err(what)),
        };
        let mut known = self.known.clone();
        let (first, opening) = (known.next, self.chunks.is_empty());
        let (mut runs, mut eventful) = (Vec::new(), false);
        let each = |found| match found {
            Found::Entry(_) => eventful = true,
            Found::Blocks { number, disk, run } => runs.push((number, disk, run)),
        };
        if let Err(what) = known.take_items(items, each) {
            return Ok(Err(what));
        }
        if known.manifest != Some(manifest) {
            return Ok(Err("the manifest is not the one that was recorded".to_owned()));
        }
        for (number, disk, run) in runs {
            self.blocks.add(self.chunks.len(), number, disk, &run);
        }
        self.known = known;
        self.chunks.push(ChunkSpan { frame, first, opening, eventful });
        Ok(Ok(()))
    }
}

/// The chunk's record in `frame`, framing included.
pub(super) fn read_record(source: &mut (impl Read + Seek), frame: Frame) -> std::io::Result<Vec<u8>> {
    frame::read_at(source, frame.offset, FRAME + frame.length)
}

impl Known {
    /// What is known before `span`, which the pass has found right, is read again.
    pub(super) fn before(&self, span: &ChunkSpan) -> Known {
        if span.opening {
            return Known::default();
        }
        Known {
            channels: self.channels.clone(),
            summary: Summary::default(),
            next: span.first,
            // The manifest's message has number 0 in the file, so entries are one ahead.
            sequence: (span.first as u32).wrapping_add(1),
            manifest: self.manifest,
        }
    }

    /// Takes a chunk's records and hands out its entries; says what is wrong if they do not follow what is known.
    pub(super) fn take_items(
        &mut self,
        items: Vec<Item<'_>>,
        mut each: impl FnMut(Found),
    ) -> Result<(), String> {
        for item in items {
            match item {
                Item::Channel { id, name } => {
                    if self.channels.insert(id, name.clone()).is_some_and(|old| old != name) {
                        return Err(format!("channel {id} changes its name to {name:?}"));
                    }
                }
                Item::Message { channel, sequence, log_time, data } => {
                    if sequence != self.sequence {
                        return Err(format!("event {sequence} where {} is next", self.sequence));
                    }
                    self.sequence = sequence.wrapping_add(1);
                    let Some(name) = self.channels.get(&channel) else {
                        return Err(format!("an event of an unknown channel {channel}"));
                    };
                    let (position, payload) =
                        codec::prefix_from_bytes::<Position>(data).map_err(|error| error.to_string())?;
                    let stamp = Stamp::new(position, VirtualTime::from_ns(log_time));
                    if self.manifest.is_none() {
                        if name != CHANNEL_MANIFEST {
                            return Err("the first event is not the manifest's hash".to_owned());
                        }
                        self.manifest = Some(codec::from_bytes(payload).map_err(|error| error.to_string())?);
                        continue;
                    }
                    if let Some(disk) = blocks::disk_of(name) {
                        let run =
                            codec::from_bytes::<BlockRun>(payload).map_err(|error| error.to_string())?;
                        each(self.take_blocks(stamp, disk, run)?);
                        continue;
                    }
                    let body = body(name, payload)?;
                    each(Found::Entry(self.take_entry(stamp, body)?));
                }
            }
        }
        Ok(())
    }

    fn take_blocks(&mut self, stamp: Stamp, disk: u32, run: BlockRun) -> Result<Found, String> {
        run.check()?;
        if self.summary.end.is_some() {
            return Err("disk blocks after the end".to_owned());
        }
        // The run does not go on to here by it: only an event says that it does.
        if !self.summary.last.precedes(stamp) {
            return Err(format!("{stamp} after {}", self.summary.last));
        }
        let number = self.next;
        self.next += 1;
        Ok(Found::Blocks { number, disk, run })
    }

    fn take_entry(&mut self, stamp: Stamp, body: Body) -> Result<Entry, String> {
        let summary = &mut self.summary;
        if summary.end.is_some() {
            return Err("an event after the end".to_owned());
        }
        if !summary.last.precedes(stamp) {
            return Err(format!("{stamp} after {}", summary.last));
        }
        summary.last = stamp;
        match &body {
            Body::Input { .. } => summary.inputs += 1,
            Body::Landmark(_) => summary.landmarks += 1,
            Body::State(_) => summary.states += 1,
            Body::Digest(digest) => {
                summary.digests += 1;
                summary.digest = Some((stamp, *digest));
            }
            Body::End { reason, digest } => {
                summary.digests += 1;
                summary.digest = Some((stamp, *digest));
                summary.end = Some(*reason);
            }
        }
        let number = self.next;
        self.next += 1;
        Ok(Entry { number, stamp, body })
    }
}

fn body(channel: &str, payload: &[u8]) -> Result<Body, String> {
    match channel {
        CHANNEL_MANIFEST => Err("a second manifest".to_owned()),
        CHANNEL_DIGEST => codec::from_bytes(payload).map(Body::Digest).map_err(|error| error.to_string()),
        CHANNEL_END => {
            let EndPayload { reason, digest } =
                codec::from_bytes(payload).map_err(|error| error.to_string())?;
            Ok(Body::End { reason, digest })
        }
        CHANNEL_LANDMARK => codec::from_bytes(payload).map(Body::Landmark).map_err(|error| error.to_string()),
        CHANNEL_STATE => Ok(Body::State(payload.to_vec())),
        source => Ok(Body::Input { source: source.to_owned(), payload: payload.to_vec() }),
    }
}
