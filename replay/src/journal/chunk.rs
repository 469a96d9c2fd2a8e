//! One chunk's records, believed only after their CRC was right.

use mcap::records::{ChunkHeader, Record};
use zstd::bulk::Decompressor;

use super::CHUNK_LIMIT;
use super::frame::{FRAME, op};

/// Bytes by which a chunk record may exceed its content: its header and the framing of its records.
const OVERHEAD: usize = 4096;

/// Largest chunk record read into memory.
pub(super) const RECORD_LIMIT: u64 = (CHUNK_LIMIT + OVERHEAD) as u64;

/// A record out of a chunk.
#[derive(Debug)]
pub(super) enum Item<'a> {
    Channel { id: u16, name: String },
    Message { channel: u16, sequence: u32, log_time: u64, data: &'a [u8] },
}

/// Reads chunks one after the other; what it allocates for one serves the next.
#[derive(Default)]
pub(super) struct ChunkReader {
    decompressor: Decompressor<'static>,
    content: Vec<u8>,
}

impl ChunkReader {
    /// The records of the chunk whose record, framing included, is `record`; or what is wrong with it.
    pub(super) fn read(&mut self, record: &[u8]) -> Result<Vec<Item<'_>>, String> {
        let body = record.get(FRAME as usize..).unwrap_or_default();
        let chunk = mcap::parse_record(op::CHUNK, body).map_err(|error| error.to_string())?;
        let Record::Chunk { header, data } = chunk else {
            return Err("the chunk record is not a chunk".to_owned());
        };
        check_header(&header, data.len())?;
        self.content.clear();
        self.content.reserve(header.uncompressed_size as usize);
        let size = self.decompressor.decompress_to_buffer(&data[..], &mut self.content);
        let size = size.map_err(|error| format!("the chunk cannot be decompressed: {error}"))?;
        if size as u64 != header.uncompressed_size {
            return Err(format!("{size} bytes in a chunk of {}", header.uncompressed_size));
        }
        let crc = crc32fast::hash(&self.content);
        if crc != header.uncompressed_crc {
            return Err(format!("the chunk's CRC is {crc:08x} instead of {:08x}", header.uncompressed_crc));
        }
        let (mut items, mut rest) = (Vec::new(), &self.content[..]);
        while !rest.is_empty() {
            items.push(item(next(&mut rest).ok_or("the chunk ends within a record")?)?);
        }
        Ok(items)
    }
}

/// Refuses what the container allows and a recording never has: chunks that are uncompressed or carry no CRC.
fn check_header(header: &ChunkHeader, length: usize) -> Result<(), String> {
    let ChunkHeader { uncompressed_crc, compression, uncompressed_size, compressed_size, .. } = header;
    if compression != "zstd" {
        return Err(format!("chunk compression {compression:?}"));
    }
    if *uncompressed_crc == 0 {
        return Err("the chunk has no CRC".to_owned());
    }
    if *uncompressed_size > CHUNK_LIMIT as u64 {
        return Err(format!("a chunk of {uncompressed_size} bytes"));
    }
    if *compressed_size != length as u64 {
        return Err(format!("{compressed_size} compressed bytes in a chunk record with {length}"));
    }
    Ok(())
}

/// Kind and body of the first record of `bytes`, if all of it is there.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (opcode, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (body, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    *bytes = rest;
    Some((*opcode, body))
}

fn item((opcode, body): (u8, &[u8])) -> Result<Item<'_>, String> {
    match opcode {
        op::MESSAGE => message(body).ok_or_else(|| "a message without a header".to_owned()),
        op::CHANNEL => match mcap::parse_record(opcode, body).map_err(|error| error.to_string())? {
            Record::Channel(channel) => Ok(Item::Channel { id: channel.id, name: channel.topic }),
            _ => Err("the channel record is not a channel".to_owned()),
        },
        _ => Err(format!("a record of kind {opcode:#04x} in a chunk")),
    }
}

/// The container's message: channel, sequence, two times, and what it is all about, which is not copied.
fn message(body: &[u8]) -> Option<Item<'_>> {
    let (channel, rest) = body.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let (log_time, rest) = rest.split_first_chunk()?;
    let (_publish_time, data) = rest.split_first_chunk::<8>()?;
    Some(Item::Message {
        channel: u16::from_le_bytes(*channel),
        sequence: u32::from_le_bytes(*sequence),
        log_time: u64::from_le_bytes(*log_time),
        data,
    })
}
