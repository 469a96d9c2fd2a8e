//! A console as a terminal recording: asciicast version 2, which asciinema plays (asciinema documentation, "asciicast v2").

use std::io::{self, Write};

use rrvmm_replay::VirtualTime;
use serde_json::json;

/// Width and height of the terminal, in characters.
const SIZE: (u32, u32) = (80, 25);
/// Most bytes of a character that may be still to come.
const LONGEST: usize = 4;

/// Writes one console's bytes with the times at which the guest sent them.
#[derive(Debug)]
pub struct Asciicast<W> {
    to: W,
    /// Bytes not written yet, which all came at [`Self::at`].
    pending: Vec<u8>,
    at: VirtualTime,
}

impl<W: Write> Asciicast<W> {
    /// Begins one. `unix_seconds` is when the run began, `title` what it is of.
    ///
    /// # Errors
    /// `to` cannot be written.
    pub fn begin(mut to: W, unix_seconds: i64, title: &str) -> io::Result<Self> {
        let (width, height) = SIZE;
        let head = json!({"version": 2, "width": width, "height": height, "timestamp": unix_seconds, "title": title});
        writeln!(to, "{head}")?;
        Ok(Self { to, pending: Vec::new(), at: VirtualTime::ZERO })
    }

    /// A byte was sent at `time`, not before the last one.
    ///
    /// # Errors
    /// `to` cannot be written.
    pub fn add(&mut self, time: VirtualTime, byte: u8) -> io::Result<()> {
        if time != self.at {
            self.write_pending(false)?;
            self.at = time;
        }
        self.pending.push(byte);
        Ok(())
    }

    /// Ends it; `to` is given back.
    ///
    /// # Errors
    /// `to` cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_pending(true)?;
        self.to.flush()?;
        Ok(self.to)
    }

    /// Writes what is pending as one event. Without `all`, the beginning of a character waits for the rest.
    fn write_pending(&mut self, all: bool) -> io::Result<()> {
        let end = if all { self.pending.len() } else { complete(&self.pending) };
        if end > 0 {
            let text = String::from_utf8_lossy(&self.pending[..end]);
            writeln!(self.to, "{}", json!([self.at.ns() as f64 / 1e9, "o", text]))?;
            self.pending.drain(..end);
        }
        Ok(())
    }
}

/// How many of the bytes are whole characters, or will never be any.
fn complete(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(LONGEST - 1);
    for at in (from..bytes.len()).rev() {
        let needed = match bytes[at] {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => 1,
        };
        return if bytes.len() - at < needed { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_their_times_and_characters_stay_whole() {
        let mut cast = Asciicast::begin(Vec::new(), 1_700_000_000, "a \"title\"").unwrap();
        for (ns, bytes) in
            [(0, &b"a\r\n"[..]), (1_500_000_000, b"\xe2\x94"), (2_000_000_000, b"\x80\x1b[0m\xff")]
        {
            for byte in bytes {
                cast.add(VirtualTime::from_ns(ns), *byte).unwrap();
            }
        }
        let text = String::from_utf8(cast.finish().unwrap()).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["version"], 2);
        assert_eq!(lines[0]["title"], "a \"title\"");
        assert_eq!(lines[1..], [json!([0.0, "o", "a\r\n"]), json!([2.0, "o", "─\x1b[0m\u{fffd}"])]);
    }
}
