//! Addresses, and loads and stores with the TLB's answer inline.

use super::{
    asm::{Fixup, Rm, cc},
    emit::{Emit, Slow},
    frame::VIEW,
    regs::{BASE, S0, S1, Source, file},
};
use crate::{
    ir::{Alu, Mem, Op, Reg, Size, Val},
    tlb::{ENTRIES, Entry, PAGE},
    x86::Cpu,
};
use std::mem::{offset_of, size_of};

const READ: i32 = offset_of!(Entry, read) as i32;
const WRITE: i32 = offset_of!(Entry, write) as i32;
const HOST: i32 = offset_of!(Entry, host) as i32;
const ENTRY_SHIFT: u8 = size_of::<Entry>().trailing_zeros() as u8;
const _: () = assert!(size_of::<Entry>().is_power_of_two() && ENTRY_SHIFT < 12);

/// Whether `op` uses `r` as a source.
fn reads(op: &Op<Cpu>, r: Reg) -> bool {
    let val = |v: Val| v == Val::Reg(r);
    let mem = |m: &Mem| [m.base, m.index, m.seg].contains(&r);
    match *op {
        Op::Mov { size, dst, src } => val(src) || size < Size::D && dst == r,
        Op::Extend { src, .. } | Op::High8 { src, .. } | Op::Bswap { src, .. } => src == r,
        Op::SetHigh8 { dst, src } => dst == r || src == r,
        Op::Alu { size, dst, a, b, .. } => a == r || val(b) || size < Size::D && dst == r,
        Op::Unary { size, dst, a, .. } => a == r || size < Size::D && dst == r,
        Op::Load { mem: m, dst, .. } | Op::LoadSigned { mem: m, dst, .. } => mem(&m) || dst == r,
        Op::LoadForWrite { mem: m, .. } | Op::Lea { mem: m, .. } => mem(&m),
        Op::Store { mem: m, src, .. } => mem(&m) || val(src),
        Op::Jump { .. } | Op::Branch { .. } => false,
        Op::BranchZero { src, .. } | Op::JumpTo { src, .. } => src == r,
        // Rare enough not to look closer.
        _ => true,
    }
}

/// A look-up that failed.
#[derive(Clone, Copy)]
pub(super) struct Miss {
    from: Fixup,
    bytes: u64,
    tag: i32,
    /// Where to go on if another entry has the page.
    resume: Option<usize>,
}

impl Emit<'_> {
    /// S0 = the address of `m`. Uses S1; the pool stays as it is.
    pub(super) fn address(&mut self, m: &Mem) {
        self.open = None;
        let narrow = m.width != Size::Q;
        let size = if narrow { Size::D } else { Size::Q };
        let disp = if narrow { Some(m.disp as u32 as i32) } else { i32::try_from(m.disp as i64).ok() };
        let base = (m.base != Reg::ZERO).then(|| self.in_scratch(S0, m.base));
        let index = (m.index != Reg::ZERO).then(|| self.in_scratch(S1, m.index));
        let sum = |d| match (base, index) {
            (Some(b), Some(i)) => Some(Rm::Index(b, i, m.scale, d)),
            (Some(b), None) => Some(Rm::Base(b, d)),
            (None, Some(i)) => Some(Rm::NoBase(i, m.scale, d)),
            (None, None) => None,
        };
        match (disp, sum(disp.unwrap_or(0))) {
            (Some(0), Some(Rm::Base(b, _))) if size == Size::Q => self.a.mov(S0, b),
            (Some(0), Some(Rm::Base(b, _))) => self.a.load(size, S0, Rm::Reg(b)),
            (Some(_), Some(rm)) => self.a.lea(size, S0, rm),
            (None, Some(rm)) => {
                self.a.lea(size, S0, rm);
                self.a.mov_imm(S1, m.disp);
                self.a.lea(Size::Q, S0, Rm::Index(S0, S1, 0, 0));
            }
            (_, None) => {
                let value = if narrow { m.disp & 0xffff_ffff } else { m.disp };
                self.a.mov_imm(S0, value);
            }
        }
        if m.width <= Size::W {
            self.a.movzx(m.width, S0, Rm::Reg(S0));
        }
        if m.seg != Reg::ZERO {
            self.a.alu(0, Size::Q, S0, file(m.seg));
            self.exact = 0;
        }
        if m.wrap32 && (m.seg != Reg::ZERO || !narrow) {
            self.a.load(Size::D, S0, Rm::Reg(S0));
        }
        // Base and index are no longer needed.
        self.held = 0;
    }

    /// With the address of `m` in S0, asks the TLB; on a hit S0 becomes the host address, and S1 is free. `tag` says which.
    ///
    /// While S1 still has the entry of the access before, and the address has the same base, that entry is asked alone:
    /// most likely it is the same page. The slow path then looks the right one up.
    pub(super) fn look_up(&mut self, m: &Mem, bytes: u64, tag: i32) -> Miss {
        // All but the displacement is the same, and that is a small one: an address that is not canonical is far from the one
        // before, and must not find an entry by the tag of an empty one.
        let near = i32::try_from(m.disp as i64).is_ok().then_some(Mem { disp: 0, ..*m });
        let again = self.a.watched == (S1, true) && near.is_some() && self.near == near;
        if !again {
            self.find_entry();
        }
        let from = self.ask(bytes, tag);
        let resume = self.a.here();
        self.a.alu(0, Size::Q, S0, Rm::Base(S1, HOST));
        self.a.watched = (S1, true);
        self.near = near;
        self.exact = 0;
        self.open = None;
        Miss { from, bytes, tag, resume: again.then_some(resume) }
    }

    /// S1 = the TLB's entry for the address in S0.
    fn find_entry(&mut self) {
        let a = &mut self.a;
        if self.t.bmi2 {
            a.rorx(S1, S0, 12 - ENTRY_SHIFT);
        } else {
            a.load(Size::D, S1, Rm::Reg(S0));
            a.shift_imm(5, Size::D, S1, 12 - ENTRY_SHIFT);
        }
        a.alu_imm(4, Size::D, Rm::Reg(S1), ((ENTRIES - 1) << ENTRY_SHIFT) as i32);
        a.alu(0, Size::Q, S1, Rm::Base(BASE, VIEW));
    }

    /// S0 = offset in the page of the entry at S1, unless the way that is returned is taken.
    fn ask(&mut self, bytes: u64, tag: i32) -> Fixup {
        self.a.alu(5, Size::Q, S0, Rm::Base(S1, tag));
        self.a.alu_imm(7, Size::Q, Rm::Reg(S0), (PAGE - bytes) as i32);
        // Above: another page, no permission, or the access goes beyond the page's end.
        self.a.jcc(cc::A)
    }

    /// The beginning of a miss's slow path: S0 = the address; or back, when only the entry was not the right one.
    pub(super) fn miss(&mut self, m: Miss) {
        self.a.bind(m.from);
        self.a.alu(0, Size::Q, S0, Rm::Base(S1, m.tag));
        if let Some(resume) = m.resume {
            self.find_entry();
            let from = self.ask(m.bytes, m.tag);
            let back = self.a.jmp();
            self.a.bind_to(back, resume);
            self.a.bind(from);
            self.a.alu(0, Size::Q, S0, Rm::Base(S1, m.tag));
        }
    }

    /// The end of a slow path that changed S1: code after it may take it that an entry is there.
    pub(super) fn any_entry(&mut self) {
        self.a.load(Size::Q, S1, Rm::Base(BASE, VIEW));
    }

    /// As [`Emit::look_up`] for a vector operand. Returns the ways to the slow path: for an address that is not aligned, and
    /// as there.
    pub(super) fn vector_operand(
        &mut self,
        m: &Mem,
        bytes: u8,
        write: bool,
        aligned: bool,
    ) -> (Option<Fixup>, Miss) {
        let odd = aligned.then(|| {
            self.a.test_imm(Size::B, Rm::Reg(S0), 15);
            self.a.jcc(cc::NE)
        });
        (odd, self.look_up(m, u64::from(bytes), if write { WRITE } else { READ }))
    }

    fn load(&mut self, size: Size, extend: Option<Size>, dst: Reg, m: &Mem, rest: &[Op<Cpu>]) {
        self.address(m);
        // A value that only the next op needs, as an operand of an instruction that does not touch S1 first.
        let passes = dst >= Reg::TEMP
            && extend.is_none()
            && matches!(rest.first(), Some(Op::Alu { dst: d, a, b, op, .. })
                if !matches!(op, Alu::Adc | Alu::Sbb)
                    && (*d == Reg::SINK || *d == *a && *d != dst)
                    && (*a == dst) != (*b == Val::Reg(dst)))
            && !rest[1..].iter().any(|op| reads(op, dst));
        let sink = dst == Reg::SINK;
        let h = if passes || sink { S1 } else { self.reserve(dst) };
        let slots = self.slots;
        let miss = self.look_up(m, u64::from(size.bytes()), READ);
        let at = Rm::Base(S0, 0);
        match extend {
            None => self.a.movzx(size, h, at),
            Some(to) => self.a.movsx(size, to, h, at),
        }
        let mut site = self.site;
        site.dst = dst.0;
        site.size = size as u8;
        site.extend = match extend {
            None => 0,
            Some(Size::D) => 1,
            Some(_) => 2,
        };
        let thunk = self.t.load;
        self.slow(None, slots, site, Slow::Load { thunk, miss, dst: h, for_write: false });
        if passes {
            self.passing = Some((dst, S1));
        } else if !sink {
            self.fill(dst, h);
        }
    }

    /// A load whose place is stored to later in the instruction: S0 keeps the host address for it.
    fn load_for_write(&mut self, size: Size, dst: Reg, m: &Mem) {
        self.address(m);
        let h = self.reserve(dst);
        let slots = self.slots;
        let miss = self.look_up(m, u64::from(size.bytes()), WRITE);
        self.a.movzx(size, h, Rm::Base(S0, 0));
        let mut site = self.site;
        (site.dst, site.size, site.extend) = (dst.0, size as u8, 0);
        let thunk = self.t.load_for_write;
        self.slow(None, slots, site, Slow::Load { thunk, miss, dst: h, for_write: true });
        self.fill(dst, h);
        self.open = Some((*m, size));
    }

    fn store(&mut self, size: Size, m: &Mem, value: Val) {
        let mut site = self.site;
        site.size = size as u8;
        if self.open == Some((*m, size)) {
            let value = self.source(value);
            let slots = self.slots;
            self.a.test(Size::Q, Rm::Reg(S0), S0);
            let from = self.a.jcc(cc::E);
            self.store_at(size, value);
            self.exact = 0;
            self.slow(Some(from), slots, site, Slow::StoreBack { mem: *m, value });
            return;
        }
        self.address(m);
        let value = self.source(value);
        let slots = self.slots;
        let miss = self.look_up(m, u64::from(size.bytes()), WRITE);
        self.store_at(size, value);
        self.slow(None, slots, site, Slow::Store { miss, value });
    }

    /// [S0] = value. Uses S1.
    fn store_at(&mut self, size: Size, value: Source) {
        let at = Rm::Base(S0, 0);
        match value {
            Source::Host(h) => self.a.store(size, at, h),
            Source::File(r) => {
                self.a.load(Size::Q, S1, file(r));
                self.a.store(size, at, S1);
            }
            Source::Imm(v) => match (size, i32::try_from(v as i64)) {
                (Size::Q, Err(_)) => {
                    self.a.mov_imm(S1, v);
                    self.a.store(size, at, S1);
                }
                _ => self.a.store_imm(size, at, v as i32),
            },
        }
    }

    /// Address and memory ops; `rest` are the instruction's ops after this one.
    pub(super) fn access(&mut self, op: &Op<Cpu>, rest: &[Op<Cpu>]) {
        match op {
            Op::Lea { dst, mem } => {
                self.address(mem);
                self.put(Size::Q, *dst, S0);
            }
            Op::Load { size, dst, mem } => self.load(*size, None, *dst, mem, rest),
            Op::LoadSigned { from, to, dst, mem } => self.load(*from, Some(*to), *dst, mem, rest),
            Op::LoadForWrite { size, dst, mem } => self.load_for_write(*size, *dst, mem),
            Op::Store { size, mem, src } => self.store(*size, mem, *src),
            _ => {}
        }
    }
}
