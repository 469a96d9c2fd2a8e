//! Data on standard output, and errors for people.

use std::fmt::Write;
use std::io;

/// The error and what caused it, each on its line, none twice.
pub(super) fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if cause != last {
            let _ = write!(text, "\n  because: {cause}");
        }
        last = cause;
    }
    text
}

/// Whether the error is that nobody reads standard output any more, as in `rrvmm events REC | head`.
pub(super) fn reader_has_gone(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<io::Error>(), Some(error) if error.kind() == io::ErrorKind::BrokenPipe)
}

/// A number with its digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_each_cause_once() {
        let error = anyhow::anyhow!("no space").context("no space").context("cannot write");
        assert_eq!(chain(&error), "cannot write\n  because: no space");
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
