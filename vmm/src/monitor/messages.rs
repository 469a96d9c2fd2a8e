//! Messages from a client, of bounded length.
//!
//! A message is a JSON object, on one line or several; some clients send no line end behind it and wait for the answer, so it
//! ends with its last bracket. What can become no message ends with its line. A byte FFh, which is in no text, ends whatever
//! came before, as QEMU has it.

use std::io::{self, BufRead};

/// Longest message that is looked at, in bytes: far longer than any command.
pub(super) const LONGEST: usize = 1 << 16;

/// Most line ends in a message.
const MOST_LINES: usize = 200;

const RESET: u8 = 0xFF;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Something that may be a message.
    Text(Vec<u8>),
    /// A message that was too long, and is left out.
    TooLong,
}

/// A message of which the beginning has been read.
#[derive(Default)]
struct Partial {
    text: Vec<u8>,
    is_too_long: bool,
    /// Open brackets.
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    lines: usize,
}

impl Partial {
    /// Takes a byte; whether it was the last.
    fn take(&mut self, byte: u8) -> bool {
        if byte == RESET {
            return !self.text.is_empty();
        }
        if self.text.is_empty() && byte.is_ascii_whitespace() {
            return false;
        }
        if self.text.len() < LONGEST {
            self.text.push(byte);
        } else {
            self.is_too_long = true;
        }
        if byte == b'\n' {
            return self.ends_with_line();
        }
        if !matches!(self.text[0], b'{' | b'[') {
            return false;
        }
        if self.in_string {
            self.in_string = self.is_escaped || byte != b'"';
            self.is_escaped = !self.is_escaped && byte == b'\\';
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }

    /// Whether nothing on the next line can complete this.
    fn ends_with_line(&mut self) -> bool {
        self.lines += 1;
        let may_go_on = self.depth > 0 && !self.in_string && !self.is_too_long && self.lines < MOST_LINES;
        let read = serde_json::from_slice::<serde::de::IgnoredAny>;
        !may_go_on || !read(&self.text).is_err_and(|error| error.is_eof())
    }

    fn finish(self) -> Message {
        if self.is_too_long { Message::TooLong } else { Message::Text(self.text) }
    }
}

/// The next message; none at the end. Half a message there is nobody's.
pub(super) fn next_message(from: &mut impl BufRead) -> io::Result<Option<Message>> {
    let mut partial = Partial::default();
    loop {
        let available = match from.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(None);
        }
        let last = available.iter().position(|byte| partial.take(*byte));
        let used = last.map_or(available.len(), |last| last + 1);
        from.consume(used);
        if last.is_some() {
            return Ok(Some(partial.finish()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    /// All messages in `bytes`, read in pieces of `size`.
    fn messages(bytes: &[u8], size: usize) -> Vec<Message> {
        let mut from = BufReader::with_capacity(size, bytes);
        std::iter::from_fn(|| next_message(&mut from).unwrap()).collect()
    }

    fn texts(bytes: &[u8]) -> Vec<String> {
        let found = messages(bytes, 5);
        assert_eq!(found, messages(bytes, 1 << 20));
        let text = |message| match message {
            Message::Text(text) => String::from_utf8_lossy(&text).into_owned(),
            Message::TooLong => "too long".to_owned(),
        };
        found.into_iter().map(text).collect()
    }

    #[test]
    fn a_message_ends_with_its_last_bracket() {
        assert_eq!(texts(br#"{"a":{"b":"}\"{"}}{"c":[]}"#), [r#"{"a":{"b":"}\"{"}}"#, r#"{"c":[]}"#]);
        assert_eq!(texts(b" \r\n{\n \"a\":\n1}\r\n\r\n{}"), ["{\n \"a\":\n1}", "{}"]);
    }

    #[test]
    fn nonsense_ends_with_its_line() {
        assert_eq!(texts(b"help\n{}\n7\n"), ["help\n", "{}", "7\n"]);
        assert_eq!(texts(b"{\"a\n{}"), ["{\"a\n", "{}"]);
        assert_eq!(texts(b"{oops\n{}"), ["{oops\n", "{}"]);
        assert_eq!(texts(b"}\n{]{}"), ["}\n", "{]", "{}"]);
        assert_eq!(texts(b"{\"a\":\xff\xff{}"), ["{\"a\":", "{}"]);
        assert_eq!(texts(b"{\"a\": 1"), [""; 0]);
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        for opening in [b'{', b'x'] {
            let mut bytes = vec![opening; LONGEST];
            bytes.extend(b"xyz\n{}");
            assert_eq!(texts(&bytes), ["too long", "{}"]);
        }
        let mut bytes = b"{\n".to_vec();
        bytes.extend(vec![b'\n'; 10 * LONGEST]);
        bytes.extend(b"}\n{}");
        assert_eq!(texts(&bytes).last().map(String::as_str), Some("{}"));
    }
}
