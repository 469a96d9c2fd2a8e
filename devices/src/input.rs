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
        }
    }
}

impl rrvmm_replay::Input for Input {
    const SOURCES: &'static [&'static str] = &["serial0", "serial1", "serial", "keyboard", "clock", "power"];

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
