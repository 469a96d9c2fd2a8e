use std::collections::BTreeMap;
use std::io::Write;

use mcap::records::{AttachmentHeader, MessageHeader, Metadata};
use mcap::write::NoSeek;
use mcap::{Compression, WriteOptions};
use serde::Serialize;

use super::attachment::MEDIA_TYPE;
use super::entry::EndPayload;
use super::scribe::{Encode, write_message};
use super::{
    Attachment, AttachmentInfo, BlockRun, CHANNEL_DIGEST, CHANNEL_DISK, CHANNEL_END, CHANNEL_LANDMARK,
    CHANNEL_MANIFEST, CHANNEL_STATE, CHUNK_SIZE, FORMAT_VERSION, JournalError, MESSAGE_ENCODING,
    METADATA_MANIFEST, METADATA_NAME, METADATA_VERSION, Manifest, PROFILE,
};
use crate::codec;
use crate::digest::{Digest, MachineDigest};
use crate::end::EndReason;
use crate::seam::Input;
use crate::time::Stamp;

/// Writes a recording, from the first byte to the last without ever going back.
///
/// Events are collected into a chunk; [`flush`](Self::flush) closes it and flushes the writer. What is not flushed is lost
/// with the process, so the owner flushes about once a second. Wrap a file in a `BufWriter`: the attachments come in pieces.
pub struct JournalWriter<W: Write> {
    container: mcap::Writer<NoSeek<W>>,
    channels: Vec<(String, u16)>,
    sequence: u32,
    last: Stamp,
    dirty: bool,
    ended: bool,
    /// Room for one.
    message: Vec<u8>,
}

impl<W: Write> JournalWriter<W> {
    /// Begins a recording: manifest, attachments, and the first chunk with the channels and the manifest's hash, flushed.
    ///
    /// The manifest's list of attachments is filled in here.
    ///
    /// # Errors
    /// [`JournalError::Write`] when `out` fails.
    pub fn create<I: Input>(
        out: W,
        mut manifest: Manifest,
        attachments: &[Attachment<'_>],
    ) -> Result<Self, JournalError> {
        manifest.attachments = attachments.iter().map(describe).collect();
        let json = serde_json::to_string(&manifest).map_err(JournalError::Manifest)?;
        let mut container = options().create(NoSeek::new(out)).map_err(JournalError::write)?;
        container.write_metadata(&metadata(&json)).map_err(JournalError::write)?;
        for attachment in attachments {
            attach(&mut container, attachment)?;
        }
        let mut channels = Vec::new();
        for name in [CHANNEL_MANIFEST, CHANNEL_DIGEST, CHANNEL_END].iter().chain(I::SOURCES) {
            let id = container
                .add_channel(0, name, MESSAGE_ENCODING, &BTreeMap::new())
                .map_err(JournalError::write)?;
            channels.push(((*name).to_owned(), id));
        }
        let mut writer = Self {
            container,
            channels,
            sequence: 0,
            last: Stamp::START,
            dirty: true,
            ended: false,
            message: Vec::new(),
        };
        writer.write(CHANNEL_MANIFEST, Stamp::START, &Digest::of(json.as_bytes()))?;
        writer.flush()?;
        Ok(writer)
    }

    /// Records an input.
    ///
    /// # Errors
    /// [`JournalError::Write`] when the writer fails, [`JournalError::Order`] for a moment before the last one.
    pub fn input<I: Input>(&mut self, at: Stamp, input: &I) -> Result<(), JournalError> {
        self.write(input.source(), at, input)
    }

    /// Records an event of one of the sources that there are channels for, the end among them: its message is `bytes`.
    ///
    /// # Errors
    /// As [`input`](Self::input).
    pub fn message(&mut self, source: &str, at: Stamp, bytes: &[u8]) -> Result<(), JournalError> {
        if matches!(source, CHANNEL_LANDMARK | CHANNEL_STATE) {
            self.open_channel(source)?;
        }
        if self.ended {
            return Err(JournalError::Ended);
        }
        if !self.last.precedes(at) {
            return Err(JournalError::Order { last: self.last, now: at });
        }
        let channel = self.channels.iter().find(|(name, _)| *name == source);
        let Some((_, channel_id)) = channel else {
            return Err(JournalError::UnknownSource(source.to_owned()));
        };
        let log_time = at.time.ns();
        let header = MessageHeader {
            channel_id: *channel_id,
            sequence: self.sequence,
            log_time,
            publish_time: log_time,
        };
        self.container.write_to_known_channel(&header, bytes).map_err(JournalError::write)?;
        self.sequence = self.sequence.wrapping_add(1);
        self.last = at;
        self.dirty = true;
        if source == CHANNEL_END {
            self.ended = true;
            self.flush()?;
        }
        Ok(())
    }

    /// Records an event of one of those sources, encoding it where the last one was.
    pub(super) fn encode(&mut self, source: &str, at: Stamp, event: impl Encode) -> Result<(), JournalError> {
        let mut bytes = std::mem::take(&mut self.message);
        bytes.clear();
        let encoded = write_message(at, event, &mut bytes).map_err(JournalError::from);
        let written = encoded.and_then(|()| self.message(source, at, &bytes));
        self.message = bytes;
        written
    }

    /// Records the machine's digest.
    ///
    /// # Errors
    /// As [`input`](Self::input).
    pub fn digest(&mut self, at: Stamp, digest: &MachineDigest) -> Result<(), JournalError> {
        self.write(CHANNEL_DIGEST, at, digest)
    }

    /// Records what disk number `disk` had where the machine has read it, before whatever follows from it.
    ///
    /// # Errors
    /// As [`input`](Self::input).
    pub fn blocks(&mut self, at: Stamp, disk: u32, run: &BlockRun) -> Result<(), JournalError> {
        let name = format!("{CHANNEL_DISK}{disk}");
        self.open_channel(&name)?;
        self.write(&name, at, run)
    }

    /// Records a place in the run, where the events that follow are.
    ///
    /// # Errors
    /// As [`input`](Self::input).
    pub fn landmark(&mut self, at: Stamp, place: &[u8]) -> Result<(), JournalError> {
        self.write(CHANNEL_LANDMARK, at, &place)
    }

    /// Makes a channel that not every recording has, unless it is there.
    fn open_channel(&mut self, name: &str) -> Result<(), JournalError> {
        if !self.channels.iter().any(|(known, _)| *known == name) {
            let id = self
                .container
                .add_channel(0, name, MESSAGE_ENCODING, &BTreeMap::new())
                .map_err(JournalError::write)?;
            self.channels.push((name.to_owned(), id));
        }
        Ok(())
    }

    /// Records the end and flushes; only then is the recording complete.
    ///
    /// # Errors
    /// As [`input`](Self::input).
    pub fn end(&mut self, at: Stamp, reason: EndReason, digest: &MachineDigest) -> Result<(), JournalError> {
        self.write(CHANNEL_END, at, &EndPayload { reason, digest: *digest })
    }

    /// Closes the chunk, so that everything so far survives a later accident, and flushes the writer.
    ///
    /// # Errors
    /// [`JournalError::Write`] when the writer fails.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        if self.dirty {
            self.container.flush().map_err(JournalError::write)?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Writes the container's index and returns the writer.
    ///
    /// # Errors
    /// [`JournalError::Write`] when the writer fails.
    pub fn finish(mut self) -> Result<W, JournalError> {
        self.flush()?;
        self.container.finish().map_err(JournalError::write)?;
        let mut out = self.container.into_inner().into_inner();
        out.flush().map_err(JournalError::Write)?;
        Ok(out)
    }

    fn write<P: Serialize>(&mut self, source: &str, at: Stamp, payload: &P) -> Result<(), JournalError> {
        self.encode(source, at, |out: &mut Vec<u8>| codec::write_to(payload, out))
    }
}

/// Zstandard's level, which the container's crate takes as a number without a sign and hands on with one. Levels below 0 do not try to
/// save single bits: this one takes half of level 1's time for frames full of what does not compress, and as many bytes; three quarters
/// of it for programs, which take a sixth more bytes.
const COMPRESSION: i32 = -1;

fn options() -> WriteOptions {
    WriteOptions::new()
        .profile(PROFILE)
        .library(concat!("rrvmm ", env!("CARGO_PKG_VERSION")))
        .compression(Some(Compression::Zstd))
        .compression_level(COMPRESSION.cast_unsigned())
        .compression_threads(0)
        .chunk_size(Some(CHUNK_SIZE))
        .disable_seeking(true)
        // 16 bytes a message, more than most messages: the chunks' index is enough to find anything.
        .emit_message_indexes(false)
}

fn describe(attachment: &Attachment<'_>) -> AttachmentInfo {
    AttachmentInfo {
        name: attachment.name.to_owned(),
        length: attachment.data.len() as u64,
        digest: Digest::of(attachment.data),
    }
}

fn metadata(json: &str) -> Metadata {
    let pairs = [(METADATA_VERSION, FORMAT_VERSION.to_string()), (METADATA_MANIFEST, json.to_owned())];
    Metadata {
        name: METADATA_NAME.to_owned(),
        metadata: pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    }
}

fn attach<W: Write>(
    container: &mut mcap::Writer<NoSeek<W>>,
    attachment: &Attachment<'_>,
) -> Result<(), JournalError> {
    let header = AttachmentHeader {
        log_time: 0,
        create_time: 0,
        name: attachment.name.to_owned(),
        media_type: MEDIA_TYPE.to_owned(),
    };
    container.start_attachment(attachment.data.len() as u64, header).map_err(JournalError::write)?;
    container.put_attachment_bytes(attachment.data).map_err(JournalError::write)?;
    container.finish_attachment().map_err(JournalError::write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::frame::{Framed, op, read_frame};
    use std::io::Cursor;

    #[derive(Debug, Serialize, serde::Deserialize)]
    struct Words(Vec<u16>);

    impl Input for Words {
        const SOURCES: &'static [&'static str] = &["words"];

        fn source(&self) -> &'static str {
            "words"
        }
    }

    /// The container's crate does not say what it does with a level below 0.
    #[test]
    fn chunks_are_packed_at_the_level_that_was_asked_for() {
        let mut journal = JournalWriter::create::<Words>(Vec::new(), Manifest::default(), &[]).unwrap();
        let words = (0..20_000u32).map(|n| (n.wrapping_mul(n) / 7 % 601 * (n % 3)) as u16).collect();
        journal.input(Stamp::START, &Words(words)).unwrap();
        journal.flush().unwrap();
        let file = journal.finish().unwrap();
        let (mut largest, mut at) = ((0, Vec::new()), 8);
        while let Framed::Whole(frame) =
            read_frame(&mut Cursor::new(&file), at, file.len() as u64 - 8).unwrap()
        {
            let body = &file[frame.body() as usize..frame.end() as usize];
            if frame.kind == op::CHUNK
                && let Ok(mcap::records::Record::Chunk { header, data }) = mcap::parse_record(op::CHUNK, body)
                && header.uncompressed_size > 20_000
            {
                largest =
                    (data.len(), zstd::bulk::decompress(&data, header.uncompressed_size as usize).unwrap());
            }
            at = frame.end();
        }
        let (packed, content) = largest;
        // Not to the byte: in which pieces Zstandard gets things matters to it.
        let [tighter, looser] = [1, -20].map(|level| zstd::encode_all(&content[..], level).unwrap().len());
        assert!(tighter * 11 / 10 < packed && packed < looser, "{packed} bytes: {tighter}, {looser}");
    }
}
