//! A PS/2 keyboard (IBM PS/2 Hardware Interface Technical Reference, "Keyboard"): commands, scan code sets 1 and 2.

use crate::key::{Key, Prefix};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const SELF_TEST_PASSED: u8 = 0xaa;
/// Keys are dropped, whole, while this many bytes wait.
const BUFFER_LIMIT: usize = 256;

/// A command that waits for its parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Awaited {
    Leds,
    ScanCodeSet,
    Typematic,
    KeyType,
}

/// The keyboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyboard {
    scanning: bool,
    set1: bool,
    leds: u8,
    typematic: u8,
    awaited: Option<Awaited>,
    last_sent: u8,
    output: VecDeque<u8>,
}

impl Default for Keyboard {
    fn default() -> Self {
        Self {
            scanning: true,
            set1: false,
            leds: 0,
            typematic: 0x2b,
            awaited: None,
            last_sent: 0,
            output: VecDeque::new(),
        }
    }
}

impl Keyboard {
    /// The next byte on the data line.
    pub fn take(&mut self) -> Option<u8> {
        let byte = self.output.pop_front()?;
        self.last_sent = byte;
        Some(byte)
    }

    /// The lights: Scroll Lock, Num Lock, Caps Lock from bit 0 on.
    #[must_use]
    pub fn leds(&self) -> u8 {
        self.leds
    }

    /// A key goes down or up.
    pub fn press(&mut self, key: Key, down: bool) {
        if self.scanning && self.output.len() < BUFFER_LIMIT {
            let (prefix, code) = key.set2();
            match prefix {
                Prefix::None => self.send_code(code, down),
                Prefix::E0 => self.send_extended(code, down),
                Prefix::PrintScreen if down => {
                    self.send_extended(0x12, true);
                    self.send_extended(code, true);
                }
                Prefix::PrintScreen => {
                    self.send_extended(code, false);
                    self.send_extended(0x12, false);
                }
                Prefix::Pause if down => self.send_pause(),
                Prefix::Pause => {}
            }
        }
    }

    /// The host sends a byte.
    pub fn write(&mut self, value: u8) {
        if let Some(awaited) = self.awaited.take()
            && value < 0xed
        {
            self.write_parameter(awaited, value);
            return;
        }
        match value {
            0xed => self.await_parameter(Awaited::Leds),
            0xee => self.output.push_back(0xee),
            0xf0 => self.await_parameter(Awaited::ScanCodeSet),
            0xf2 => self.output.extend([ACK, 0xab, 0x83]),
            0xf3 => self.await_parameter(Awaited::Typematic),
            0xf4 => {
                self.output.clear();
                self.scanning = true;
                self.output.push_back(ACK);
            }
            0xf5 | 0xf6 => {
                *self = Self { scanning: value == 0xf6, ..Self::default() };
                self.output.push_back(ACK);
            }
            // Key types exist in scan code set 3 only; elsewhere the commands are acknowledged.
            0xf7..=0xfa => self.output.push_back(ACK),
            0xfb..=0xfd => self.await_parameter(Awaited::KeyType),
            0xfe => self.output.push_back(self.last_sent),
            0xff => {
                *self = Self::default();
                self.output.extend([ACK, SELF_TEST_PASSED]);
            }
            _ => self.output.push_back(RESEND),
        }
    }

    fn await_parameter(&mut self, awaited: Awaited) {
        self.awaited = Some(awaited);
        self.output.push_back(ACK);
    }

    fn write_parameter(&mut self, awaited: Awaited, value: u8) {
        let mut answer = ACK;
        match (awaited, value) {
            (Awaited::Leds, _) => self.leds = value & 7,
            (Awaited::Typematic, _) => self.typematic = value & 0x7f,
            (Awaited::KeyType, _) => {}
            (Awaited::ScanCodeSet, 0) => {
                self.output.push_back(ACK);
                answer = if self.set1 { 1 } else { 2 };
            }
            (Awaited::ScanCodeSet, 1) => self.set1 = true,
            (Awaited::ScanCodeSet, 2) => self.set1 = false,
            (Awaited::ScanCodeSet, _) => answer = RESEND,
        }
        self.output.push_back(answer);
    }

    fn send_extended(&mut self, code: u8, down: bool) {
        self.output.push_back(0xe0);
        self.send_code(code, down);
    }

    fn send_code(&mut self, code: u8, down: bool) {
        match (self.set1, down) {
            (false, true) => self.output.push_back(code),
            (false, false) => self.output.extend([0xf0, code]),
            (true, true) => self.output.push_back(to_set1(code)),
            (true, false) => self.output.push_back(to_set1(code) | 0x80),
        }
    }

    fn send_pause(&mut self) {
        for down in [true, false] {
            self.output.push_back(0xe1);
            self.send_code(0x14, down);
            self.send_code(0x77, down);
        }
    }
}

/// The scan code of set 1 for one of set 2; also what the keyboard controller translates with.
#[must_use]
pub fn to_set1(code: u8) -> u8 {
    SET1.get(usize::from(code)).copied().unwrap_or(code)
}

/// Set 1 codes by set 2 codes 0x00 to 0x84; the rest stay as they are.
#[rustfmt::skip]
const SET1: [u8; 0x85] = [
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
    0x80, 0x81, 0x82, 0x41, 0x54,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(keyboard: &mut Keyboard) -> Vec<u8> {
        std::iter::from_fn(|| keyboard.take()).collect()
    }

    #[test]
    fn commands_are_answered() {
        let mut keyboard = Keyboard::default();
        for (bytes, answer) in [
            (&[0xff][..], &[0xfa, 0xaa][..]),
            (&[0xf2], &[0xfa, 0xab, 0x83]),
            (&[0xed, 0x02], &[0xfa, 0xfa]),
            (&[0xf0, 0x00], &[0xfa, 0xfa, 0x02]),
            (&[0xee], &[0xee]),
            (&[0x00], &[0xfe]),
            (&[0xed, 0xf4], &[0xfa]),
        ] {
            bytes.iter().for_each(|byte| keyboard.write(*byte));
            assert_eq!(sent(&mut keyboard), answer, "{bytes:02x?}");
        }
    }

    #[test]
    fn keys_in_both_sets() {
        let mut keyboard = Keyboard::default();
        keyboard.press(Key::ArrowUp, true);
        keyboard.press(Key::ArrowUp, false);
        keyboard.press(Key::F7, true);
        assert_eq!(sent(&mut keyboard), [0xe0, 0x75, 0xe0, 0xf0, 0x75, 0x83]);
        keyboard.write(0xf0);
        keyboard.write(0x01);
        sent(&mut keyboard);
        keyboard.press(Key::ArrowUp, true);
        keyboard.press(Key::ArrowUp, false);
        keyboard.press(Key::Pause, true);
        keyboard.press(Key::Pause, false);
        assert_eq!(sent(&mut keyboard), [0xe0, 0x48, 0xe0, 0xc8, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5]);
    }

    #[test]
    fn set_1_codes_of_all_keys_differ_and_leave_the_release_bit_free() {
        let codes: Vec<_> =
            Key::ALL.iter().map(|key| key.set2()).map(|(prefix, code)| (prefix, to_set1(code))).collect();
        for (n, code) in codes.iter().enumerate() {
            assert!(code.1 < 0x80);
            assert!(!codes[..n].contains(code), "{:?}", Key::ALL[n]);
        }
    }

    #[test]
    fn a_keyboard_that_does_not_scan_is_silent() {
        let mut keyboard = Keyboard::default();
        keyboard.write(0xf5);
        sent(&mut keyboard);
        keyboard.press(Key::A, true);
        assert!(sent(&mut keyboard).is_empty());
    }
}
