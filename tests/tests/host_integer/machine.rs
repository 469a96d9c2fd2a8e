//! What both sides have: registers, data pages, and how a run ended.

/// Where the code lies, on both sides. Below 2 GiB, so that every addressing form reaches it.
pub const CODE: u64 = 0x2000_0000;
/// Bytes of code.
pub const CODE_LEN: usize = 64 << 10;
/// Whether a byte of code lies at `at`.
pub fn in_code(at: u64) -> bool {
    at.wrapping_sub(CODE) < CODE_LEN as u64
}

/// Where the data lies. The pages before and after do not exist.
pub const DATA: u64 = 0x2100_0000;
/// Bytes of data.
pub const DATA_LEN: usize = 3 * 4096;
/// Bytes of data that may be written, from the start on.
pub const WRITABLE: usize = 2 * 4096;

/// The flags compared: CF PF AF ZF SF DF OF.
pub const FLAGS: u64 = 0xcd5;

/// The data pages.
pub type Data = Box<[u8; DATA_LEN]>;

/// Width of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// Compatibility mode.
    B32,
    /// 64-bit mode.
    B64,
}

impl Bits {
    /// 32 or 64.
    pub fn number(self) -> u32 {
        match self {
            Bits::B32 => 32,
            Bits::B64 => 64,
        }
    }
}

/// Registers in encoding order, RIP, RFLAGS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    pub gpr: [u64; 16],
    pub rip: u64,
    pub flags: u64,
}

/// How a run ended: the exception, or vector 3 at the end of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub vector: u8,
    pub error: u16,
    /// CR2, for page faults.
    pub address: u64,
}

impl End {
    /// The end of the code.
    pub const DONE: End = End { vector: 3, error: 0, address: 0 };

    /// Without what the vector does not define.
    pub fn tidy(self) -> End {
        match self.vector {
            14 => self,
            // Linux keeps no trap-stack error codes apart; those of #GP and #SS are zero for data accesses.
            12 | 13 | 17 => End { address: 0, ..self },
            _ => End { error: 0, address: 0, ..self },
        }
    }
}

/// A small generator: SplitMix64.
#[derive(Clone, Copy)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of a list.
    pub fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// A value of the kind that finds bugs: anything, small, near a power of two, or made of few bits.
    pub fn value(&mut self) -> u64 {
        let v = match self.below(6) {
            0 => self.below(256),
            1 => (1u64 << self.below(64)).wrapping_add(self.below(3)).wrapping_sub(1),
            2 => self.next() & self.next() & self.next(),
            3 => u64::MAX << self.below(64),
            _ => self.next(),
        };
        if self.once_in(8) { v.wrapping_neg() } else { v }
    }
}
