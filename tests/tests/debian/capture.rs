//! Captures of frames, ours and passt's (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-06.html>).

use anyhow::{Context as _, Result, ensure};
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
    pub fn agrees_with(&self, host: &Self) -> Result<()> {
        is_beginning(&host.sent, &self.sent).context("of what the guest sent, what arrived")?;
        is_beginning(&self.received, &host.received).context("of what was sent to the guest, what arrived")
    }
}

/// Most frames that may be on their way at once at the end of a run.
const ON_THEIR_WAY: usize = 20;

fn is_beginning(part: &[Vec<u8>], whole: &[Vec<u8>]) -> Result<()> {
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
