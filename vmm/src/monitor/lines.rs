//! Lines from a client, of bounded length.

use std::io::{self, BufRead};

/// Longest line that is looked at, in bytes: far longer than any command.
pub(super) const LONGEST: usize = 1 << 16;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line without its end.
    Text(Vec<u8>),
    /// A line that was too long, and is left out.
    TooLong,
}

/// The next line; none at the end. A last line without an end is half a line, and is nobody's.
pub(super) fn next_line(from: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut text = Vec::new();
    let mut is_too_long = false;
    loop {
        let (used, ended) = {
            let available = match from.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(None);
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            is_too_long |= text.len() + part.len() > LONGEST;
            if !is_too_long {
                text.extend_from_slice(part);
            }
            (end.map_or(available.len(), |end| end + 1), end.is_some())
        };
        from.consume(used);
        if ended {
            return Ok(Some(if is_too_long { Line::TooLong } else { Line::Text(text) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn lines_of_any_length_come_apart() {
        let mut bytes = b"one\n\n".to_vec();
        bytes.extend(vec![b'x'; LONGEST]);
        bytes.push(b'\n');
        bytes.extend(vec![b'y'; LONGEST + 1]);
        bytes.extend(b"\nlast\nhalf");
        let mut from = BufReader::with_capacity(7, &bytes[..]);
        let mut next = || next_line(&mut from).unwrap();
        assert_eq!(next(), Some(Line::Text(b"one".to_vec())));
        assert_eq!(next(), Some(Line::Text(Vec::new())));
        assert_eq!(next(), Some(Line::Text(vec![b'x'; LONGEST])));
        assert_eq!(next(), Some(Line::TooLong));
        assert_eq!(next(), Some(Line::Text(b"last".to_vec())));
        assert_eq!(next(), None);
    }
}
