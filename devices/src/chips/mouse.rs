//! A PS/2 mouse with a wheel (IBM PS/2 Hardware Interface Technical Reference, "Mouse"; Microsoft's IntelliMouse extensions).
//!
//! It samples as fast as the host takes its packets: motion that finds the buffer full is added up.

use crate::input::Button;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const SELF_TEST_PASSED: u8 = 0xaa;
/// Bytes that wait at most before motion is added up.
const BUFFER_LIMIT: usize = 16;
/// Button presses that wait at most while the buffer is full; a guest that reads nothing loses the oldest.
const CLICKS_LIMIT: usize = 64;
/// The rates that turn on the wheel, and the two more buttons.
const WHEEL_KNOCK: [u8; 3] = [200, 100, 80];
const BUTTONS_KNOCK: [u8; 3] = [200, 200, 80];

/// What the mouse says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    /// Three buttons.
    #[default]
    Plain,
    /// And a wheel.
    Wheel,
    /// And two more buttons, which nobody presses here.
    FiveButtons,
}

impl Kind {
    fn id(self) -> u8 {
        match self {
            Kind::Plain => 0,
            Kind::Wheel => 3,
            Kind::FiveButtons => 4,
        }
    }
}

/// A command that waits for its parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Awaited {
    SampleRate,
    Resolution,
}

/// When movements are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Mode {
    /// When they happen.
    #[default]
    Stream,
    /// When asked for.
    Remote,
    /// Never: what the host sends comes back.
    Wrap,
}

/// What happened and was not sent yet, with the buttons as they were afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Motion {
    /// To the right.
    x: i32,
    /// Up.
    y: i32,
    /// Towards the user.
    wheel: i32,
    /// Left, right, middle from bit 0 on.
    buttons: u8,
}

/// The mouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mouse {
    kind: Kind,
    mode: Mode,
    reports: bool,
    doubles: bool,
    resolution: u8,
    sample_rate: u8,
    last_rates: [u8; 3],
    awaited: Option<Awaited>,
    last_sent: u8,
    /// Oldest first; the last one is still added to.
    motions: VecDeque<Motion>,
    buttons: u8,
    output: VecDeque<u8>,
}

impl Default for Mouse {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            mode: Mode::default(),
            reports: false,
            doubles: false,
            resolution: 2,
            sample_rate: 100,
            last_rates: [0; 3],
            awaited: None,
            last_sent: 0,
            motions: VecDeque::new(),
            buttons: 0,
            output: VecDeque::new(),
        }
    }
}

impl Mouse {
    /// The next byte on the data line.
    pub fn take(&mut self) -> Option<u8> {
        if self.mode == Mode::Stream && self.reports {
            while self.output.len() < BUFFER_LIMIT && self.send_motion() {}
        }
        let byte = self.output.pop_front()?;
        self.last_sent = byte;
        Some(byte)
    }

    /// The mouse is moved: to the right and down.
    pub fn go(&mut self, x: i32, y: i32) {
        if let Some(motion) = self.motion() {
            motion.x = motion.x.saturating_add(x);
            motion.y = motion.y.saturating_sub(y);
        }
    }

    /// Its wheel is turned, away from the user.
    pub fn turn_wheel(&mut self, notches: i32) {
        if let Some(motion) = self.motion() {
            motion.wheel = motion.wheel.saturating_sub(notches);
        }
    }

    /// A button goes down or up.
    pub fn press(&mut self, button: Button, down: bool) {
        let bit = match button {
            Button::Left => 1,
            Button::Right => 2,
            Button::Middle => 4,
        };
        self.buttons = if down { self.buttons | bit } else { self.buttons & !bit };
        self.motion();
    }

    /// What is to be told next under the buttons that are down now; nothing while nobody wants to know.
    fn motion(&mut self) -> Option<&mut Motion> {
        if !self.reports && self.mode == Mode::Stream {
            return None;
        }
        let buttons = self.buttons;
        if self.motions.back().is_none_or(|last| last.buttons != buttons) {
            if self.motions.len() >= CLICKS_LIMIT {
                self.motions.pop_front();
            }
            self.motions.push_back(Motion { buttons, ..Motion::default() });
        }
        self.motions.back_mut()
    }

    /// The host sends a byte.
    pub fn write(&mut self, value: u8) {
        if self.mode == Mode::Wrap && !matches!(value, 0xec | 0xff) {
            self.output.push_back(value);
            return;
        }
        if let Some(awaited) = self.awaited.take() {
            self.write_parameter(awaited, value);
            return;
        }
        match value {
            0xe6 | 0xe7 => self.doubles = value == 0xe7,
            0xe8 => self.awaited = Some(Awaited::Resolution),
            0xe9 => {
                self.output.extend([ACK, self.status(), self.resolution, self.sample_rate]);
                return;
            }
            0xea | 0xec => self.mode = Mode::Stream,
            0xeb => {
                self.output.push_back(ACK);
                if !self.send_motion() {
                    self.send_packet(Motion { buttons: self.buttons, ..Motion::default() });
                }
                return;
            }
            0xee => self.mode = Mode::Wrap,
            0xf0 => self.mode = Mode::Remote,
            0xf2 => {
                self.output.extend([ACK, self.kind.id()]);
                return;
            }
            0xf3 => self.awaited = Some(Awaited::SampleRate),
            0xf4 => {
                self.motions.clear();
                self.reports = true;
            }
            0xf5 => self.reports = false,
            // Everything but what it is and which buttons are down.
            0xf6 => *self = Self { kind: self.kind, buttons: self.buttons, ..Self::default() },
            0xfe => {
                self.output.push_back(self.last_sent);
                return;
            }
            0xff => {
                *self = Self { buttons: self.buttons, ..Self::default() };
                self.output.extend([ACK, SELF_TEST_PASSED, self.kind.id()]);
                return;
            }
            _ => {
                self.output.push_back(RESEND);
                return;
            }
        }
        self.output.push_back(ACK);
    }

    fn write_parameter(&mut self, awaited: Awaited, value: u8) {
        match awaited {
            Awaited::Resolution => self.resolution = value & 3,
            Awaited::SampleRate => {
                self.sample_rate = value;
                self.last_rates = [self.last_rates[1], self.last_rates[2], value];
                match self.last_rates {
                    WHEEL_KNOCK if self.kind == Kind::Plain => self.kind = Kind::Wheel,
                    BUTTONS_KNOCK if self.kind == Kind::Wheel => self.kind = Kind::FiveButtons,
                    _ => {}
                }
            }
        }
        self.output.push_back(ACK);
    }

    fn status(&self) -> u8 {
        let bit = |is: bool, n: u8| u8::from(is) << n;
        // Here the left button is bit 2 and the right one bit 0.
        let buttons = self.buttons >> 1 & 1 | self.buttons >> 1 & 2 | self.buttons << 2 & 4;
        bit(self.mode == Mode::Remote, 6) | bit(self.reports, 5) | bit(self.doubles, 4) | buttons
    }

    /// Sends a packet of what has happened; false if nothing has.
    fn send_motion(&mut self) -> bool {
        let Some(motion) = self.motions.front_mut() else { return false };
        let (wheel_limit, has_wheel) = match self.kind {
            Kind::Plain => (0, false),
            Kind::Wheel => (127, true),
            Kind::FiveButtons => (7, true),
        };
        let part = Motion {
            x: motion.x.clamp(-255, 255),
            y: motion.y.clamp(-255, 255),
            wheel: motion.wheel.clamp(-wheel_limit, wheel_limit),
            buttons: motion.buttons,
        };
        motion.x -= part.x;
        motion.y -= part.y;
        motion.wheel = if has_wheel { motion.wheel - part.wheel } else { 0 };
        if (motion.x, motion.y, motion.wheel) == (0, 0, 0) {
            self.motions.pop_front();
        }
        self.send_packet(part);
        true
    }

    fn send_packet(&mut self, motion: Motion) {
        let sign = |value: i32, bit: u8| u8::from(value < 0) << bit;
        let head = motion.buttons & 7 | 0x08 | sign(motion.x, 4) | sign(motion.y, 5);
        self.output.extend([head, motion.x as u8, motion.y as u8]);
        match self.kind {
            Kind::Plain => {}
            Kind::Wheel => self.output.push_back(motion.wheel as u8),
            Kind::FiveButtons => self.output.push_back(motion.wheel as u8 & 0x0f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(mouse: &mut Mouse) -> Vec<u8> {
        std::iter::from_fn(|| mouse.take()).collect()
    }

    fn told(mouse: &mut Mouse, bytes: &[u8]) -> Vec<u8> {
        bytes.iter().for_each(|byte| mouse.write(*byte));
        sent(mouse)
    }

    #[test]
    fn commands_are_answered() {
        let mut mouse = Mouse::default();
        for (bytes, answer) in [
            (&[0xff][..], &[0xfa, 0xaa, 0x00][..]),
            (&[0xf2], &[0xfa, 0x00]),
            (&[0xe8, 3, 0xf3, 40, 0xe9], &[0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0x00, 3, 40]),
            (&[0xee, 0x55, 0xec], &[0xfa, 0x55, 0xfa]),
            (&[0x00], &[0xfe]),
            (&[0xf0, 0xeb], &[0xfa, 0xfa, 0x08, 0, 0]),
        ] {
            assert_eq!(told(&mut mouse, bytes), answer, "{bytes:02x?}");
        }
    }

    #[test]
    fn the_knocks_turn_on_wheel_and_buttons() {
        let mut mouse = Mouse::default();
        told(&mut mouse, &[0xf3, 200, 0xf3, 100, 0xf3, 80]);
        assert_eq!(told(&mut mouse, &[0xf2]), [0xfa, 3]);
        told(&mut mouse, &[0xf4]);
        mouse.press(Button::Left, true);
        mouse.go(2, 3);
        mouse.turn_wheel(-1);
        assert_eq!(sent(&mut mouse), [0x29, 2, 0xfd, 1]);
        told(&mut mouse, &[0xf3, 200, 0xf3, 200, 0xf3, 80]);
        assert_eq!(told(&mut mouse, &[0xf2]), [0xfa, 4]);
        mouse.turn_wheel(1);
        assert_eq!(sent(&mut mouse), [0x09, 0, 0, 0x0f]);
    }

    #[test]
    fn far_motion_takes_several_packets_and_clicks_stay_apart() {
        let mut mouse = Mouse::default();
        told(&mut mouse, &[0xf4]);
        mouse.go(-300, 0);
        mouse.press(Button::Left, true);
        mouse.press(Button::Left, false);
        assert_eq!(sent(&mut mouse), [0x18, 1, 0, 0x18, 0xd3, 0, 0x09, 0, 0, 0x08, 0, 0]);
    }

    #[test]
    fn a_mouse_that_is_not_enabled_is_silent_and_never_grows() {
        let mut mouse = Mouse::default();
        mouse.go(1, 1);
        mouse.press(Button::Right, true);
        assert!(sent(&mut mouse).is_empty());
        mouse.write(0xf4);
        for n in 0..10_000 {
            mouse.go(1, 0);
            mouse.press(Button::Right, n % 2 == 0);
        }
        assert!(mouse.motions.len() <= CLICKS_LIMIT);
    }
}
