//! What network cards have in common.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Frames that wait in a card; what comes when they are that many is lost, as with a full FIFO.
const MOST_WAITING: usize = 1024;

/// Frames that have arrived and for which the guest has had no room yet, in the order of their arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Arrivals(VecDeque<Vec<u8>>);

impl Arrivals {
    /// Takes a frame. False when it is lost.
    pub fn push(&mut self, frame: &[u8]) -> bool {
        let has_room = self.0.len() < MOST_WAITING;
        if has_room {
            self.0.push_back(frame.to_vec());
        }
        has_room
    }

    /// The frame that has waited longest.
    pub fn first(&self) -> Option<&[u8]> {
        self.0.front().map(Vec::as_slice)
    }

    /// The first frame is done with.
    pub fn drop_first(&mut self) {
        self.0.pop_front();
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in all of them.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

/// Bytes that the check sequence takes in one step.
const STEP: usize = 8;

/// What each byte adds to the check sequence, by how many bytes of its step follow it.
static TABLES: [[u32; 256]; STEP] = {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut tables = [[0; 256]; STEP];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut step = 0;
        while step < STEP {
            let mut bit = 0;
            while bit < 8 {
                value = value >> 1 ^ if value & 1 != 0 { POLYNOMIAL } else { 0 };
                bit += 1;
            }
            tables[step][byte] = value;
            step += 1;
        }
        byte += 1;
    }
    tables
};

/// The frame check sequence of a frame (IEEE 802.3, 3.2.9).
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let (steps, rest) = bytes.as_chunks::<STEP>();
    let crc = steps.iter().fold(!0, |crc: u32, step| {
        let word = u64::from_le_bytes(*step) ^ u64::from(crc);
        let tables = TABLES.iter().rev().zip(word.to_le_bytes());
        tables.fold(0, |crc, (table, byte)| crc ^ table[usize::from(byte)])
    });
    !rest.iter().fold(crc, |crc, byte| crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_sequence_is_the_standards() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(super::crc32(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
    }
}
