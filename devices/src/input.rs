//! Everything that reaches a board from outside the machine.

use crate::key::Key;
use serde::{Deserialize, Serialize};

/// One thing that happened outside and that the machine is told.
///
/// Recordings keep these, so variants and fields are only ever added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Bytes that arrive at a serial port's receive line, in order.
    Serial {
        /// 0 is COM1, 1 is COM2.
        port: u8,
        /// The bytes; they wait in the port's backlog until its FIFO has room.
        #[serde(with = "rrvmm_replay::codec::bytes")]
        bytes: Vec<u8>,
    },
    /// A key of the keyboard goes down (again, when it repeats) or up.
    Key {
        /// Which key.
        key: Key,
        /// Down or up.
        down: bool,
    },
    /// What a clock on the wall says, for the real-time clock. Given at power-on.
    WallClock {
        /// Seconds since 1970-01-01 00:00:00 UTC.
        unix_seconds: i64,
    },
    /// The power button is pressed for a moment.
    PowerButton,
    /// A frame arrives from the network.
    Frame {
        /// Number of the network card.
        nic: u8,
        /// The frame, from the destination's address on, without its checksum.
        #[serde(with = "rrvmm_replay::codec::bytes")]
        bytes: Vec<u8>,
    },
    /// Something happens to the pointing device.
    Pointer(Pointer),
    /// Bytes that arrive at a port of a console device, in order.
    Console {
        /// Number of the port among all console devices'.
        port: u8,
        /// The bytes; they wait until the guest has room.
        #[serde(with = "rrvmm_replay::codec::bytes")]
        bytes: Vec<u8>,
    },
    /// Time passes, by the host's clock: for a machine whose time its instructions do not give.
    Time {
        /// Nanoseconds.
        ns: u64,
    },
    /// The machine becomes another: what a replay that has lost its run goes on with.
    State {
        /// What it is, for people.
        what: String,
        /// A part of the state, as the machine encodes it.
        #[serde(with = "rrvmm_replay::codec::bytes")]
        part: Vec<u8>,
    },
    /// CF, PF, AF, ZF, SF and OF are set as a host's CPU had them, after an instruction that leaves some of them undefined.
    Flags {
        /// RFLAGS; the other bits are of no account.
        value: u64,
    },
}

/// What a mouse, or a tablet, does. Recordings keep these: variants are only ever added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pointer {
    /// It is moved, to the right and down.
    Move {
        /// By how much to the right.
        dx: i16,
        /// By how much down.
        dy: i16,
    },
    /// It is somewhere on the screen.
    Place {
        /// From the left, in 32768ths of the width.
        x: u16,
        /// From the top, in 32768ths of the height.
        y: u16,
    },
    /// A button goes down or up.
    Button {
        /// Which.
        button: Button,
        /// Down or up.
        down: bool,
    },
    /// The wheel is turned.
    Wheel {
        /// So many notches away from the user.
        notches: i8,
    },
}

/// A button of a mouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Button {
    /// Under the forefinger.
    Left,
    /// The wheel.
    Middle,
    /// The other one.
    Right,
}

/// Where what arrives from outside can wait for the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// The network card of this number.
    Nic(u8),
    /// The console port of this number.
    Console(u8),
}

impl Input {
    /// The recording's channel this input is kept in.
    #[must_use]
    pub fn channel(&self) -> &'static str {
        match self {
            Input::Serial { port: 0, .. } => "serial0",
            Input::Serial { port: 1, .. } => "serial1",
            Input::Serial { .. } => "serial",
            Input::Key { .. } => "keyboard",
            Input::WallClock { .. } => "clock",
            Input::PowerButton => "power",
            Input::Time { .. } => "time",
            Input::State { .. } => "state",
            Input::Flags { .. } => "flags",
            Input::Frame { nic: 0, .. } => "net0",
            Input::Frame { nic: 1, .. } => "net1",
            Input::Frame { nic: 2, .. } => "net2",
            Input::Frame { nic: 3, .. } => "net3",
            Input::Frame { .. } => "net",
            Input::Pointer(_) => "pointer",
            Input::Console { .. } => "console",
        }
    }

    /// One line for people.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Input::Serial { port, bytes } => {
                format!(
                    "serial{port} receives {} bytes: \"{}\"",
                    bytes.len(),
                    bytes[..bytes.len().min(64)].escape_ascii()
                )
            }
            Input::Key { key, down } => format!("key {key:?} {}", if *down { "down" } else { "up" }),
            Input::WallClock { unix_seconds } => format!("wall clock is {unix_seconds} s after 1970 UTC"),
            Input::PowerButton => "power button pressed".to_owned(),
            Input::Time { ns } => format!("{ns} ns pass"),
            Input::State { what, .. } => what.clone(),
            Input::Flags { value } => format!("undefined flags as in {value:#x}"),
            Input::Frame { nic, bytes } => format!("net{nic} receives a frame of {} bytes", bytes.len()),
            Input::Pointer(pointer) => match pointer {
                Pointer::Move { dx, dy } => format!("pointer moved by {dx}, {dy}"),
                Pointer::Place { x, y } => format!("pointer at {x}, {y} of 32768"),
                Pointer::Button { button, down } => {
                    format!("{button:?} button {}", if *down { "down" } else { "up" })
                }
                Pointer::Wheel { notches } => format!("wheel turned by {notches}"),
            },
            Input::Console { port, bytes } => {
                format!(
                    "console port {port} receives {} bytes: \"{}\"",
                    bytes.len(),
                    bytes[..bytes.len().min(64)].escape_ascii()
                )
            }
        }
    }
}

impl rrvmm_replay::Input for Input {
    const SOURCES: &'static [&'static str] = &[
        "serial0", "serial1", "serial", "keyboard", "clock", "power", "net0", "net1", "net2", "net3", "net",
        "pointer", "console", "time", "state", "flags",
    ];

    fn source(&self) -> &'static str {
        self.channel()
    }

    fn summary(&self) -> String {
        self.summary()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_stay_on_one_line() {
        let input = Input::Serial { port: 0, bytes: b"a\n\xff".to_vec() };
        assert_eq!(input.summary(), "serial0 receives 3 bytes: \"a\\n\\xff\"");
        assert_eq!(input.channel(), "serial0");
    }
}
