//! The console's escape key, Ctrl-A, which lets a person say something to rrvmm instead of to the guest.

const CTRL_A: u8 = 1;

/// What the help key prints.
pub(super) const HELP: &str =
    "\r\nrrvmm: Ctrl-A X quits, Ctrl-A Ctrl-A sends Ctrl-A, Ctrl-A H shows this help\r\n";

/// What typed bytes mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    /// Bytes for the guest.
    pub bytes: Vec<u8>,
    /// The user wants to quit; what was typed afterwards is gone.
    pub quit: bool,
    /// The user wants help.
    pub help: bool,
}

/// Remembers whether the last byte was the escape key.
#[derive(Debug, Default)]
pub(super) struct Escape {
    pending: bool,
}

impl Escape {
    /// Sorts typed bytes. A key without a meaning goes to the guest together with the escape key before it.
    pub(super) fn sort(&mut self, typed: &[u8]) -> Typed {
        let mut result = Typed::default();
        for &byte in typed {
            if !std::mem::take(&mut self.pending) {
                match byte {
                    CTRL_A => self.pending = true,
                    other => result.bytes.push(other),
                }
                continue;
            }
            match byte {
                b'x' | b'X' => {
                    result.quit = true;
                    break;
                }
                b'h' | b'H' | b'?' => result.help = true,
                CTRL_A => result.bytes.push(CTRL_A),
                other => result.bytes.extend([CTRL_A, other]),
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_after_ctrl_a_are_for_us() {
        let mut escape = Escape::default();
        let help = Typed { bytes: b"ab".to_vec(), help: true, quit: false };
        assert_eq!(escape.sort(b"a\x01hb"), help);
        assert_eq!(escape.sort(b"\x01").bytes, b"");
        assert_eq!(escape.sort(b"\x01\x01").bytes, b"\x01", "the second starts a new escape");
        assert_eq!(escape.sort(b"q").bytes, b"\x01q");
        let quit = escape.sort(b"z\x01xlost");
        assert_eq!(quit, Typed { bytes: b"z".to_vec(), quit: true, help: false });
    }
}
