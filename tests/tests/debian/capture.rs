//! Captures of frames, ours and passt's (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-06.html>).

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// The first card's address.
const GUEST: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/// The frames that the guest sent, and those that it received, each in order.
pub struct Capture {
    pub sent: Vec<Vec<u8>>,
    pub received: Vec<Vec<u8>>,
}

impl Capture {
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let mut rest = bytes.get(HEADER..).context("the capture has no header")?;
        let mut all = Vec::new();
        while let Some((header, behind)) = rest.split_at_checked(RECORD_HEADER) {
            let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
            let (frame, next) = behind.split_at_checked(length).context("the capture is cut off")?;
            all.push(without_padding(frame).to_vec());
            rest = next;
        }
        let (sent, received) = all.into_iter().partition(|frame| frame.get(6..12) == Some(&GUEST[..]));
        Ok(Self { sent, received })
    }

    /// Whether `self`, of the replay, is what `host` had to do with: frames may have been on their way at the end.
    /// Acknowledgements that only repeat the one before need not have been passed on, and passt is told of smaller windows.
    pub fn agrees_with(&self, host: &Self) -> Result<()> {
        let told: Vec<_> = self.sent.iter().map(|frame| with_coarse_window(frame)).collect();
        let (sent, arrived) = (news(&told), news(&host.sent));
        is_beginning(&arrived, &sent).context("of what the guest sent, what arrived")?;
        let (received, sent) =
            (self.received.iter().collect::<Vec<_>>(), host.received.iter().collect::<Vec<_>>());
        is_beginning(&received, &sent).context("of what was sent to the guest, what arrived")
    }

    /// Of the TCP segments with data that were sent to the guest, how many there were and how many had been sent before.
    pub fn sent_again(&self) -> (usize, usize) {
        let (mut all, mut again) = (0, 0);
        let mut ends = BTreeMap::new();
        for segment in self.received.iter().filter_map(|frame| Segment::of(frame)).filter(|it| it.data != 0) {
            let end = segment.sequence.wrapping_add(segment.data);
            let highest = ends.entry(segment.ends).or_insert(segment.sequence);
            all += 1;
            if (end.wrapping_sub(*highest) as i32) > 0 {
                *highest = end;
            } else {
                again += 1;
            }
        }
        (all, again)
    }
}

/// A TCP segment over IPv4.
struct Segment<'a> {
    /// Addresses and ports.
    ends: &'a [u8],
    sequence: u32,
    acknowledged: u32,
    window: u16,
    is_plain: bool,
    /// Bytes of data.
    data: u32,
}

impl<'a> Segment<'a> {
    /// What `frame`, without padding, is if it is one. IP headers with options are none of ours.
    fn of(frame: &'a [u8]) -> Option<Self> {
        if frame.get(12..15)? != [0x08, 0x00, 0x45] || *frame.get(23)? != 6 {
            return None;
        }
        let word = |at: usize| Some(u32::from_be_bytes(*frame.get(at..)?.first_chunk()?));
        let header = 34 + u32::from(*frame.get(46)? >> 4) * 4;
        Some(Self {
            ends: frame.get(26..38)?,
            sequence: word(38)?,
            acknowledged: word(42)?,
            window: (word(46)? & 0xffff) as u16,
            is_plain: *frame.get(47)? & 0x3f == 0x10,
            data: (frame.len() as u32).saturating_sub(header),
        })
    }
}

/// A frame as passt is told of it: of a TCP segment's window the first six binary digits.
fn with_coarse_window(frame: &[u8]) -> Vec<u8> {
    let mut told = frame.to_vec();
    let Some(segment) = Segment::of(frame) else { return told };
    let digits = u16::BITS - segment.window.leading_zeros();
    let window = segment.window & !((1 << digits.saturating_sub(6)) - 1);
    if window != segment.window {
        told[48..50].copy_from_slice(&window.to_be_bytes());
        told[50..52].fill(0);
        let sum = checksum(&told);
        told[50..52].copy_from_slice(&sum.to_be_bytes());
    }
    told
}

/// The checksum of a TCP segment over IPv4, in whose place there is zero (RFC 9293, 3.1).
fn checksum(frame: &[u8]) -> u16 {
    let length = (frame.len() - 34) as u16;
    let pseudo_header = [&frame[26..34], &[0, 6], &length.to_be_bytes()].concat();
    let words = [&pseudo_header[..], &frame[34..]].concat();
    let value = |word: &[u8]| u64::from(word[0]) << 8 | u64::from(*word.get(1).unwrap_or(&0));
    let mut sum: u64 = words.chunks(2).map(value).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The frames without those that only acknowledge again what the one before acknowledges.
fn news(frames: &[Vec<u8>]) -> Vec<&Vec<u8>> {
    let mut said = BTreeMap::new();
    let mut news = Vec::new();
    for frame in frames {
        let repeats = Segment::of(frame).is_some_and(|it| {
            let says = (it.sequence.wrapping_add(it.data), it.acknowledged, it.window);
            said.insert(it.ends, says) == Some(says) && it.is_plain && it.data == 0
        });
        if !repeats {
            news.push(frame);
        }
    }
    news
}

/// Most frames that may be on their way at once at the end of a run.
const ON_THEIR_WAY: usize = 20;

fn is_beginning(part: &[&Vec<u8>], whole: &[&Vec<u8>]) -> Result<()> {
    ensure!(
        part.len() <= whole.len() && whole.len() - part.len() <= ON_THEIR_WAY,
        "{} of {}",
        part.len(),
        whole.len()
    );
    let differs = part.iter().zip(whole).position(|(one, other)| one != other);
    ensure!(differs.is_none(), "frame {differs:?} differs");
    Ok(())
}

/// A frame without what fills it up to the shortest that Ethernet has.
fn without_padding(frame: &[u8]) -> &[u8] {
    const ARP: usize = 42;
    match frame.get(12..18) {
        Some([0x08, 0x00, _, _, high, low]) => {
            frame.get(..14 + usize::from(u16::from_be_bytes([*high, *low]))).unwrap_or(frame)
        }
        Some([0x08, 0x06, ..]) => frame.get(..ARP).unwrap_or(frame),
        _ => frame,
    }
}
