//! The 64 words of EEPROM: bit by bit over Microwire as a 93C46 takes it, or through EERD (5.3, 5.4, 5.6).

use serde::{Deserialize, Serialize};

const WORDS: usize = 64;
/// What all words add up to (5.6.35).
const SUM: u16 = 0xbaba;

/// EECD: clock, chip select, data in and out, request and grant, EEPROM present.
const CLOCK: u32 = 1;
const SELECT: u32 = 1 << 1;
const DATA_IN: u32 = 1 << 2;
const DATA_OUT: u32 = 1 << 3;
const REQUEST: u32 = 1 << 6;
const GRANT: u32 = 1 << 7;
const PRESENT: u32 = 1 << 8;

/// EERD: start, done; the address and the word.
const START: u32 = 1;
const DONE: u32 = 1 << 4;

/// Start bit and opcode of a read, before six bits of address.
const READ: u16 = 0b110;
const ADDRESS_BITS: u32 = 6;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Eeprom {
    words: Vec<u16>,
    control: u32,
    /// Bits of the instruction so far, from the start bit on.
    instruction: u16,
    /// What is being read: the next bit is 15 less this number's remainder by 16; bit 16 is the zero before the first word.
    bit: Option<u16>,
    asked: u32,
}

impl Eeprom {
    pub fn new(mac: [u8; 6]) -> Self {
        let mut words = vec![0; WORDS];
        for (word, pair) in words.iter_mut().zip(mac.chunks(2)) {
            *word = u16::from_le_bytes([pair[0], pair[1]]);
        }
        // Compatibility and software words, initialisation control word 1, subsystem and device numbers.
        words[0x03] = 0x0420;
        words[0x0a] = 0x4408;
        words[0x0b] = 0x001e;
        words[0x0c] = super::VENDOR;
        words[0x0d] = super::DEVICE;
        words[0x0e] = super::VENDOR;
        words[0x0f] = 0x3040;
        let sum = words.iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
        words[WORDS - 1] = SUM.wrapping_sub(sum);
        Self { words, control: 0, instruction: 0, bit: None, asked: 0 }
    }

    fn word(&self, n: usize) -> u16 {
        self.words.get(n % WORDS).copied().unwrap_or(0xffff)
    }

    pub fn read_control(&self) -> u32 {
        let grant = if self.control & REQUEST != 0 { GRANT } else { 0 };
        self.control | grant | PRESENT | if self.data_out() { DATA_OUT } else { 0 }
    }

    /// The pin of an EEPROM that is not reading says that it is ready.
    fn data_out(&self) -> bool {
        match self.bit {
            None => true,
            Some(bit) if bit >> 15 != 0 => false,
            Some(bit) => self.word(usize::from(bit >> 4)) >> (15 - (bit & 15)) & 1 != 0,
        }
    }

    /// Bits go in, and change at the output, when the clock rises.
    pub fn write_control(&mut self, value: u32) {
        let before = std::mem::replace(&mut self.control, value & (CLOCK | SELECT | DATA_IN | REQUEST));
        if value & SELECT == 0 {
            (self.instruction, self.bit) = (0, None);
            return;
        }
        if before & CLOCK != 0 || value & CLOCK == 0 {
            return;
        }
        const BEFORE_FIRST: u16 = 1 << 15;
        if let Some(bit) = self.bit {
            self.bit = Some(bit.wrapping_add(u16::from(bit & BEFORE_FIRST == 0)) & !BEFORE_FIRST);
            return;
        }
        self.instruction = self.instruction << 1 | u16::from(value & DATA_IN != 0);
        if self.instruction >> ADDRESS_BITS == READ {
            self.bit = Some((self.instruction & ((1 << ADDRESS_BITS) - 1)) << 4 | BEFORE_FIRST);
        } else if self.instruction >> (ADDRESS_BITS + 2) != 0 {
            // Something else than a read: done, without effect.
            self.instruction = 0;
        }
    }

    /// EERD is written.
    pub fn ask(&mut self, value: u32) {
        self.asked = value;
    }

    /// EERD is read.
    pub fn read_word(&self) -> u32 {
        if self.asked & START == 0 {
            return self.asked & 0xff00;
        }
        let n = (self.asked >> 8 & 0xff) as usize;
        u32::from(self.word(n)) << 16 | self.asked & 0xff00 | DONE
    }
}
