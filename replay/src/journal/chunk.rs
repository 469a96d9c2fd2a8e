//! One chunk's records, believed only after their CRC was right.

use mcap::records::{ChunkHeader, Record};
use mcap::sans_io::linear_reader::{LinearReadEvent, LinearReader, LinearReaderOptions};

use super::CHUNK_LIMIT;
use super::frame::{FRAME, op};

/// Bytes by which a chunk record may exceed its content: its header and the framing of its records.
const OVERHEAD: usize = 4096;

/// Largest chunk record read into memory.
pub(super) const RECORD_LIMIT: u64 = (CHUNK_LIMIT + OVERHEAD) as u64;

/// A record out of a chunk.
#[derive(Debug)]
pub(super) enum Item {
    Channel { id: u16, name: String },
    Message { channel: u16, sequence: u32, log_time: u64, data: Vec<u8> },
}

/// Kind of the private record that is put behind each chunk: the reader hands it out once the chunk is done.
const DONE: u8 = 0x80;

/// Reads chunks one after the other; what it allocates for one serves the next.
pub(super) struct ChunkReader(LinearReader);

impl ChunkReader {
    pub(super) fn new() -> Self {
        Self(LinearReader::new_with_options(
            LinearReaderOptions::default()
                .with_skip_start_magic(true)
                .with_skip_end_magic(true)
                .with_prevalidate_chunk_crcs(true)
                .with_record_length_limit(CHUNK_LIMIT),
        ))
    }

    /// The records of the chunk whose record, framing included, is `record`; or what is wrong with it.
    pub(super) fn read(&mut self, mut record: Vec<u8>) -> Result<Vec<Item>, String> {
        let result = check_header(record.get(FRAME as usize..).unwrap_or_default()).and_then(|()| {
            record.push(DONE);
            record.extend(0u64.to_le_bytes());
            self.items(&record)
        });
        if result.is_err() {
            // It stopped in the middle of something.
            *self = Self::new();
        }
        result
    }

    fn items(&mut self, mut unread: &[u8]) -> Result<Vec<Item>, String> {
        let mut items = Vec::new();
        while let Some(event) = self.0.next_event() {
            match event.map_err(|error| error.to_string())? {
                LinearReadEvent::ReadRequest(_) if unread.is_empty() => break,
                LinearReadEvent::ReadRequest(wanted) => {
                    let (next, rest) = unread.split_at(wanted.min(unread.len()));
                    self.0.insert(next.len()).copy_from_slice(next);
                    self.0.notify_read(next.len());
                    unread = rest;
                }
                LinearReadEvent::Record { opcode: DONE, data: [] } if unread.is_empty() => return Ok(items),
                LinearReadEvent::Record { data, opcode } => items.push(item(opcode, data)?),
            }
        }
        Err("the chunk goes on beyond its record".to_owned())
    }
}

/// Refuses what the container allows and a recording never has: chunks that are uncompressed or carry no CRC.
fn check_header(body: &[u8]) -> Result<(), String> {
    let Record::Chunk { header, .. } =
        mcap::parse_record(op::CHUNK, body).map_err(|error| error.to_string())?
    else {
        return Err("the chunk record is not a chunk".to_owned());
    };
    let ChunkHeader { uncompressed_crc, compression, uncompressed_size, .. } = header;
    if compression != "zstd" {
        return Err(format!("chunk compression {compression:?}"));
    }
    if uncompressed_crc == 0 {
        return Err("the chunk has no CRC".to_owned());
    }
    if uncompressed_size > CHUNK_LIMIT as u64 {
        return Err(format!("a chunk of {uncompressed_size} bytes"));
    }
    Ok(())
}

fn item(opcode: u8, data: &[u8]) -> Result<Item, String> {
    if opcode != op::CHANNEL && opcode != op::MESSAGE {
        return Err(format!("a record of kind {opcode:#04x} in a chunk"));
    }
    match mcap::parse_record(opcode, data).map_err(|error| error.to_string())? {
        Record::Channel(channel) => Ok(Item::Channel { id: channel.id, name: channel.topic }),
        Record::Message { header, data } => Ok(Item::Message {
            channel: header.channel_id,
            sequence: header.sequence,
            log_time: header.log_time,
            data: data.into_owned(),
        }),
        _ => Err(format!("a record of kind {opcode:#04x} in a chunk")),
    }
}
