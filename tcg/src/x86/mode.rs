//! What translation depends on besides the bytes: part of every block's key.

use super::state::{Segment, System, bits, seg};

/// Execution mode packed into a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mode(pub u32);

#[allow(missing_docs)]
impl Mode {
    pub const CODE64: u32 = 1;
    pub const CODE32: u32 = 1 << 1;
    /// Not in 64-bit code, whose stack is always 64 bits wide.
    pub const STACK32: u32 = 1 << 2;
    pub const PROTECTED: u32 = 1 << 3;
    pub const V86: u32 = 1 << 4;
    /// CPL in two bits.
    pub const CPL_SHIFT: u32 = 5;
    /// TF is set, or debug registers are armed: one instruction a block, with a trap check after it.
    pub const STEP: u32 = 1 << 7;
    /// x87 and MMX raise #NM or #UD: CR0.EM or CR0.TS.
    pub const FPU_TRAP: u32 = 1 << 8;
    /// SSE raises #NM or #UD: as above or CR4.OSFXSR clear.
    pub const SSE_TRAP: u32 = 1 << 9;
    /// CR0.MP and TS: WAIT raises #NM.
    pub const WAIT_TRAP: u32 = 1 << 10;
    /// Segment n (bit 11 + n) is flat: base 0, limit 4 GiB, readable and writable, no check needed.
    pub const FLAT_SHIFT: u32 = 11;
    /// Segment n (bit 17 + n) needs no limit or type check, but its base counts.
    pub const UNLIMITED_SHIFT: u32 = 17;
    /// Alignment checks are on (CR0.AM, EFLAGS.AC, CPL 3).
    pub const ALIGN: u32 = 1 << 23;
    /// Long mode is active (64-bit or compatibility code).
    pub const LONG: u32 = 1 << 24;

    /// One instruction a block, and nothing else: where a run must stop in the middle of a longer block.
    pub const ALONE: u32 = 1 << 25;

    #[must_use]
    pub const fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
    #[must_use]
    pub const fn cpl(self) -> u8 {
        (self.0 >> Self::CPL_SHIFT & 3) as u8
    }
    #[must_use]
    pub const fn flat(self, seg: usize) -> bool {
        self.0 & 1 << (Self::FLAT_SHIFT + seg as u32) != 0
    }
    #[must_use]
    pub const fn unlimited(self, seg: usize) -> bool {
        self.0 & 1 << (Self::UNLIMITED_SHIFT + seg as u32) != 0
    }
    /// 16, 32 or 64: default code size.
    #[must_use]
    pub const fn code_bits(self) -> u32 {
        if self.has(Self::CODE64) {
            64
        } else if self.has(Self::CODE32) {
            32
        } else {
            16
        }
    }

    /// The mode that `s` puts the CPU in.
    #[must_use]
    pub fn of(s: &System) -> Mode {
        let mut m = 0;
        let long = s.efer & bits::EFER_LMA != 0;
        let cs = &s.segs[seg::CS];
        let v86 = s.eflags & bits::VM != 0;
        let code64 = long && cs.attr & Segment::L != 0;
        let cpl = s.cpl();
        let mut set = |on: bool, bit: u32| {
            if on {
                m |= bit;
            }
        };
        set(long, Self::LONG);
        set(code64, Self::CODE64);
        set(!code64 && cs.big(), Self::CODE32);
        set(!code64 && s.segs[seg::SS].big(), Self::STACK32);
        set(s.cr0 & bits::CR0_PE != 0, Self::PROTECTED);
        set(v86, Self::V86);
        set(s.eflags & bits::TF != 0 || s.dr7 & 0xff != 0, Self::STEP);
        let ts_em = s.cr0 & (bits::CR0_EM | bits::CR0_TS) != 0;
        set(ts_em, Self::FPU_TRAP);
        set(ts_em || s.cr4 & bits::CR4_OSFXSR == 0, Self::SSE_TRAP);
        set(s.cr0 & bits::CR0_MP != 0 && s.cr0 & bits::CR0_TS != 0, Self::WAIT_TRAP);
        set(s.cr0 & bits::CR0_AM != 0 && s.eflags & bits::AC != 0 && cpl == 3, Self::ALIGN);
        if code64 {
            // FS and GS always count as based, or else every thread and SWAPGS would need blocks of their own.
            m |= 0b11_1111 << Self::UNLIMITED_SHIFT | 0b00_1111 << Self::FLAT_SHIFT;
        } else {
            m |= Self::segments(s, v86);
        }
        m |= u32::from(cpl) << Self::CPL_SHIFT;
        Mode(m)
    }

    /// Which segments need no checks, outside 64-bit code.
    fn segments(s: &System, v86: bool) -> u32 {
        let mut m = 0;
        if s.cr0 & bits::CR0_PE == 0 || v86 {
            return m;
        }
        for (i, sg) in s.segs.iter().enumerate() {
            let data_rw = sg.attr & (Segment::P | Segment::CODE | Segment::DC | Segment::RW)
                == Segment::P | Segment::RW;
            let code_readable = i == seg::CS
                && sg.attr & (Segment::P | Segment::CODE | Segment::RW)
                    == Segment::P | Segment::CODE | Segment::RW;
            if (data_rw || code_readable) && sg.limit == u32::MAX {
                m |= 1 << (Self::UNLIMITED_SHIFT + i as u32);
                m |= u32::from(sg.base == 0) << (Self::FLAT_SHIFT + i as u32);
            }
        }
        m
    }
}

impl System {
    /// Current privilege level: SS.DPL in protected mode, 0 in real mode, 3 in virtual-8086 mode.
    #[must_use]
    pub fn cpl(&self) -> u8 {
        if self.cr0 & bits::CR0_PE == 0 {
            0
        } else if self.eflags & bits::VM != 0 {
            3
        } else {
            self.segs[seg::SS].dpl()
        }
    }

    /// 16, 32 or 64: default code size.
    #[must_use]
    pub fn code_bits(&self) -> u32 {
        Mode::of(self).code_bits()
    }

    /// Whether 64-bit code runs.
    #[must_use]
    pub fn code64(&self) -> bool {
        self.efer & bits::EFER_LMA != 0 && self.segs[seg::CS].attr & Segment::L != 0
    }
}
