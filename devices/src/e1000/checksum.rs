//! The Internet's checksum (RFC 1071), and where the chip puts it.

/// The sum of 16-bit words in ones' complement; an odd byte at the end is the upper half of a word.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let mut sum = 0u64;
    for word in words {
        sum += u64::from(word);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Where a checksum goes and what it covers, as a context descriptor says (3.3.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Place {
    /// First byte covered.
    pub start: u8,
    /// Where the checksum is, two bytes.
    pub at: u8,
    /// Last byte covered; 0 for all of the frame.
    pub end: u16,
}

impl Place {
    /// Puts the checksum into `frame`; what is at its place counts, since the driver has put a pseudo header's sum there. Does
    /// nothing where the frame is too short. `udp`: a checksum of zero would mean that there is none.
    pub fn insert(self, frame: &mut [u8], udp: bool) {
        let end = if self.end == 0 { frame.len() } else { frame.len().min(usize::from(self.end) + 1) };
        let Some(covered) = frame.get(usize::from(self.start)..end) else { return };
        let checksum = match !sum(covered) {
            0 if udp => 0xffff,
            other => other,
        };
        set_u16(frame, usize::from(self.at), checksum);
    }
}

/// Two bytes, most significant first, if they are there.
pub(super) fn u16_at(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

/// Overwrites two bytes, if they are there.
pub(super) fn set_u16(frame: &mut [u8], at: usize, value: u16) {
    if let Some(place) = frame.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value.to_be_bytes();
    }
}
