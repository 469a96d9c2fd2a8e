//! Numbers as people type them at a debugger.

use rrvmm_replay::Position;

/// A number: decimal, or hexadecimal with `0x`; digits may be grouped with `_`.
fn number(text: &str) -> Option<u64> {
    let digits = text.trim().replace('_', "");
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if digits.starts_with('+') => None,
        None => digits.replace(',', "").parse().ok(),
    }
}

/// An address.
///
/// # Errors
/// What to write instead.
pub fn parse_address(text: &str) -> Result<u64, String> {
    number(text).ok_or_else(|| format!("{text:?} is no address; write it like 0xffffffff81000000 or 4096"))
}

/// A position: a count of instructions.
///
/// # Errors
/// What to write instead.
pub fn parse_position(text: &str) -> Result<Position, String> {
    number(text)
        .map(Position::from_count)
        .ok_or_else(|| format!("{text:?} is no position; write a count of instructions like 1500000"))
}

/// `ADDR` or `ADDR:LENGTH`; a missing length is 1.
///
/// # Errors
/// What to write instead.
pub fn parse_range(text: &str) -> Result<(u64, u64), String> {
    let (addr, length) = match text.split_once(':') {
        Some((addr, length)) => {
            (addr, number(length).ok_or_else(|| format!("{length:?} is no count of bytes"))?)
        }
        None => (text, 1),
    };
    let addr = parse_address(addr)?;
    if length == 0 || addr.checked_add(length - 1).is_none() {
        return Err(format!("{text:?} holds no bytes, or goes beyond the last address"));
    }
    Ok((addr, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        assert_eq!(parse_address("0xffff_ffff"), Ok(0xffff_ffff));
        assert_eq!(parse_address("4096"), Ok(4096));
        assert_eq!(parse_position("1,500_000"), Ok(Position::from_count(1_500_000)));
        assert_eq!(parse_range("0x10:8"), Ok((16, 8)));
        assert_eq!(parse_range("0xffffffffffffffff"), Ok((u64::MAX, 1)));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "x", "-1", "0x", "0x+1", "+1", "0x1ffffffffffffffff"] {
            assert!(parse_address(text).is_err(), "{text:?}");
        }
        for text in ["1:0", "1:", ":1", "0xffffffffffffffff:2"] {
            assert!(parse_range(text).is_err(), "{text:?}");
        }
    }
}
