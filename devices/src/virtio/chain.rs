//! A chain of descriptors as the pieces of memory it names (2.7.5).

use super::Fault;
use crate::dma::Memory;
use virtio_bindings::virtio_ring::{VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};

/// Bytes of a descriptor.
pub(super) const DESCRIPTOR: u64 = 16;
const NEXT: u16 = VRING_DESC_F_NEXT as u16;
const WRITE: u16 = VRING_DESC_F_WRITE as u16;
const INDIRECT: u16 = VRING_DESC_F_INDIRECT as u16;
/// Most pieces of one chain. Some drivers make chains in indirect tables that are longer than their queue.
const MOST_SEGMENTS: usize = 1024;

/// A piece of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First byte.
    pub addr: u64,
    /// How many.
    pub len: u32,
}

/// The memory of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// What the device reads, in order.
    pub readable: Vec<Segment>,
    /// What the device writes, in order.
    pub writable: Vec<Segment>,
}

struct Descriptor {
    addr: u64,
    len: u32,
    flags: u16,
    next: u16,
}

/// Where descriptors are: so many, from this address on.
#[derive(Clone, Copy)]
struct Table {
    addr: u64,
    entries: u16,
}

impl Table {
    fn get(self, memory: &mut dyn Memory, index: u16) -> Result<Descriptor, Fault> {
        if index >= self.entries {
            return Err(Fault::NoDescriptor(index));
        }
        let mut bytes = [0; DESCRIPTOR as usize];
        read(memory, self.addr.wrapping_add(u64::from(index) * DESCRIPTOR), &mut bytes)?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Ok(Descriptor {
            addr: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            len: u32::from_le_bytes([i, j, k, l]),
            flags: u16::from_le_bytes([m, n]),
            next: u16::from_le_bytes([o, p]),
        })
    }
}

impl Chain {
    /// The chain that begins at descriptor `head` of the `entries` at `table`. `indirect`: tables behind descriptors were
    /// agreed on.
    ///
    /// # Errors
    /// The chain is not one.
    pub fn read(
        memory: &mut dyn Memory,
        table: u64,
        entries: u16,
        head: u16,
        indirect: bool,
    ) -> Result<Self, Fault> {
        let mut chain = Self::default();
        let mut table = Table { addr: table, entries };
        let (mut index, mut left, mut inside) = (head, entries, false);
        loop {
            left = left.checked_sub(1).ok_or(Fault::EndlessChain)?;
            let descriptor = table.get(memory, index)?;
            if descriptor.flags & INDIRECT != 0 {
                // The writable flag of such a descriptor is to be ignored (2.7.5.3.2).
                if inside || !indirect || descriptor.flags & NEXT != 0 {
                    return Err(Fault::BadIndirect);
                }
                table = indirect_table(&descriptor)?;
                (index, left, inside) = (0, table.entries, true);
                continue;
            }
            chain.push(&descriptor)?;
            if descriptor.flags & NEXT == 0 {
                return Ok(chain);
            }
            index = descriptor.next;
        }
    }

    fn push(&mut self, descriptor: &Descriptor) -> Result<(), Fault> {
        let to = if descriptor.flags & WRITE != 0 {
            &mut self.writable
        } else if self.writable.is_empty() {
            &mut self.readable
        } else {
            return Err(Fault::ReadableAfterWritable);
        };
        to.push(Segment { addr: descriptor.addr, len: descriptor.len });
        Ok(())
    }

    /// Bytes that the device can read.
    #[must_use]
    pub fn readable_len(&self) -> u64 {
        self.readable.iter().map(|segment| u64::from(segment.len)).sum()
    }

    /// Bytes that the device can write.
    #[must_use]
    pub fn writable_len(&self) -> u64 {
        self.writable.iter().map(|segment| u64::from(segment.len)).sum()
    }

    /// Reads what there is to read, from the beginning.
    #[must_use]
    pub fn reader(&self) -> Cursor<'_> {
        Cursor { segments: &self.readable, into: 0 }
    }

    /// Writes what there is room for, from the beginning.
    #[must_use]
    pub fn writer(&self) -> Cursor<'_> {
        Cursor { segments: &self.writable, into: 0 }
    }
}

fn indirect_table(descriptor: &Descriptor) -> Result<Table, Fault> {
    let entries = u64::from(descriptor.len) / DESCRIPTOR;
    let whole = u64::from(descriptor.len).is_multiple_of(DESCRIPTOR);
    if !whole || entries == 0 || entries > MOST_SEGMENTS as u64 {
        return Err(Fault::BadIndirect);
    }
    Ok(Table { addr: descriptor.addr, entries: entries as u16 })
}

/// A place in pieces of memory. Copies go on from where they were copied.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    segments: &'a [Segment],
    into: u32,
}

impl Cursor<'_> {
    /// The next bytes that follow each other in memory, at most `most`; none at the end.
    pub fn piece(&mut self, most: usize) -> Option<Segment> {
        while let Some(segment) = self.segments.first() {
            let left = segment.len - self.into;
            if left == 0 {
                self.segments = &self.segments[1..];
                self.into = 0;
                continue;
            }
            let len = left.min(u32::try_from(most).unwrap_or(u32::MAX));
            let addr = segment.addr.wrapping_add(u64::from(self.into));
            self.into += len;
            return Some(Segment { addr, len });
        }
        None
    }

    /// Goes over `bytes` bytes, or to the end.
    pub fn skip(&mut self, mut bytes: u64) {
        while bytes > 0
            && let Some(piece) = self.piece(usize::try_from(bytes).unwrap_or(usize::MAX))
        {
            bytes -= u64::from(piece.len);
        }
    }

    /// Bytes up to the end.
    #[must_use]
    pub fn left(&self) -> u64 {
        let all: u64 = self.segments.iter().map(|segment| u64::from(segment.len)).sum();
        all - u64::from(self.into)
    }

    /// Fills `bytes` as far as there is something. Gives how many.
    ///
    /// # Errors
    /// Not all of it is RAM.
    pub fn read(&mut self, memory: &mut dyn Memory, bytes: &mut [u8]) -> Result<usize, Fault> {
        let mut done = 0;
        while done < bytes.len()
            && let Some(piece) = self.piece(bytes.len() - done)
        {
            let len = piece.len as usize;
            read(memory, piece.addr, &mut bytes[done..done + len])?;
            done += len;
        }
        Ok(done)
    }

    /// Exactly `N` bytes.
    ///
    /// # Errors
    /// There are not so many, or not all of it is RAM.
    pub fn take<const N: usize>(&mut self, memory: &mut dyn Memory) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        if self.read(memory, &mut bytes)? < N {
            return Err(Fault::ShortRequest);
        }
        Ok(bytes)
    }

    /// Writes `bytes` as far as there is room. Gives how many.
    ///
    /// # Errors
    /// Not all of it is RAM.
    pub fn write(&mut self, memory: &mut dyn Memory, bytes: &[u8]) -> Result<usize, Fault> {
        let mut done = 0;
        while done < bytes.len()
            && let Some(piece) = self.piece(bytes.len() - done)
        {
            let len = piece.len as usize;
            write(memory, piece.addr, &bytes[done..done + len])?;
            done += len;
        }
        Ok(done)
    }
}

pub(super) fn read(memory: &mut dyn Memory, addr: u64, bytes: &mut [u8]) -> Result<(), Fault> {
    if memory.read(addr, bytes) { Ok(()) } else { Err(Fault::NotRam { addr, len: bytes.len() as u64 }) }
}

pub(super) fn write(memory: &mut dyn Memory, addr: u64, bytes: &[u8]) -> Result<(), Fault> {
    if memory.write(addr, bytes) { Ok(()) } else { Err(Fault::NotRam { addr, len: bytes.len() as u64 }) }
}
