//! Registers, stack, tags and the status word.

use serde::{Deserialize, Serialize};

use crate::softfloat::{Env, F80, Flags, Float};

/// Status word bits (SDM volume 1, figure 8-4). The exception flags are bits 0 to 5.
#[allow(missing_docs)]
pub mod sw {
    pub const IE: u16 = 1;
    /// Stack fault.
    pub const SF: u16 = 1 << 6;
    /// Exception summary: an unmasked exception is pending.
    pub const ES: u16 = 1 << 7;
    pub const C0: u16 = 1 << 8;
    pub const C1: u16 = 1 << 9;
    pub const C2: u16 = 1 << 10;
    pub const TOP: u16 = 7 << 11;
    pub const C3: u16 = 1 << 14;
    /// Busy; mirrors ES.
    pub const B: u16 = 1 << 15;
}

/// The x87 FPU's whole state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct X87 {
    /// The physical registers R0 to R7; ST(i) is `st[(TOP + i) & 7]`, MMi is the significand of `st[i]`.
    pub st: [F80; 8],
    /// Bit i is set if physical register i is in use. The two-bit tags are worked out from the contents when stored.
    pub tag: u8,
    /// Status word, TOP in bits 11 to 13.
    pub sw: u16,
    /// Control word.
    pub cw: u16,
    /// Low three bits of the first opcode byte, then the ModRM byte, of the last non-control instruction.
    pub fop: u16,
    /// Code segment selector of that instruction.
    pub fcs: u16,
    /// Data segment selector of its memory operand.
    pub fds: u16,
    /// Offset of that instruction, prefixes included.
    pub fip: u64,
    /// Offset of its memory operand.
    pub fdp: u64,
}

impl Default for X87 {
    fn default() -> Self {
        Self::reset()
    }
}

/// What a storing instruction may have changed; see [`X87::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    sw: u16,
    tag: u8,
}

impl X87 {
    /// The state after power-up or RESET (SDM volume 3, table 9-1): every register a valid +0, control word 0040h.
    #[must_use]
    pub const fn reset() -> Self {
        let st = [F80 { sig: 0, se: 0 }; 8];
        Self { st, tag: 0xff, sw: 0, cw: 0x40, fop: 0, fcs: 0, fds: 0, fip: 0, fdp: 0 }
    }

    /// FNINIT: control word 037Fh, every register empty, pointers cleared. Register contents stay.
    pub fn init(&mut self) {
        *self = Self { st: self.st, tag: 0, cw: 0x37f, ..Self::reset() };
    }

    /// Whether an unmasked exception is pending: the next waiting instruction reports it.
    #[inline]
    #[must_use]
    pub const fn exception_pending(&self) -> bool {
        self.sw & sw::ES != 0
    }

    /// Notes the address and opcode of an instruction for which [`super::X87Op::is_control`] is false. `fop` is the low three bits of
    /// the D8..DF byte, then the ModRM byte.
    #[inline]
    pub fn note_instruction(&mut self, fop: u16, fcs: u16, fip: u64) {
        self.fop = fop & 0x7ff;
        self.fcs = fcs;
        self.fip = fip;
    }

    /// Notes the address of such an instruction's memory operand.
    #[inline]
    pub fn note_operand(&mut self, fds: u16, fdp: u64) {
        self.fds = fds;
        self.fdp = fdp;
    }

    /// Forgets the addresses and the opcode of the last instruction.
    pub fn forget_pointers(&mut self) {
        *self = Self { fop: 0, fcs: 0, fds: 0, fip: 0, fdp: 0, ..self.clone() };
    }

    /// A point to go back to if the store that follows a storing instruction faults.
    #[inline]
    #[must_use]
    pub const fn mark(&self) -> Mark {
        Mark { sw: self.sw, tag: self.tag }
    }

    /// Undoes a storing instruction (FST, FIST, FISTTP, FBSTP, FNSTCW, FNSTSW and their popping forms).
    #[inline]
    pub fn rewind(&mut self, mark: Mark) {
        self.sw = mark.sw;
        self.tag = mark.tag;
    }

    /// Number of the physical register that is ST(0).
    #[inline]
    #[must_use]
    pub const fn top(&self) -> u8 {
        (self.sw >> 11 & 7) as u8
    }

    #[inline]
    pub(super) fn set_top(&mut self, top: u8) {
        self.sw = self.sw & !sw::TOP | u16::from(top & 7) << 11;
    }

    #[inline]
    const fn physical(&self, i: u8) -> usize {
        ((self.top() + i) & 7) as usize
    }

    /// Contents of ST(i), empty or not.
    #[inline]
    #[must_use]
    pub fn get(&self, i: u8) -> F80 {
        self.st[self.physical(i)]
    }

    /// Writes ST(i) and marks it in use.
    #[inline]
    pub fn set(&mut self, i: u8, value: F80) {
        let r = self.physical(i);
        self.st[r] = value;
        self.tag |= 1 << r;
    }

    /// Whether ST(i) is empty.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self, i: u8) -> bool {
        self.tag >> self.physical(i) & 1 == 0
    }

    #[inline]
    pub(super) fn free(&mut self, i: u8) {
        self.tag &= !(1 << self.physical(i));
    }

    #[inline]
    pub(super) fn pop(&mut self) {
        self.free(0);
        self.set_top(self.top() + 1);
    }

    #[inline]
    pub(super) fn push(&mut self, value: F80) {
        self.set_top(self.top() + 7);
        self.set(0, value);
    }

    /// The environment the next operation runs in.
    #[inline]
    pub(super) fn env(&self) -> Env {
        Env::from_x87_cw(self.cw)
    }

    #[inline]
    pub(super) fn set_c1(&mut self, on: bool) {
        self.sw = self.sw & !sw::C1 | if on { sw::C1 } else { 0 };
    }

    /// Merges an operation's flags and C1 into the status word. True if its result may be written to a register.
    #[inline]
    pub(super) fn commit(&mut self, env: &Env) -> bool {
        self.set_c1(env.rounded_up);
        self.sw |= u16::from(env.flags.bits());
        if env.unmasked().is_empty() {
            return true;
        }
        self.sw |= sw::ES | sw::B;
        !env.trapped()
    }

    /// Like [`Self::commit`] for a result that goes to memory. Unmasked overflow and underflow prevent the store, and then
    /// nothing is said about precision.
    #[inline]
    pub(super) fn commit_store(&mut self, env: &Env) -> bool {
        if !env.unmasked().intersects(Flags::OE | Flags::UE) {
            return self.commit(env);
        }
        self.commit(&Env { flags: env.flags & !Flags::PE, rounded_up: false, ..*env });
        false
    }

    /// Recomputes the exception summary after flags or masks were loaded.
    pub(super) fn update_summary(&mut self) {
        let pending = self.sw & !self.cw & u16::from(Flags::ALL.bits()) != 0;
        self.sw = self.sw & !(sw::ES | sw::B) | if pending { sw::ES | sw::B } else { 0 };
    }

    /// Raises a stack fault; true if it is masked, so that the instruction goes on with the indefinite value.
    #[cold]
    fn stack_fault(&mut self, overflow: bool) -> bool {
        self.set_c1(overflow);
        self.sw |= sw::IE | sw::SF;
        if self.cw & sw::IE == 0 {
            self.sw |= sw::ES | sw::B;
        }
        self.cw & sw::IE != 0
    }

    /// An operand register is empty. True if masked.
    #[cold]
    pub(super) fn stack_underflow(&mut self) -> bool {
        self.stack_fault(false)
    }

    /// The register to push into is in use. If masked, pushes the indefinite.
    #[cold]
    pub(super) fn stack_overflow(&mut self) {
        if self.stack_fault(true) {
            self.push(F80::indefinite());
        }
    }

    /// Checks the stack for an instruction that replaces ST(0) and pushes a second result. True if it ends here, with both
    /// results indefinite if the fault is masked.
    pub(super) fn pair_stack_fault(&mut self) -> bool {
        let underflow = self.is_empty(0);
        if !underflow && self.is_empty(7) {
            return false;
        }
        if self.stack_fault(!underflow) {
            self.set(0, F80::indefinite());
            self.push(F80::indefinite());
        }
        true
    }
}
