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

/// The frame check sequence of a frame (IEEE 802.3, 3.2.9).
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut n = 0;
        while n < 16 {
            let mut value = n as u32;
            let mut bit = 0;
            while bit < 4 {
                value = value >> 1 ^ if value & 1 != 0 { POLYNOMIAL } else { 0 };
                bit += 1;
            }
            table[n] = value;
            n += 1;
        }
        table
    };
    let half = |crc: u32, nibble: u32| crc >> 4 ^ TABLE[((crc ^ nibble) & 15) as usize];
    !bytes.iter().fold(!0, |crc, byte| half(half(crc, u32::from(*byte)), u32::from(*byte) >> 4))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_sequence_is_the_standards() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
