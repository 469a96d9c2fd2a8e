//! The keys of a PC keyboard, by the names on a US keyboard, each with its scan code.

use serde::{Deserialize, Serialize};

/// Declares [`Key`] and its scan codes from one table: name, prefixed by E0 or not, scan code set 2 make code.
macro_rules! keys {
    ($($name:ident $prefix:ident $code:literal,)*) => {
        /// A key of a 102- or 104-key PC keyboard, named after a US layout. Recordings keep these: only add at the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "the names are what stands on the keys")]
        pub enum Key { $($name,)* }

        impl Key {
            /// Every key.
            pub const ALL: &'static [Key] = &[$(Key::$name,)*];

            pub(crate) fn set2(self) -> (Prefix, u8) {
                match self { $(Key::$name => (Prefix::$prefix, $code),)* }
            }
        }
    };
}

/// What goes before a key's scan code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// Nothing.
    None,
    /// E0: the keys that an 84-key keyboard did not have.
    E0,
    /// Print Screen: a faked shift goes before it.
    PrintScreen,
    /// Pause: one fixed sequence when it goes down, nothing when it comes up.
    Pause,
}

keys! {
    A None 0x1c, B None 0x32, C None 0x21, D None 0x23, E None 0x24, F None 0x2b, G None 0x34, H None 0x33,
    I None 0x43, J None 0x3b, K None 0x42, L None 0x4b, M None 0x3a, N None 0x31, O None 0x44, P None 0x4d,
    Q None 0x15, R None 0x2d, S None 0x1b, T None 0x2c, U None 0x3c, V None 0x2a, W None 0x1d, X None 0x22,
    Y None 0x35, Z None 0x1a,
    Digit0 None 0x45, Digit1 None 0x16, Digit2 None 0x1e, Digit3 None 0x26, Digit4 None 0x25,
    Digit5 None 0x2e, Digit6 None 0x36, Digit7 None 0x3d, Digit8 None 0x3e, Digit9 None 0x46,
    Backquote None 0x0e, Minus None 0x4e, Equal None 0x55, Backslash None 0x5d, BracketLeft None 0x54,
    BracketRight None 0x5b, Semicolon None 0x4c, Quote None 0x52, Comma None 0x41, Period None 0x49, Slash None 0x4a,
    IntlBackslash None 0x61, Space None 0x29, Tab None 0x0d, Enter None 0x5a, Backspace None 0x66, Escape None 0x76,
    CapsLock None 0x58, ShiftLeft None 0x12, ShiftRight None 0x59, ControlLeft None 0x14, ControlRight E0 0x14,
    AltLeft None 0x11, AltRight E0 0x11, MetaLeft E0 0x1f, MetaRight E0 0x27, ContextMenu E0 0x2f,
    F1 None 0x05, F2 None 0x06, F3 None 0x04, F4 None 0x0c, F5 None 0x03, F6 None 0x0b, F7 None 0x83, F8 None 0x0a,
    F9 None 0x01, F10 None 0x09, F11 None 0x78, F12 None 0x07,
    PrintScreen PrintScreen 0x7c, ScrollLock None 0x7e, Pause Pause 0x77,
    Insert E0 0x70, Home E0 0x6c, PageUp E0 0x7d, Delete E0 0x71, End E0 0x69, PageDown E0 0x7a,
    ArrowUp E0 0x75, ArrowLeft E0 0x6b, ArrowDown E0 0x72, ArrowRight E0 0x74,
    NumLock None 0x77, NumpadDivide E0 0x4a, NumpadMultiply None 0x7c, NumpadSubtract None 0x7b, NumpadAdd None 0x79,
    NumpadEnter E0 0x5a, NumpadDecimal None 0x71, Numpad0 None 0x70, Numpad1 None 0x69, Numpad2 None 0x72,
    Numpad3 None 0x7a, Numpad4 None 0x6b, Numpad5 None 0x73, Numpad6 None 0x74, Numpad7 None 0x6c, Numpad8 None 0x75,
    Numpad9 None 0x7d,
}

impl Key {
    /// The key, and whether Shift is held, that types `c` on a US layout; `None` where no key does.
    #[must_use]
    pub fn for_char(c: char) -> Option<(Key, bool)> {
        const PLAIN: &str = "abcdefghijklmnopqrstuvwxyz0123456789`-=\\[];',./";
        const SHIFTED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ)!@#$%^&*(~_+|{}:\"<>?";
        match c {
            ' ' => Some((Key::Space, false)),
            '\t' => Some((Key::Tab, false)),
            '\n' | '\r' => Some((Key::Enter, false)),
            '\x08' | '\x7f' => Some((Key::Backspace, false)),
            '\x1b' => Some((Key::Escape, false)),
            _ => {
                let plain = PLAIN.find(c).map(|n| (Key::ALL[n], false));
                plain.or_else(|| SHIFTED.find(c).map(|n| (Key::ALL[n], true)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_typed_by_the_key_they_stand_on() {
        assert_eq!(Key::for_char('z'), Some((Key::Z, false)));
        assert_eq!(Key::for_char('0'), Some((Key::Digit0, false)));
        assert_eq!(Key::for_char('?'), Some((Key::Slash, true)));
        assert_eq!(Key::for_char('|'), Some((Key::Backslash, true)));
        assert_eq!(Key::for_char('é'), None);
    }
}
