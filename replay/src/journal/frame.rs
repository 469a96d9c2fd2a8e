//! The container's outer framing: records of one byte of kind, eight of length, and a body.

use std::io::{self, Read, Seek, SeekFrom};

/// Record kinds of the MCAP specification that a recording has in its data section.
pub(super) mod op {
    pub(in super::super) const HEADER: u8 = 0x01;
    pub(in super::super) const CHANNEL: u8 = 0x04;
    pub(in super::super) const MESSAGE: u8 = 0x05;
    pub(in super::super) const CHUNK: u8 = 0x06;
    pub(in super::super) const ATTACHMENT: u8 = 0x09;
    pub(in super::super) const METADATA: u8 = 0x0c;
    pub(in super::super) const DATA_END: u8 = 0x0f;
}

/// Length of the kind and length fields.
pub(super) const FRAME: u64 = 9;

/// One record of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    /// Offset of the record in the file.
    pub(super) offset: u64,
    /// Length of the body.
    pub(super) length: u64,
}

impl Frame {
    pub(super) fn body(&self) -> u64 {
        self.offset + FRAME
    }

    pub(super) fn end(&self) -> u64 {
        self.body() + self.length
    }
}

/// What is at an offset of the file.
pub(super) enum Framed {
    /// A record that lies in the file whole.
    Whole(Frame),
    /// The file ends exactly here.
    End,
    /// The file ends within the record that begins here.
    Torn,
}

/// Reads the frame at `offset` of a file that is `file_length` bytes long.
pub(super) fn read_frame(
    source: &mut (impl Read + Seek),
    offset: u64,
    file_length: u64,
) -> io::Result<Framed> {
    if offset >= file_length {
        return Ok(Framed::End);
    }
    if file_length - offset < FRAME {
        return Ok(Framed::Torn);
    }
    let head = read_at(source, offset, FRAME)?;
    let mut length = [0; 8];
    length.copy_from_slice(&head[1..]);
    let length = u64::from_le_bytes(length);
    if length > file_length - offset - FRAME {
        return Ok(Framed::Torn);
    }
    Ok(Framed::Whole(Frame { kind: head[0], offset, length }))
}

/// Reads `length` bytes, which the caller has checked to be reasonable, at `offset`.
pub(super) fn read_at(source: &mut (impl Read + Seek), offset: u64, length: u64) -> io::Result<Vec<u8>> {
    source.seek(SeekFrom::Start(offset))?;
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut bytes = vec![0; length];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}
