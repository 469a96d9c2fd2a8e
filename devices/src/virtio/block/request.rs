//! What a request asks for (5.2.6).

use super::{Block, MOST_BYTES, MOST_RANGES, MOST_SECTORS, SECTOR};
use crate::dma::{DiskFault, Masters};
use crate::virtio::{Chain, Cursor, Fault, Io};
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_ID_BYTES, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_DISCARD,
    VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES,
    VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
};

/// Bytes of a request's header.
const HEADER: u64 = 16;
/// Bytes that name a piece to zero or to discard.
const RANGE: u64 = 16;
/// Bytes moved at once.
const BUFFER: usize = 64 << 10;

/// How a request goes wrong without the queue being broken.
enum Failure {
    /// It cannot be done.
    Io,
    /// There is no such request.
    Unsupported,
    /// The queue is broken after all.
    Ring(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Ring(fault)
    }
}

impl From<DiskFault> for Failure {
    fn from(fault: DiskFault) -> Self {
        match fault {
            DiskFault::OutOfRange | DiskFault::ReadOnly | DiskFault::Unreadable => Failure::Io,
        }
    }
}

impl Block {
    /// Does what the request in `chain` asks for, and writes its status. Gives the number of bytes written.
    pub(super) fn carry_out(&self, chain: &Chain, io: &mut Io<'_>) -> Result<u32, Fault> {
        let room = chain.writable_len().checked_sub(1).ok_or(Fault::ShortRequest)?;
        let mut reader = chain.reader();
        let header: [u8; HEADER as usize] = reader.take(io.memory)?;
        let [a, b, c, d, _, _, _, _, sector @ ..] = header;
        let (kind, sector) = (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(sector));
        let mut masters = Masters { memory: &mut *io.memory, disks: &mut *io.disks };
        let done = match kind {
            VIRTIO_BLK_T_IN => self.read(chain.writer(), room, sector, &mut masters),
            VIRTIO_BLK_T_OUT => self.write(reader, sector, &mut masters),
            VIRTIO_BLK_T_FLUSH => Ok(0),
            VIRTIO_BLK_T_GET_ID => self.serial(chain.writer(), room, &mut masters),
            VIRTIO_BLK_T_DISCARD => self.ranges(reader, false, &mut masters),
            VIRTIO_BLK_T_WRITE_ZEROES => self.ranges(reader, true, &mut masters),
            _ => Err(Failure::Unsupported),
        };
        let (written, status) = match done {
            Ok(written) => (written, VIRTIO_BLK_S_OK),
            Err(Failure::Io) => (0, VIRTIO_BLK_S_IOERR),
            Err(Failure::Unsupported) => (0, VIRTIO_BLK_S_UNSUPP),
            Err(Failure::Ring(fault)) => return Err(fault),
        };
        let mut last = chain.writer();
        last.skip(room);
        last.write(io.memory, &[status as u8])?;
        Ok(written + 1)
    }

    /// The byte at which `len` bytes from `sector` on begin, if they are whole sectors of the disk.
    fn place(&self, sector: u64, len: u64) -> Result<u64, Failure> {
        let start = sector.checked_mul(SECTOR).ok_or(Failure::Io)?;
        let end = start.checked_add(len).ok_or(Failure::Io)?;
        let disk = self.config.bytes / SECTOR * SECTOR;
        if len.is_multiple_of(SECTOR) && len <= MOST_BYTES && end <= disk {
            Ok(start)
        } else {
            Err(Failure::Io)
        }
    }

    fn disk(&self) -> usize {
        usize::from(self.config.disk)
    }

    fn read(
        &self,
        mut to: Cursor<'_>,
        len: u64,
        sector: u64,
        masters: &mut Masters<'_>,
    ) -> Result<u32, Failure> {
        let start = self.place(sector, len)?;
        let mut buffer = vec![0; BUFFER.min(len as usize)];
        let mut done = 0;
        while done < len {
            let part = (len - done).min(BUFFER as u64) as usize;
            masters.disks.read(self.disk(), start + done, &mut buffer[..part])?;
            to.write(masters.memory, &buffer[..part])?;
            done += part as u64;
        }
        Ok(len as u32)
    }

    fn write(&self, mut from: Cursor<'_>, sector: u64, masters: &mut Masters<'_>) -> Result<u32, Failure> {
        let len = from.left();
        let start = self.place(sector, len)?;
        self.check_writable()?;
        let mut buffer = vec![0; BUFFER.min(len as usize)];
        let mut done = 0;
        while done < len {
            let part = (len - done).min(BUFFER as u64) as usize;
            from.read(masters.memory, &mut buffer[..part])?;
            masters.disks.write(self.disk(), start + done, &buffer[..part])?;
            done += part as u64;
        }
        Ok(0)
    }

    fn serial(&self, mut to: Cursor<'_>, room: u64, masters: &mut Masters<'_>) -> Result<u32, Failure> {
        let mut id = [0; VIRTIO_BLK_ID_BYTES as usize];
        for (to, from) in id.iter_mut().zip(self.config.serial.bytes()) {
            *to = from;
        }
        let len = id.len().min(room as usize);
        to.write(masters.memory, &id[..len])?;
        Ok(len as u32)
    }

    /// Zeroes sectors, or discards them, which leaves them as they are.
    fn ranges(&self, mut from: Cursor<'_>, zero: bool, masters: &mut Masters<'_>) -> Result<u32, Failure> {
        self.check_writable()?;
        let len = from.left();
        if !len.is_multiple_of(RANGE) || len > u64::from(MOST_RANGES) * RANGE {
            return Err(Failure::Io);
        }
        for _ in 0..len / RANGE {
            let [a, b, c, d, e, f, g, h, i, j, k, l, flags @ ..] = from.take::<16>(masters.memory)?;
            let (sector, count) =
                (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]));
            let known = if zero { VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP } else { 0 };
            if u32::from_le_bytes(flags) & !known != 0 {
                return Err(Failure::Unsupported);
            }
            if count > MOST_SECTORS {
                return Err(Failure::Io);
            }
            let bytes = u64::from(count) * SECTOR;
            let start = self.place(sector, bytes)?;
            if zero {
                masters.disks.write(self.disk(), start, &vec![0; bytes as usize])?;
            }
        }
        Ok(0)
    }

    fn check_writable(&self) -> Result<(), Failure> {
        if self.config.read_only { Err(Failure::Io) } else { Ok(()) }
    }
}
