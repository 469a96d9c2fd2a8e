//! 8042 keyboard controller of a PC AT (IBM PC AT Technical Reference, "Keyboard controller"), with a keyboard on its
//! first port and a mouse on its second.
//!
//! Commands are carried out at once, so the input buffer is never seen full.

use crate::chips::keyboard::{Keyboard, to_set1};
use crate::chips::mouse::Mouse;
use crate::key::Key;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const STATUS_OUTPUT_FULL: u8 = 0x01;
const STATUS_SYSTEM: u8 = 0x04;
const STATUS_COMMAND: u8 = 0x08;
const STATUS_UNLOCKED: u8 = 0x10;
const STATUS_AUXILIARY: u8 = 0x20;
const CONTROL_INTERRUPT: u8 = 0x01;
const CONTROL_AUXILIARY_INTERRUPT: u8 = 0x02;
const CONTROL_SYSTEM: u8 = 0x04;
const CONTROL_DISABLE: u8 = 0x10;
const CONTROL_AUXILIARY_DISABLE: u8 = 0x20;
const CONTROL_TRANSLATE: u8 = 0x40;

/// A byte on its way into the output buffer, with the status bits that come with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reply {
    byte: u8,
    status: u8,
}

/// What else an access does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The reset pin is pulsed.
    pub reset: bool,
    /// The A20 gate is set to this.
    pub a20: Option<bool>,
}

/// The controller, its keyboard and its mouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I8042 {
    keyboard: Keyboard,
    mouse: Mouse,
    ram: [u8; 32],
    command_byte_last: bool,
    /// The command that the next byte at port 0x60 belongs to.
    pending_command: Option<u8>,
    replies: VecDeque<Reply>,
    output: Option<Reply>,
    /// What port 0x60 gives again when it is read without anything new.
    last: u8,
    /// The translation has seen F0: the next code is a release.
    release: bool,
}

impl Default for I8042 {
    fn default() -> Self {
        let mut ram = [0; 32];
        ram[0] = CONTROL_INTERRUPT | CONTROL_SYSTEM | CONTROL_AUXILIARY_DISABLE | CONTROL_TRANSLATE;
        Self {
            keyboard: Keyboard::default(),
            mouse: Mouse::default(),
            ram,
            command_byte_last: false,
            pending_command: None,
            replies: VecDeque::new(),
            output: None,
            last: 0,
            release: false,
        }
    }
}

impl I8042 {
    /// A key of the keyboard goes down or up.
    pub fn press(&mut self, key: Key, down: bool) {
        self.keyboard.press(key, down);
        self.fill_output();
    }

    /// The mouse, to be used; call [`Self::next_output`] after that.
    pub fn mouse(&mut self) -> &mut Mouse {
        &mut self.mouse
    }

    /// The keyboard's lights: Scroll Lock, Num Lock, Caps Lock from bit 0 on.
    #[must_use]
    pub fn leds(&self) -> u8 {
        self.keyboard.leds()
    }

    /// The keyboard's interrupt line.
    #[must_use]
    pub fn keyboard_irq(&self) -> bool {
        self.output.is_some_and(|reply| reply.status & STATUS_AUXILIARY == 0)
            && self.ram[0] & CONTROL_INTERRUPT != 0
    }

    /// The auxiliary port's interrupt line.
    #[must_use]
    pub fn auxiliary_irq(&self) -> bool {
        self.output.is_some_and(|reply| reply.status & STATUS_AUXILIARY != 0)
            && self.ram[0] & CONTROL_AUXILIARY_INTERRUPT != 0
    }

    /// The guest reads port 0x64.
    #[must_use]
    pub fn read_status(&self) -> u8 {
        let full = self.output.map_or(0, |reply| STATUS_OUTPUT_FULL | reply.status);
        let system = if self.ram[0] & CONTROL_SYSTEM != 0 { STATUS_SYSTEM } else { 0 };
        let command = if self.command_byte_last { STATUS_COMMAND } else { 0 };
        full | system | command | STATUS_UNLOCKED
    }

    /// The guest reads port 0x60. Both interrupt lines fall; call [`Self::next_output`] when the board has seen that.
    pub fn read_data(&mut self) -> u8 {
        if let Some(reply) = self.output.take() {
            self.last = reply.byte;
        }
        self.last
    }

    /// Lets the next byte into the output buffer.
    pub fn next_output(&mut self) {
        self.fill_output();
    }

    /// The guest writes port 0x60. `a20` is the gate's present state.
    pub fn write_data(&mut self, value: u8) -> Effects {
        self.command_byte_last = false;
        let mut effects = Effects::default();
        match self.pending_command.take() {
            None => self.keyboard.write(value),
            Some(command @ 0x60..=0x7f) => self.ram[usize::from(command & 0x1f)] = value,
            Some(0xd1) => {
                effects.reset = value & 1 == 0;
                effects.a20 = Some(value & 2 != 0);
            }
            Some(0xd2) => self.reply(value, 0),
            Some(0xd3) => self.reply(value, STATUS_AUXILIARY),
            Some(0xd4) => self.mouse.write(value),
            Some(_) => {}
        }
        self.fill_output();
        effects
    }

    /// The guest writes port 0x64. `a20` is the gate's present state.
    pub fn write_command(&mut self, value: u8, a20: bool) -> Effects {
        self.command_byte_last = true;
        self.pending_command = None;
        let mut effects = Effects::default();
        match value {
            0x20..=0x3f => self.reply(self.ram[usize::from(value & 0x1f)], 0),
            0x60..=0x7f | 0xd1..=0xd4 => self.pending_command = Some(value),
            // No password is installed.
            0xa4 => self.reply(0xf1, 0),
            0xa7 => self.ram[0] |= CONTROL_AUXILIARY_DISABLE,
            0xa8 => self.ram[0] &= !CONTROL_AUXILIARY_DISABLE,
            0xa9 => self.reply(0x00, 0),
            0xaa => {
                self.ram[0] |= CONTROL_SYSTEM;
                self.reply(0x55, 0);
            }
            0xab => self.reply(0x00, 0),
            0xad => self.ram[0] |= CONTROL_DISABLE,
            0xae => self.ram[0] &= !CONTROL_DISABLE,
            // Input port: the keyboard is not locked.
            0xc0 => self.reply(0x80, 0),
            0xd0 => self.reply(self.output_port(a20), 0),
            0xdd => effects.a20 = Some(false),
            0xdf => effects.a20 = Some(true),
            // Test inputs: both clocks are low.
            0xe0 => self.reply(0x00, 0),
            0xf0..=0xff => effects.reset = value & 1 == 0,
            _ => {}
        }
        self.fill_output();
        effects
    }

    fn output_port(&self, a20: bool) -> u8 {
        let irq = u8::from(self.keyboard_irq()) << 4 | u8::from(self.auxiliary_irq()) << 5;
        0xc1 | u8::from(a20) << 1 | irq
    }

    fn reply(&mut self, byte: u8, status: u8) {
        // A guest that never reads only gets the newest answers; real controllers keep one.
        if self.replies.len() >= 16 {
            self.replies.pop_front();
        }
        self.replies.push_back(Reply { byte, status });
    }

    fn fill_output(&mut self) {
        while self.output.is_none() {
            if let Some(reply) = self.replies.pop_front() {
                self.output = Some(reply);
                return;
            }
            let may = |disabled: u8| self.ram[0] & disabled == 0;
            let (from_keyboard, from_mouse) = (may(CONTROL_DISABLE), may(CONTROL_AUXILIARY_DISABLE));
            if from_keyboard && let Some(byte) = self.keyboard.take() {
                self.output = self.translate(byte).map(|byte| Reply { byte, status: 0 });
            } else if from_mouse && let Some(byte) = self.mouse.take() {
                self.output = Some(Reply { byte, status: STATUS_AUXILIARY });
            } else {
                return;
            }
        }
    }

    /// Turns scan code set 2 into set 1, if the command byte says so. F0 gives nothing by itself.
    fn translate(&mut self, byte: u8) -> Option<u8> {
        if self.ram[0] & CONTROL_TRANSLATE == 0 {
            return Some(byte);
        }
        if byte == 0xf0 {
            self.release = true;
            return None;
        }
        let released = std::mem::take(&mut self.release);
        Some(to_set1(byte) | if released { 0x80 } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Button;

    fn drain(chip: &mut I8042) -> Vec<u8> {
        let mut bytes = Vec::new();
        while chip.read_status() & STATUS_OUTPUT_FULL != 0 {
            bytes.push(chip.read_data());
            chip.next_output();
        }
        bytes
    }

    fn command(chip: &mut I8042, value: u8) -> Vec<u8> {
        chip.write_command(value, true);
        drain(chip)
    }

    #[test]
    fn keys_come_translated_with_their_interrupt() {
        let mut chip = I8042::default();
        chip.press(Key::A, true);
        assert!(chip.keyboard_irq());
        chip.press(Key::A, false);
        chip.press(Key::Delete, false);
        assert_eq!(drain(&mut chip), [0x1e, 0x9e, 0xe0, 0xd3]);
        assert!(!chip.keyboard_irq());
        assert_eq!(chip.read_data(), 0xd3, "the last byte stays");
    }

    #[test]
    fn the_line_falls_between_two_bytes() {
        let mut chip = I8042::default();
        chip.press(Key::A, true);
        chip.press(Key::B, true);
        chip.read_data();
        assert!(!chip.keyboard_irq());
        chip.next_output();
        assert!(chip.keyboard_irq());
    }

    #[test]
    fn a_disabled_keyboard_waits() {
        let mut chip = I8042::default();
        assert!(command(&mut chip, 0xad).is_empty());
        chip.press(Key::B, true);
        assert_eq!(command(&mut chip, 0x20), [0x75]);
        assert_eq!(command(&mut chip, 0xae), [0x30]);
    }

    #[test]
    fn self_tests_and_loops() {
        let mut chip = I8042::default();
        assert_eq!(command(&mut chip, 0xaa), [0x55]);
        assert_eq!(command(&mut chip, 0xab), [0x00]);
        assert_eq!(command(&mut chip, 0xa9), [0x00]);
        chip.write_command(0xd3, true);
        chip.write_data(0x5a);
        assert_eq!(chip.read_status() & 0x21, STATUS_AUXILIARY | STATUS_OUTPUT_FULL);
    }

    #[test]
    fn the_mouse_has_its_own_interrupt_and_can_be_held_off() {
        let mut chip = I8042::default();
        let tell = |chip: &mut I8042, byte| {
            chip.write_command(0xd4, true);
            chip.write_data(byte);
        };
        tell(&mut chip, 0xf4);
        assert_eq!(chip.read_status() & STATUS_OUTPUT_FULL, 0, "the port is disabled");
        chip.write_command(0x60, true);
        chip.write_data(0x47);
        assert!(chip.auxiliary_irq() && !chip.keyboard_irq());
        assert_eq!(drain(&mut chip), [0xfa]);
        chip.mouse().press(Button::Left, true);
        chip.mouse().go(5, -6);
        chip.next_output();
        chip.press(Key::A, true);
        assert_eq!(drain(&mut chip), [0x09, 0x1e, 5, 6]);
    }

    #[test]
    fn identification_is_translated_as_on_the_real_one() {
        let mut chip = I8042::default();
        chip.write_data(0xf2);
        assert_eq!(drain(&mut chip), [0xfa, 0xab, 0x41]);
        chip.write_command(0x60, true);
        chip.write_data(0x25);
        chip.write_data(0xf2);
        assert_eq!(drain(&mut chip), [0xfa, 0xab, 0x83]);
    }

    #[test]
    fn output_port_and_pulses() {
        let mut chip = I8042::default();
        assert_eq!(chip.write_command(0xfe, true), Effects { reset: true, a20: None });
        assert_eq!(chip.write_command(0xff, true), Effects::default());
        chip.write_command(0xd1, true);
        assert_eq!(chip.write_data(0xdd), Effects { reset: false, a20: Some(false) });
        assert_eq!(command(&mut chip, 0xd0)[0] & 3, 3);
    }
}
