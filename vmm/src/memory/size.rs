//! Sizes of memory as people write them: `512M`, `64K`, `2G`, or plain bytes.

use std::fmt;

/// Why a text is not a size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseSizeError {
    /// Not digits with an optional suffix.
    #[error("not a size: write a number with an optional suffix K, M or G, for example 512M")]
    Malformed,
    /// More than 64 bits.
    #[error("the size is too large")]
    Overflow,
}

/// Reads a size in bytes: digits and an optional suffix `K`, `M`, `G` or `T` (powers of 1024, either case).
///
/// # Errors
/// [`ParseSizeError`] when the text is anything else or does not fit into 64 bits.
pub fn parse_size(text: &str) -> Result<u64, ParseSizeError> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        Some(b't' | b'T') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseSizeError::Malformed);
    }
    let number: u64 = digits.parse().map_err(|_| ParseSizeError::Overflow)?;
    number.checked_mul(1 << shift).ok_or(ParseSizeError::Overflow)
}

/// Writes a count of bytes in the largest unit that divides it.
pub(super) fn write_size(f: &mut fmt::Formatter<'_>, bytes: u64) -> fmt::Result {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return write!(f, "{} {unit}", bytes >> shift);
        }
    }
    if bytes >= 1 << 20 { write!(f, "{} MiB", bytes >> 20) } else { write!(f, "{bytes} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_powers_of_1024() {
        assert_eq!(parse_size("512M"), Ok(512 << 20));
        assert_eq!(parse_size("64k"), Ok(64 << 10));
        assert_eq!(parse_size("3G"), Ok(3 << 30));
        assert_eq!(parse_size("4096"), Ok(4096));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "M", "-1M", "1.5G", "12MB", "0x10", " 5M", "5 M", "５M", "+5"] {
            assert_eq!(parse_size(text), Err(ParseSizeError::Malformed), "{text:?}");
        }
        for text in ["99999999999999999999", "99999999999G"] {
            assert_eq!(parse_size(text), Err(ParseSizeError::Overflow), "{text:?}");
        }
    }
}
