//! Where guest registers are while machine code runs.
//!
//! Nine of them live in host registers from one end of a run to the other, across blocks, most under their own number.
//! The others live in the register file; two host registers cache them and temporaries inside a block.

use super::{
    asm::{Rm, host::*},
    emit::Emit,
    frame::BIAS,
    sse::Vectors,
};
use crate::ir::{Reg, Size, Val};

/// Holds the register file's address (see [`BIAS`]).
pub(super) const BASE: u8 = R15;
/// Holds the instructions left after the current block.
pub(super) const LEFT: u8 = R14;
/// Scratch: addresses, first arguments, results of calls.
pub(super) const S0: u8 = R8;
/// Scratch.
pub(super) const S1: u8 = R10;
/// Host registers that cache guest registers inside a block.
pub(super) const POOL: [u8; 2] = [R11, R13];

/// Guest registers that have a host register of their own.
pub(super) const PINNED: [(Reg, u8); 9] = [
    (Reg(0), RAX),
    (Reg(1), RCX),
    (Reg(2), RDX),
    (Reg(3), RBX),
    (Reg(4), R9),
    (Reg(5), RBP),
    (Reg(6), RSI),
    (Reg(7), RDI),
    (Reg(12), R12),
];

/// The host register that is `r`'s own.
pub(super) const fn pinned(r: Reg) -> Option<u8> {
    match r.0 {
        0..=3 | 5..=7 | 12 => Some(r.0),
        4 => Some(R9),
        _ => None,
    }
}

/// What a host register of the pool holds.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub reg: Reg,
    pub dirty: bool,
}

/// The cache at one place in the code.
pub(super) type Slots = [Option<Slot>; POOL.len()];

/// A value ready for an instruction.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Host(u8),
    File(Reg),
    Imm(u64),
}

/// Register-file operand.
pub(super) fn file(r: Reg) -> Rm {
    Rm::Base(BASE, i32::from(r.0) * 8 - BIAS)
}

impl Emit<'_> {
    fn slot_of(&self, r: Reg) -> Option<usize> {
        self.slots.iter().position(|s| s.is_some_and(|s| s.reg == r))
    }

    fn touch(&mut self, n: usize) -> u8 {
        self.clock += 1;
        self.used[n] = self.clock;
        self.held |= 1 << n;
        POOL[n]
    }

    /// A free register of the pool, its content saved. Only moves are emitted.
    fn room(&mut self) -> usize {
        let free = (0..POOL.len()).filter(|&n| self.held & 1 << n == 0);
        let n = free
            .min_by_key(|&n| (self.slots[n].is_some(), self.used[n]))
            .expect("an op holds fewer registers than there are");
        if let Some(Slot { reg, dirty: true }) = self.slots[n] {
            self.a.store(Size::Q, file(reg), POOL[n]);
        }
        self.slots[n] = None;
        n
    }

    /// The host register that holds `r` at this place, if one does.
    pub fn host(&mut self, r: Reg) -> Option<u8> {
        if let Some(h) = pinned(r) {
            return Some(h);
        }
        if let Some((t, h)) = self.passing
            && t == r
        {
            return Some(h);
        }
        self.slot_of(r).map(|n| self.touch(n))
    }

    /// A host register that holds `r`.
    pub fn read(&mut self, r: Reg) -> u8 {
        if let Some(h) = self.host(r) {
            return h;
        }
        let n = self.room();
        self.a.load(Size::Q, POOL[n], file(r));
        self.slots[n] = Some(Slot { reg: r, dirty: false });
        self.touch(n)
    }

    /// `r` as the second operand of an instruction.
    pub fn look(&mut self, r: Reg) -> Rm {
        self.host(r).map_or_else(|| file(r), Rm::Reg)
    }

    /// `r` is about to have another value: what it points at is elsewhere.
    fn leaves(&mut self, r: Reg) {
        if self.near.is_some_and(|m| m.base == r || m.index == r) {
            self.near = None;
        }
    }

    /// A host register for all 64 new bits of `r`.
    pub fn write(&mut self, r: Reg) -> u8 {
        self.leaves(r);
        if let Some(h) = pinned(r) {
            return h;
        }
        let n = self.slot_of(r).unwrap_or_else(|| self.room());
        self.slots[n] = Some(Slot { reg: r, dirty: true });
        self.touch(n)
    }

    /// A host register that holds `r` and may be changed.
    pub fn update(&mut self, r: Reg) -> u8 {
        self.leaves(r);
        let h = self.read(r);
        if let Some(n) = self.slot_of(r) {
            self.slots[n] = Some(Slot { reg: r, dirty: true });
        }
        h
    }

    /// A host register that will hold `r` once [`Emit::fill`] says so; until then what it caches stays valid.
    pub fn reserve(&mut self, r: Reg) -> u8 {
        if let Some(h) = pinned(r) {
            return h;
        }
        let n = self.slot_of(r).unwrap_or_else(|| self.room());
        self.touch(n)
    }

    /// The reserved `host` now holds `r`.
    pub fn fill(&mut self, r: Reg, host: u8) {
        self.leaves(r);
        if let Some(n) = POOL.iter().position(|&h| h == host) {
            self.slots[n] = Some(Slot { reg: r, dirty: true });
        }
    }

    /// Writes the low part of a host register to `dst`, by the partial-register rule.
    pub fn put(&mut self, size: Size, dst: Reg, from: u8) {
        if dst == Reg::SINK {
            return;
        }
        if from == S0 || from == S1 {
            // What the op read is no longer needed.
            self.held = 0;
        }
        match size {
            Size::B | Size::W => {
                let h = self.update(dst);
                self.a.store(size, Rm::Reg(h), from);
            }
            Size::D => {
                let h = self.write(dst);
                self.a.load(size, h, Rm::Reg(from));
            }
            Size::Q => {
                let h = self.write(dst);
                self.a.mov(h, from);
            }
        }
    }

    /// `v` where it is now.
    pub fn source(&mut self, v: Val) -> Source {
        match v {
            Val::Reg(r) => self.host(r).map_or(Source::File(r), Source::Host),
            Val::Imm(i) => Source::Imm(i),
        }
    }

    /// Brings a value into a register that caches nothing.
    pub fn bring(&mut self, to: u8, v: Source) {
        match v {
            Source::Host(h) => self.a.mov(to, h),
            Source::File(r) => self.a.load(Size::Q, to, file(r)),
            Source::Imm(i) => self.a.mov_imm(to, i),
        }
    }

    /// A register that holds `r`: its own, or `scratch`, filled from the file.
    pub fn in_scratch(&mut self, scratch: u8, r: Reg) -> u8 {
        self.host(r).unwrap_or_else(|| {
            self.a.load(Size::Q, scratch, file(r));
            scratch
        })
    }

    /// Writes what the pool has changed to the register file, temporaries too when `temps`. Only moves are emitted.
    pub fn flush(&mut self, temps: bool) {
        self.flush_vectors();
        for (slot, host) in self.slots.iter_mut().zip(POOL) {
            if let Some(Slot { reg, dirty: true }) = *slot
                && (temps || reg < Reg::TEMP)
            {
                self.a.store(Size::Q, file(reg), host);
                *slot = Some(Slot { reg, dirty: false });
            }
        }
    }

    /// Temporaries end with their instruction.
    pub fn drop_temps(&mut self) {
        for slot in &mut self.slots {
            if slot.is_some_and(|s| s.reg >= Reg::TEMP) {
                *slot = None;
            }
        }
    }

    /// After something that may have changed any register.
    pub fn forget(&mut self) {
        self.slots = [None; POOL.len()];
        self.vectors = Vectors::default();
        self.near = None;
        self.held = 0;
    }
}
