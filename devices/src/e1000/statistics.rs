//! Counters that are cleared when they are read (13.7).

use serde::{Deserialize, Serialize};

const COUNT: usize = 64;

/// Places in the block of counters.
const MISSED: usize = 0x10 / 4;
const GOOD_RECEIVED: usize = 0x74 / 4;
const BROADCAST_RECEIVED: usize = 0x78 / 4;
const MULTICAST_RECEIVED: usize = 0x7c / 4;
const GOOD_SENT: usize = 0x80 / 4;
const GOOD_BYTES_RECEIVED: usize = 0x88 / 4;
const GOOD_BYTES_SENT: usize = 0x90 / 4;
const BYTES_RECEIVED: usize = 0xc0 / 4;
const BYTES_SENT: usize = 0xc8 / 4;
const RECEIVED: usize = 0xd0 / 4;
const SENT: usize = 0xd4 / 4;
const MULTICAST_SENT: usize = 0xf0 / 4;
const BROADCAST_SENT: usize = 0xf4 / 4;

/// The counters; those of bytes take two places each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Statistics(Vec<u32>);

impl Default for Statistics {
    fn default() -> Self {
        Self(vec![0; COUNT])
    }
}

impl Statistics {
    /// Reads counter `n`, which is zero then.
    pub fn take(&mut self, n: u8) -> u32 {
        self.0.get_mut(usize::from(n)).map_or(0, std::mem::take)
    }

    /// A frame was sent.
    pub fn sent(&mut self, frame: &[u8]) {
        self.count(frame, [GOOD_SENT, SENT], [GOOD_BYTES_SENT, BYTES_SENT], [BROADCAST_SENT, MULTICAST_SENT]);
    }

    /// A frame was put into memory.
    pub fn received(&mut self, frame: &[u8]) {
        let bytes = [GOOD_BYTES_RECEIVED, BYTES_RECEIVED];
        self.count(frame, [GOOD_RECEIVED, RECEIVED], bytes, [BROADCAST_RECEIVED, MULTICAST_RECEIVED]);
    }

    /// A frame found no room.
    pub fn missed(&mut self) {
        self.add(MISSED, 1);
    }

    fn count(&mut self, frame: &[u8], frames: [usize; 2], bytes: [usize; 2], groups: [usize; 2]) {
        for n in frames {
            self.add(n, 1);
        }
        for n in bytes {
            self.add_wide(n, frame.len() as u64 + 4);
        }
        match frame.first_chunk::<6>() {
            Some(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => self.add(groups[0], 1),
            Some(to) if to[0] & 1 != 0 => self.add(groups[1], 1),
            _ => {}
        }
    }

    /// Counters stay at their highest value.
    fn add(&mut self, n: usize, by: u32) {
        if let Some(counter) = self.0.get_mut(n) {
            *counter = counter.saturating_add(by);
        }
    }

    fn add_wide(&mut self, n: usize, by: u64) {
        if let Some([low, high]) = self.0.get_mut(n..).and_then(|rest| rest.first_chunk_mut::<2>()) {
            let sum = (u64::from(*high) << 32 | u64::from(*low)).saturating_add(by);
            (*low, *high) = (sum as u32, (sum >> 32) as u32);
        }
    }
}
