//! What passt hears of TCP acknowledgements: the same as the guest says, in a way that passt understands.
//!
//! passt takes the first acknowledgement that repeats the one before for a sign of loss, and sends all that the window allows once more; what
//! the guest acknowledges of that it has had already, so it repeats itself, and passt begins again. But Linux repeats itself without any
//! loss: when a frame interrupts it just before it tells of a larger window, which the frame fills. As long as nothing is lost between
//! passt and the card, only what RFC 5681 (3.2) calls a loss is told: three repetitions, and once.
//!
//! And passt does not hear of a window that differs by less than a hundredth from the one before, so it sends more than a smaller one has room for.
//! The guest drops that, the repetitions that follow have another window than passt knows of and are no sign of loss to it, and nothing moves
//! until passt sends again after two seconds. So it is told of windows with fewer digits, never of more room than there is.

use std::borrow::Cow;
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
/// Where a TCP header has its window and its checksum.
const WINDOW: usize = 14;
const CHECKSUM: usize = 16;
/// Binary digits of a window that passt is told of: two that differ do so by a sixty-fourth at least.
const DIGITS: u32 = 6;

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
    /// Where its header begins in the frame.
    at: usize,
}

impl Acknowledgements {
    /// What passt is to be told instead of `frame`; nothing if it only repeats what was said last, unless that means a loss.
    pub fn tell<'a>(&mut self, frame: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let Some(segment) = Segment::of(frame) else { return Some(Cow::Borrowed(frame)) };
        self.is_news(&segment).then(|| segment.with_coarse_window(frame))
    }

    fn is_news(&mut self, segment: &Segment<'_>) -> bool {
        let place = self.flows.iter().rposition(|flow| segment.is_of(flow));
        let before = place.and_then(|place| self.flows.remove(place));
        if segment.flags & CONTROL != 0 {
            return true;
        }
        let (said, ends) = (segment.said, segment.ends.concat());
        let is_pure = !segment.has_data && segment.flags == ACK;
        let before = before.filter(|_| is_pure).map(|flow| (flow.said, flow.repeated));
        let repeated = match before {
            Some((before, repeated)) if before == said => repeated.saturating_add(1),
            Some(_) | None => 0,
        };
        let is_heard = before.is_none_or(|(before, _)| before.coarse() != said.coarse());
        if self.flows.len() == MOST_FLOWS {
            self.flows.pop_front();
        }
        self.flows.push_back(Flow { ends, said, repeated });
        is_heard || repeated == LOSS
    }
}

impl Said {
    /// As passt hears it.
    fn coarse(self) -> Self {
        Self { window: coarse(self.window), ..self }
    }
}

/// A window with fewer digits, rounded down.
fn coarse(window: u16) -> u16 {
    let dropped = (u16::BITS - window.leading_zeros()).saturating_sub(DIGITS);
    window >> dropped << dropped
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
        let at = ETHERNET_HEADER + header;
        Some(Self { ends, said, flags: segment.get(13)? & 0x3f, has_data: data != 0, at })
    }

    /// The frame that it is in, with the window that passt is told of; its checksum follows (RFC 1624).
    fn with_coarse_window(&self, frame: &'a [u8]) -> Cow<'a, [u8]> {
        let (old, new) = (self.said.window, coarse(self.said.window));
        let checksum = frame.get(self.at + CHECKSUM..).and_then(|rest| rest.first_chunk());
        let Some(checksum) = checksum.filter(|_| old != new) else { return Cow::Borrowed(frame) };
        let sum = u32::from(!u16::from_be_bytes(*checksum)) + u32::from(!old) + u32::from(new);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        let mut told = frame.to_vec();
        told[self.at + WINDOW..][..2].copy_from_slice(&new.to_be_bytes());
        told[self.at + CHECKSUM..][..2].copy_from_slice(&sum.to_be_bytes());
        Cow::Owned(told)
    }

    fn is_of(&self, flow: &Flow) -> bool {
        let [addresses, ports] = self.ends;
        flow.ends.strip_prefix(addresses) == Some(ports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Acknowledgements {
        fn heard(&mut self, frame: &[u8]) -> bool {
            self.tell(frame).is_some()
        }
    }

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
        let news = [1, 2, 3, 4, 5, 6].map(|_| told.heard(&same));
        assert_eq!(news, [true, false, false, true, false, false]);
        assert!(told.heard(&segment(1, 131, 27_633_029, 288, 0)));
        assert!(!told.heard(&segment(1, 131, 27_633_029, 288, 0)));
    }

    #[test]
    fn what_says_anything_new_is_told() {
        let mut told = Acknowledgements::default();
        let first = segment(1, 100, 5000, 288, 0);
        assert!(told.heard(&first));
        for other in [
            segment(1, 100, 5000, 296, 0),
            segment(1, 100, 5000, 288, 10),
            // Behind data it says nothing new, and before them it asks whether the peer is there.
            segment(1, 109, 5000, 288, 0),
            segment(2, 100, 5000, 288, 0),
        ] {
            assert!(told.heard(&other));
            assert!(told.heard(&first) == (other[35] == 1));
        }
        let mut last = first.clone();
        last[47] |= 1;
        assert!(told.heard(&last) && told.heard(&last), "FIN");
    }

    #[test]
    fn other_frames_and_cut_ones_are_told() {
        let mut told = Acknowledgements::default();
        let whole = segment(1, 0, 0, 0, 0);
        for length in 0..whole.len() {
            for _ in 0..2 {
                assert!(told.heard(&whole[..length]), "{length}");
            }
        }
        let mut datagram = whole;
        datagram[23] = 17;
        assert!(told.heard(&datagram) && told.heard(&datagram));
    }

    #[test]
    fn connections_are_forgotten_in_the_end() {
        let mut told = Acknowledgements::default();
        for port in 0..300 {
            assert!(told.heard(&segment(port, 0, 0, 0, 0)));
        }
        assert_eq!(told.flows.len(), MOST_FLOWS);
        assert!(told.heard(&segment(0, 0, 0, 0, 0)) && !told.heard(&segment(299, 0, 0, 0, 0)));
    }

    #[test]
    fn repetitions_over_ipv6_are_known_too() {
        let mut told = Acknowledgements::default();
        let mut frame = vec![0; ETHERNET_HEADER + 60];
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame[18..21].copy_from_slice(&[0, 20, TCP]);
        frame[ETHERNET_HEADER + 52] = 0x50;
        frame[ETHERNET_HEADER + 53] = ACK;
        assert_eq!([1, 2].map(|_| told.heard(&frame)), [true, false]);
        frame[ETHERNET_HEADER + 20] = 1;
        assert!(told.heard(&frame), "another address");
    }

    /// passt's own rule, and nothing but what it has been told.
    #[test]
    fn passt_never_believes_in_more_room_than_there_is() {
        let (mut told, mut believed) = (Acknowledgements::default(), 0u64);
        let windows = (0..=u16::MAX).chain((0..=u16::MAX).rev()).chain([1004, 1002, 1004, 992, 65535, 1, 0]);
        for (n, window) in windows.enumerate() {
            if let Some(frame) = told.tell(&segment(1, 0, n as u32, window, 0)) {
                let heard = u64::from(Segment::of(&frame).unwrap().said.window);
                let is_much = heard * 99 / 100 >= believed || heard * 101 / 100 <= believed;
                believed = if heard != believed && is_much { heard } else { believed };
            }
            let window = u64::from(window);
            assert!(
                believed <= window && believed * 33 >= window * 32 - window / 32,
                "{believed} of {window}"
            );
        }
    }

    #[test]
    fn a_window_that_passt_would_not_hear_of_is_not_told() {
        let mut told = Acknowledgements::default();
        // The third is new to passt, and no repetition; the others differ from it by less than they are told in.
        let heard = [512, 513, 528, 529, 528, 530].map(|window| told.heard(&segment(1, 7, 7, window, 0)));
        assert_eq!(heard, [true, false, true, false, false, false]);
    }

    #[test]
    fn the_checksum_follows_the_window() {
        fn sum(bytes: &[u8]) -> u16 {
            let mut sum: u32 =
                bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            sum as u16
        }
        for window in [1002, 65535, 63, 0] {
            let mut frame = segment(9, 4_000_000_000, 77, window, 6);
            let tcp = ETHERNET_HEADER + 20;
            let checksum = !sum(&frame[tcp..]);
            frame[tcp + CHECKSUM..][..2].copy_from_slice(&checksum.to_be_bytes());
            let told = Acknowledgements::default().tell(&frame).unwrap().into_owned();
            assert_eq!(sum(&told[tcp..]), 0xffff);
            assert_eq!(told == frame, window < 64);
        }
    }
}
