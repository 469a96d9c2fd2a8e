//! Drives with an ATA interface, disks and CD-ROM: what they answer to a command, whichever controller brought it.
//!
//! A drive decides at once what a command comes to ([`Answer`], [`Packet`]). The controller moves the data, in its own way
//! and at its own time, and tells the drive how it ended.

mod drive;
mod identify;
mod packet;
mod registers;

pub use drive::{Answer, AtaDrive, Drive, Media};
pub use packet::{PACKET_BYTES, Packet};
pub use registers::{Registers, error, status};

/// Bytes of a disk's sector.
pub const SECTOR: u64 = 512;
/// Bytes of a disc's block.
pub const DISC_BLOCK: u64 = 2048;
