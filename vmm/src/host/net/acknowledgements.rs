//! TCP acknowledgements that are said again on their way to passt.
//!
//! passt takes the first acknowledgement that repeats the one before for a sign of loss, and sends all that the window allows once more; what
//! the guest acknowledges of that it has had already, so it repeats itself, and passt begins again. But Linux repeats itself without any
//! loss: when a frame interrupts it just before it tells of a larger window, which the frame fills. As long as nothing is lost between
//! passt and the card, only what RFC 5681 (3.2) calls a loss is told: three repetitions, and once.

use std::collections::VecDeque;

/// Repetitions that mean a loss.
const LOSS: u32 = 3;
/// Connections that are kept in mind, those used last.
const MOST_FLOWS: usize = 256;
const ETHERNET_HEADER: usize = 14;
const TCP: u8 = 6;
const ACK: u8 = 0x10;
/// SYN, FIN and RST.
const CONTROL: u8 = 0x07;

/// What was said last on each connection.
#[derive(Debug, Default)]
pub(super) struct Acknowledgements {
    /// The one used last is the last.
    flows: VecDeque<Flow>,
}

#[derive(Debug)]
struct Flow {
    ends: Vec<u8>,
    said: Said,
    repeated: u32,
}

/// What a segment says about what has been received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    /// Sequence number behind the segment.
    next: u32,
    acknowledged: u32,
    window: u16,
}

/// A TCP segment.
struct Segment<'a> {
    /// Addresses and ports.
    ends: [&'a [u8]; 2],
    said: Said,
    flags: u8,
    has_data: bool,
}

impl Acknowledgements {
    /// Whether to send `frame`: not if it only repeats what was said last, unless that means a loss.
    pub fn is_news(&mut self, frame: &[u8]) -> bool {
        let Some(segment) = Segment::of(frame) else { return true };
        let place = self.flows.iter().rposition(|flow| segment.is_of(flow));
        let before = place.and_then(|place| self.flows.remove(place));
        if segment.flags & CONTROL != 0 {
            return true;
        }
        let (said, ends) = (segment.said, segment.ends.concat());
        let repeats = before.filter(|flow| flow.said == said && !segment.has_data && segment.flags == ACK);
        let repeated = repeats.map_or(0, |flow| flow.repeated.saturating_add(1));
        if self.flows.len() == MOST_FLOWS {
            self.flows.pop_front();
        }
        self.flows.push_back(Flow { ends, said, repeated });
        matches!(repeated, 0 | LOSS)
    }
}

impl<'a> Segment<'a> {
    fn of(frame: &'a [u8]) -> Option<Self> {
        let packet = frame.get(ETHERNET_HEADER..)?;
        let half = |at: usize| Some(usize::from(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?)));
        let (header, length, protocol, addresses) = match frame.get(12..ETHERNET_HEADER)? {
            // Not the later fragments of a packet.
            [0x08, 0x00] if half(6)? & 0x1fff == 0 => {
                (usize::from(packet.first()? & 15) * 4, half(2)?, *packet.get(9)?, packet.get(12..20)?)
            }
            [0x86, 0xdd] => (40, half(4)? + 40, *packet.get(6)?, packet.get(8..40)?),
            _ => return None,
        };
        let segment = packet.get(header..length).filter(|_| protocol == TCP)?;
        let word = |at: usize| Some(u32::from_be_bytes(*segment.get(at..)?.first_chunk()?));
        let data = segment.len().checked_sub(usize::from(segment.get(12)? >> 4) * 4)?;
        let said = Said {
            next: word(4)?.wrapping_add(data as u32),
            acknowledged: word(8)?,
            window: (word(12)? & 0xffff) as u16,
        };
        let ends = [addresses, segment.get(..4)?];
        Some(Self { ends, said, flags: segment.get(13)? & 0x3f, has_data: data != 0 })
    }

    fn is_of(&self, flow: &Flow) -> bool {
        let [addresses, ports] = self.ends;
        flow.ends.strip_prefix(addresses) == Some(ports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of connection `port`, over IPv4, with a header of 20 bytes.
    fn segment(port: u16, sequence: u32, acknowledged: u32, window: u16, data: usize) -> Vec<u8> {
        let mut frame = vec![0; ETHERNET_HEADER + 40 + data];
        frame[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
        frame[16..18].copy_from_slice(&(40 + data as u16).to_be_bytes());
        frame[23] = TCP;
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame[38..42].copy_from_slice(&sequence.to_be_bytes());
        frame[42..46].copy_from_slice(&acknowledged.to_be_bytes());
        frame[46] = 0x50;
        frame[47] = ACK;
        frame[48..50].copy_from_slice(&window.to_be_bytes());
        frame
    }

    /// What Linux sends when a frame interrupts it: passt answered it with all of the window once more.
    #[test]
    fn one_repetition_is_no_loss_and_three_are_one() {
        let mut told = Acknowledgements::default();
        let same = segment(1, 131, 27_614_597, 288, 0);
        let news = [1, 2, 3, 4, 5, 6].map(|_| told.is_news(&same));
        assert_eq!(news, [true, false, false, true, false, false]);
        assert!(told.is_news(&segment(1, 131, 27_633_029, 288, 0)));
        assert!(!told.is_news(&segment(1, 131, 27_633_029, 288, 0)));
    }

    #[test]
    fn what_says_anything_new_is_told() {
        let mut told = Acknowledgements::default();
        let first = segment(1, 100, 5000, 288, 0);
        assert!(told.is_news(&first));
        for other in [
            segment(1, 100, 5000, 289, 0),
            segment(1, 100, 5000, 288, 10),
            // Behind data it says nothing new, and before them it asks whether the peer is there.
            segment(1, 109, 5000, 288, 0),
            segment(2, 100, 5000, 288, 0),
        ] {
            assert!(told.is_news(&other));
            assert!(told.is_news(&first) == (other[35] == 1));
        }
        let mut last = first.clone();
        last[47] |= 1;
        assert!(told.is_news(&last) && told.is_news(&last), "FIN");
    }

    #[test]
    fn other_frames_and_cut_ones_are_told() {
        let mut told = Acknowledgements::default();
        let whole = segment(1, 0, 0, 0, 0);
        for length in 0..whole.len() {
            for _ in 0..2 {
                assert!(told.is_news(&whole[..length]), "{length}");
            }
        }
        let mut datagram = whole;
        datagram[23] = 17;
        assert!(told.is_news(&datagram) && told.is_news(&datagram));
    }

    #[test]
    fn connections_are_forgotten_in_the_end() {
        let mut told = Acknowledgements::default();
        for port in 0..300 {
            assert!(told.is_news(&segment(port, 0, 0, 0, 0)));
        }
        assert_eq!(told.flows.len(), MOST_FLOWS);
        assert!(told.is_news(&segment(0, 0, 0, 0, 0)) && !told.is_news(&segment(299, 0, 0, 0, 0)));
    }

    #[test]
    fn repetitions_over_ipv6_are_known_too() {
        let mut told = Acknowledgements::default();
        let mut frame = vec![0; ETHERNET_HEADER + 60];
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame[18..21].copy_from_slice(&[0, 20, TCP]);
        frame[ETHERNET_HEADER + 52] = 0x50;
        frame[ETHERNET_HEADER + 53] = ACK;
        assert_eq!([1, 2].map(|_| told.is_news(&frame)), [true, false]);
        frame[ETHERNET_HEADER + 20] = 1;
        assert!(told.is_news(&frame), "another address");
    }
}
