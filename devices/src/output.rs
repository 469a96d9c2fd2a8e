//! Everything a board says to the outside.

use serde::{Deserialize, Serialize};

/// One thing the machine did that is seen outside. No output ever influences the machine itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// A byte left a serial port.
    Serial {
        /// 0 is COM1, 1 is COM2.
        port: u8,
        /// The byte.
        byte: u8,
    },
    /// A byte was written to the debug console (port 0xE9 or 0x402).
    DebugConsole(u8),
    /// The guest wrote to the debug exit port 0xF4; the exit status is `value * 2 + 1`.
    DebugExit {
        /// What was written.
        value: u32,
    },
    /// The guest switched the machine off.
    PowerOff,
    /// The guest asked for a reset of the whole machine.
    Reset,
    /// A frame left for the network.
    Frame {
        /// Number of the network card.
        nic: u8,
        /// The frame, from the destination's address on, without its checksum.
        #[serde(with = "rrvmm_replay::codec::bytes")]
        bytes: Vec<u8>,
    },
    /// Bytes left a port of a console device.
    Console {
        /// Number of the port among all console devices'.
        port: u8,
        /// The bytes.
        #[serde(with = "rrvmm_replay::codec::bytes")]
        bytes: Vec<u8>,
    },
}
