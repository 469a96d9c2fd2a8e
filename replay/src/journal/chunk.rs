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

/// The records of the chunk whose record, framing included, is `record`; or what is wrong with it.
pub(super) fn read(record: &[u8]) -> Result<Vec<Item>, String> {
    let body = record.get(FRAME as usize..).ok_or("the chunk record has no body")?;
    check_header(body)?;
    let options = LinearReaderOptions::default()
        .with_skip_start_magic(true)
        .with_skip_end_magic(true)
        .with_prevalidate_chunk_crcs(true)
        .with_record_length_limit(CHUNK_LIMIT);
    let mut reader = LinearReader::new_with_options(options);
    let mut unread = record;
    let mut items = Vec::new();
    while let Some(event) = reader.next_event() {
        match event.map_err(|error| error.to_string())? {
            LinearReadEvent::ReadRequest(wanted) => {
                let (next, rest) = unread.split_at(wanted.min(unread.len()));
                reader.insert(next.len()).copy_from_slice(next);
                reader.notify_read(next.len());
                unread = rest;
            }
            LinearReadEvent::Record { data, opcode } => items.push(item(opcode, data)?),
        }
    }
    Ok(items)
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
