//! Frames as a capture file with nanoseconds ("pcap", <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-06.html>),
//! which Wireshark and tcpdump read.

use rrvmm_replay::VirtualTime;
use std::io::{self, Write};

/// A frame and when it was on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Guest time.
    pub at: VirtualTime,
    /// From the destination's address on, without its checksum.
    pub bytes: Vec<u8>,
}

/// Times are in nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
const VERSION: (u16, u16) = (2, 4);
/// Longest frame that is written whole.
const SNAPSHOT_LENGTH: u32 = 0x4_0000;
const LINK_TYPE_ETHERNET: u32 = 1;

/// Writes `frames`, whose times count from `wall_clock`, in seconds since 1970-01-01 00:00:00 UTC.
///
/// # Errors
/// `out` fails.
pub fn write<'a, W: Write>(
    out: &mut W,
    wall_clock: i64,
    frames: impl IntoIterator<Item = &'a Frame>,
) -> io::Result<()> {
    out.write_all(&MAGIC.to_le_bytes())?;
    out.write_all(&VERSION.0.to_le_bytes())?;
    out.write_all(&VERSION.1.to_le_bytes())?;
    for word in [0, 0, SNAPSHOT_LENGTH, LINK_TYPE_ETHERNET] {
        out.write_all(&word.to_le_bytes())?;
    }
    for frame in frames {
        let ns = frame.at.ns();
        // Like the format itself, good until 2106.
        let seconds = wall_clock.wrapping_add_unsigned(ns / 1_000_000_000) as u32;
        let kept = frame.bytes.len().min(SNAPSHOT_LENGTH as usize);
        for word in [seconds, (ns % 1_000_000_000) as u32, kept as u32, frame.bytes.len() as u32] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame.bytes[..kept])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_time_and_length() {
        let frame = Frame { at: VirtualTime::from_ns(2_000_000_003), bytes: vec![7; 60] };
        let mut out = Vec::new();
        write(&mut out, 1_700_000_000, [&frame]).unwrap();
        assert_eq!(out.len(), 24 + 16 + 60);
        assert_eq!(out[..4], [0x4d, 0x3c, 0xb2, 0xa1]);
        let word = |at: usize| u32::from_le_bytes(out[at..at + 4].try_into().unwrap());
        assert_eq!([24, 28, 32, 36].map(word), [1_700_000_002, 3, 60, 60]);
    }
}
