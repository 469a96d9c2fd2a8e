//! Checksums that the chip computes: the Internet's (RFC 1071) and that of an Ethernet frame (IEEE 802.3, 3.2.9).

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

/// The frame check sequence.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
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
