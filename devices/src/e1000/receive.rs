//! The receiver: filters, and the ring of descriptors (3.2).

use super::interrupts::{RECEIVE_LOW, RECEIVED};
use super::registers::ReceiveRegister;
use super::ring::Ring;
use crate::dma::Memory;
use crate::ethernet::crc32;
use serde::{Deserialize, Serialize};

/// RCTL (13.4.22).
const ENABLE: u32 = 1 << 1;
const ALL_UNICAST: u32 = 1 << 3;
const ALL_MULTICAST: u32 = 1 << 4;
const LONG_FRAMES: u32 = 1 << 5;
const BROADCAST: u32 = 1 << 15;
const VLAN_FILTER: u32 = 1 << 18;
const SIZE_EXTENSION: u32 = 1 << 25;
const STRIP_CRC: u32 = 1 << 26;

/// In the upper half of a receive address: it is valid.
const ADDRESS_VALID: u32 = 1 << 31;

/// Status of a descriptor: done, end of packet, no checksum was looked at.
const DONE: u8 = 1;
const END_OF_PACKET: u8 = 1 << 1;
const IGNORE_CHECKSUM: u8 = 1 << 2;

/// Shortest frame and, without `LONG_FRAMES`, the longest; both without CRC.
const SHORTEST: usize = 60;
const LONGEST: usize = 1518;
const CRC: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receive {
    control: u32,
    ring: Ring,
    kept: Vec<u32>,
    addresses: Vec<u32>,
    multicast: Vec<u32>,
    vlans: Vec<u32>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is in memory.
    Stored {
        /// The interrupt causes of that.
        causes: u32,
    },
    /// It is not for this station.
    Filtered,
    /// There are not enough descriptors.
    NoRoom,
}

impl Receive {
    /// After reset, with the address from the EEPROM in the first filter.
    pub fn new(mac: [u8; 6]) -> Self {
        let mut addresses = vec![0; 32];
        addresses[0] = u32::from_le_bytes([mac[0], mac[1], mac[2], mac[3]]);
        addresses[1] = u32::from_le_bytes([mac[4], mac[5], 0, 0]) | ADDRESS_VALID;
        Self {
            control: 0,
            ring: Ring::default(),
            kept: vec![0; 16],
            addresses,
            multicast: vec![0; 128],
            vlans: vec![0; 128],
        }
    }

    pub fn read(&self, register: ReceiveRegister) -> u32 {
        let of = |table: &[u32], n: u8| table.get(usize::from(n)).copied().unwrap_or(0);
        match register {
            ReceiveRegister::Control => self.control,
            ReceiveRegister::Ring(register) => self.ring.read(register),
            ReceiveRegister::Kept(n) => of(&self.kept, n),
            ReceiveRegister::Address(n) => of(&self.addresses, n),
            ReceiveRegister::Multicast(n) => of(&self.multicast, n),
            ReceiveRegister::Vlan(n) => of(&self.vlans, n),
        }
    }

    pub fn write(&mut self, register: ReceiveRegister, value: u32) {
        let table = match register {
            ReceiveRegister::Control => return self.control = value,
            ReceiveRegister::Ring(register) => return self.ring.write(register, value),
            ReceiveRegister::Kept(n) => self.kept.get_mut(usize::from(n)),
            ReceiveRegister::Address(n) => self.addresses.get_mut(usize::from(n)),
            ReceiveRegister::Multicast(n) => self.multicast.get_mut(usize::from(n)),
            ReceiveRegister::Vlan(n) => self.vlans.get_mut(usize::from(n)),
        };
        if let Some(entry) = table {
            *entry = value;
        }
    }

    pub fn is_enabled(&self) -> bool {
        self.control & ENABLE != 0
    }

    /// Whether a frame could be stored.
    pub fn is_ready(&self) -> bool {
        self.is_enabled() && self.ring.given() != 0
    }

    /// Bytes of a buffer.
    fn buffer(&self) -> usize {
        let size = 2048 >> (self.control >> 16 & 3);
        // The extension means nothing for the largest.
        if self.control & SIZE_EXTENSION != 0 && size != 2048 { size * 16 } else { size }
    }

    /// Puts a frame into memory, if it is for this station.
    pub fn take(&mut self, frame: &[u8], memory: &mut dyn Memory) -> Taken {
        let long = frame.len() > LONGEST && self.control & LONG_FRAMES == 0;
        if !self.is_enabled() || long || !self.accepts(frame) {
            return Taken::Filtered;
        }
        let mut bytes = frame.to_vec();
        bytes.resize(frame.len().max(SHORTEST), 0);
        if self.control & STRIP_CRC == 0 {
            bytes.extend(crc32(&bytes).to_le_bytes());
            debug_assert!(bytes.len() >= SHORTEST + CRC);
        }
        let pieces = bytes.chunks(self.buffer());
        let last = pieces.len() - 1;
        if (self.ring.given() as usize) < pieces.len() {
            return Taken::NoRoom;
        }
        for (n, piece) in pieces.enumerate() {
            self.store(piece, n == last, memory);
        }
        let low = self.ring.given() <= self.ring.count() >> (1 + (self.control >> 8 & 3));
        Taken::Stored { causes: RECEIVED | if low { RECEIVE_LOW } else { 0 } }
    }

    /// Fills the buffer of the descriptor at the head. What lies outside memory is lost, as on a bus where nobody answers.
    fn store(&mut self, piece: &[u8], last: bool, memory: &mut dyn Memory) {
        let at = self.ring.take();
        let mut address = [0; 8];
        if memory.read(at, &mut address) {
            memory.write(u64::from_le_bytes(address), piece);
        }
        let mut rest = [0; 8];
        rest[..2].copy_from_slice(&(piece.len() as u16).to_le_bytes());
        rest[4] = DONE | IGNORE_CHECKSUM | if last { END_OF_PACKET } else { 0 };
        memory.write(at.wrapping_add(8), &rest);
    }

    /// Whether the filters let a frame through (3.2.2).
    fn accepts(&self, frame: &[u8]) -> bool {
        let Some(to) = frame.first_chunk::<6>() else { return false };
        self.passes_vlan(frame)
            && if *to == [0xff; 6] {
                self.control & (BROADCAST | ALL_MULTICAST) != 0
            } else if to[0] & 1 != 0 {
                self.control & ALL_MULTICAST != 0 || self.is_in_table(*to) || self.is_own(*to)
            } else {
                self.control & ALL_UNICAST != 0 || self.is_own(*to)
            }
    }

    fn is_own(&self, to: [u8; 6]) -> bool {
        let [a, b, c, d, e, f] = to;
        let own = [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, 0, 0]) | ADDRESS_VALID];
        self.addresses.chunks(2).any(|address| address == own)
    }

    /// Twelve bits of the address select a bit of the table; which ones, RCTL says.
    fn is_in_table(&self, to: [u8; 6]) -> bool {
        let shift = [4, 3, 2, 0][(self.control >> 12 & 3) as usize];
        let hash = (u16::from_le_bytes([to[4], to[5]]) >> shift & 0xfff) as usize;
        self.multicast.get(hash >> 5).is_some_and(|bits| bits >> (hash & 31) & 1 != 0)
    }

    fn passes_vlan(&self, frame: &[u8]) -> bool {
        let tag = match frame.get(12..16) {
            Some(&[0x81, 0x00, high, low]) => usize::from(u16::from_be_bytes([high, low]) & 0xfff),
            _ => return true,
        };
        self.control & VLAN_FILTER == 0
            || self.vlans.get(tag >> 5).is_some_and(|bits| bits >> (tag & 31) & 1 != 0)
    }
}
