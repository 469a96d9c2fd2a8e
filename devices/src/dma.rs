//! What bus masters reach besides their own registers: guest memory, and the contents of disks.
//!
//! A device never does this in the middle of a guest instruction. An access to a register only notes that work is waiting;
//! the board's [`Pc::serve`](crate::Pc::serve) is called between instructions and hands these out.

/// A bus master, by number: slot and function number of one on the PCI bus, [`Master::in_memory`] for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Master(pub u16);

impl Master {
    /// The device with its registers in memory that has this number among them.
    #[must_use]
    pub fn in_memory(n: usize) -> Self {
        Self(0x100 | n as u16 & 0xff)
    }
}

/// Guest-physical memory as a device on the bus sees it.
pub trait Memory {
    /// Says which device accesses from now on, for those who watch; it makes no other difference.
    fn begin(&mut self, _master: Master) {}

    /// Reads from `addr` on. False when not all of it is RAM or ROM, in which case the bytes are of no meaning: the guest's
    /// fault.
    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> bool;

    /// Writes from `addr` on. False when not all of it is RAM; what comes before the first byte that is not may be written.
    fn write(&mut self, addr: u64, bytes: &[u8]) -> bool;
}

/// Why a disk does not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskFault {
    /// Not all of it lies on the disk, or there is no such disk.
    #[error("beyond the end of the disk")]
    OutOfRange,
    /// The disk cannot be written.
    #[error("the disk is read-only")]
    ReadOnly,
    /// The disk cannot give these bytes.
    #[error("the disk cannot be read there")]
    Unreadable,
}

/// The contents of all disks, by number.
pub trait Disks {
    /// Bytes on disk `disk`; zero if there is none.
    fn len(&self, disk: usize) -> u64;

    /// Fills `bytes` from byte `offset` of a disk on.
    ///
    /// # Errors
    /// [`DiskFault`] is something that the guest is told of.
    fn read(&mut self, disk: usize, offset: u64, bytes: &mut [u8]) -> Result<(), DiskFault>;

    /// Overwrites what is at byte `offset` of a disk and behind it.
    ///
    /// # Errors
    /// [`DiskFault`] is something that the guest is told of.
    fn write(&mut self, disk: usize, offset: u64, bytes: &[u8]) -> Result<(), DiskFault>;
}

/// What a bus master is handed for the time of one call.
pub struct Masters<'a> {
    /// Guest-physical memory.
    pub memory: &'a mut dyn Memory,
    /// The disks.
    pub disks: &'a mut dyn Disks,
}

/// Memory and disks for tests of devices.
#[cfg(test)]
#[allow(dead_code, reason = "for tests of devices")]
pub(crate) mod tests {
    use super::*;

    /// RAM from address 0 on.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Ram(pub Vec<u8>);

    impl Memory for Ram {
        fn read(&mut self, addr: u64, bytes: &mut [u8]) -> bool {
            let from = usize::try_from(addr).ok().and_then(|at| self.0.get(at..at.checked_add(bytes.len())?));
            from.map(|from| bytes.copy_from_slice(from)).is_some()
        }

        fn write(&mut self, addr: u64, bytes: &[u8]) -> bool {
            let to =
                usize::try_from(addr).ok().and_then(|at| self.0.get_mut(at..at.checked_add(bytes.len())?));
            to.map(|to| to.copy_from_slice(bytes)).is_some()
        }
    }

    /// Disks in memory.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RamDisks(pub Vec<Vec<u8>>);

    impl RamDisks {
        fn range(&mut self, disk: usize, offset: u64, len: usize) -> Result<&mut [u8], DiskFault> {
            let at = usize::try_from(offset).map_err(|_| DiskFault::OutOfRange)?;
            let end = at.checked_add(len).ok_or(DiskFault::OutOfRange)?;
            self.0.get_mut(disk).and_then(|disk| disk.get_mut(at..end)).ok_or(DiskFault::OutOfRange)
        }
    }

    impl Disks for RamDisks {
        fn len(&self, disk: usize) -> u64 {
            self.0.get(disk).map_or(0, |disk| disk.len() as u64)
        }

        fn read(&mut self, disk: usize, offset: u64, bytes: &mut [u8]) -> Result<(), DiskFault> {
            bytes.copy_from_slice(self.range(disk, offset, bytes.len())?);
            Ok(())
        }

        fn write(&mut self, disk: usize, offset: u64, bytes: &[u8]) -> Result<(), DiskFault> {
            self.range(disk, offset, bytes.len())?.copy_from_slice(bytes);
            Ok(())
        }
    }
}
