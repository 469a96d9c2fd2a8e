//! The PHY behind the MDI control register: an M88E1000 with a gigabit link that is always up (13.4.8, 13.9).

use serde::{Deserialize, Serialize};

const WRITE: u32 = 1 << 26;
const READ: u32 = 2 << 26;
const OPERATION: u32 = 3 << 26;
const READY: u32 = 1 << 28;
const INTERRUPT: u32 = 1 << 29;
const ERROR: u32 = 1 << 30;
/// Where it answers.
const ADDRESS: u32 = 1;

const CONTROL: usize = 0;
/// In the control register: reset, and restart of the negotiation; both are over at once.
const SELF_CLEARING: u16 = 1 << 15 | 1 << 9;

/// The registers after reset (IEEE 802.3 clause 22.2.4, and 13.9 of the manual).
const RESET: [u16; 32] = {
    let mut r = [0; 32];
    // Negotiation on, full duplex, 1000 Mb/s.
    r[CONTROL] = 0x1140;
    // Everything but 100BASE-T4 and 100BASE-T2; negotiated; link up; extended registers.
    r[1] = 0x796d;
    r[2] = 0x0141;
    r[3] = 0x0c20;
    // What it offers, and what the partner does.
    r[4] = 0x0de1;
    r[5] = 0xc1e1;
    r[6] = 0x0001;
    r[9] = 0x0e00;
    r[10] = 0x3c00;
    r[15] = 0x3000;
    r[16] = 0x0360;
    // 1000 Mb/s, full duplex, resolved, link up.
    r[17] = 0xac00;
    r[20] = 0x0d60;
    r
};
/// Registers that the guest can write.
const WRITABLE: u32 =
    1 << 0 | 1 << 4 | 1 << 7 | 1 << 9 | 1 << 16 | 1 << 18 | 1 << 20 | 1 << 24 | 1 << 29 | 1 << 30;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Phy {
    registers: Vec<u16>,
    interface: u32,
}

impl Default for Phy {
    fn default() -> Self {
        Self { registers: RESET.to_vec(), interface: 0 }
    }
}

impl Phy {
    pub fn read_interface(&self) -> u32 {
        self.interface
    }

    /// An access through the interface, which is over at once. Whether it wants an interrupt for that.
    pub fn write_interface(&mut self, value: u32) -> bool {
        let register = (value >> 16 & 31) as usize;
        let here = value >> 21 & 31 == ADDRESS;
        let mut answer = value & !(READY | ERROR);
        match value & OPERATION {
            READ if here => {
                let word = self.registers.get(register).copied().unwrap_or(0);
                answer = answer & !0xffff | u32::from(word);
            }
            WRITE if here => {
                if let Some(word) = self.registers.get_mut(register)
                    && WRITABLE >> register & 1 != 0
                {
                    *word = value as u16;
                }
                self.registers[CONTROL % 32] &= !SELF_CLEARING;
            }
            _ => answer |= ERROR,
        }
        self.interface = answer | READY;
        value & INTERRUPT != 0
    }
}
