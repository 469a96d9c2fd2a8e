//! Addresses, and loads and stores with the TLB's answer inline.

use super::{
    asm::{Fixup, Rm, cc, host::*},
    emit::{Cold, Emit, Source, file},
    thunks::TLB,
};
use crate::{
    ir::{Mem, Op, Reg, Size},
    tlb::{ENTRIES, Entry},
    x86::Cpu,
};
use std::mem::{offset_of, size_of};

const READ: i32 = offset_of!(Entry, read) as i32;
const WRITE: i32 = offset_of!(Entry, write) as i32;
const ADDEND: i32 = offset_of!(Entry, addend) as i32;
const ENTRY_SHIFT: u8 = size_of::<Entry>().trailing_zeros() as u8;
const _: () = assert!(size_of::<Entry>().is_power_of_two() && ENTRY_SHIFT < 12);

impl Emit<'_> {
    /// RAX = the address of `m`.
    pub(super) fn address(&mut self, m: &Mem) {
        let narrow = m.width != Size::Q;
        let size = if narrow { Size::D } else { Size::Q };
        let disp = if narrow { Some(m.disp as u32 as i32) } else { i32::try_from(m.disp as i64).ok() };
        let base = (m.base != Reg::ZERO).then(|| self.read(m.base));
        let index = (m.index != Reg::ZERO).then(|| self.read(m.index));
        let sum = |d| match (base, index) {
            (Some(b), Some(i)) => Some(Rm::Index(b, i, m.scale, d)),
            (Some(b), None) => Some(Rm::Base(b, d)),
            (None, Some(i)) => Some(Rm::NoBase(i, m.scale, d)),
            (None, None) => None,
        };
        match (disp, sum(disp.unwrap_or(0))) {
            (Some(0), Some(Rm::Base(b, _))) => self.a.load(size, RAX, Rm::Reg(b)),
            (Some(_), Some(rm)) => self.a.lea(size, RAX, rm),
            (None, Some(rm)) => {
                self.a.lea(size, RAX, rm);
                self.a.mov_imm(RCX, m.disp);
                self.a.alu(0, Size::Q, RAX, Rm::Reg(RCX));
            }
            (_, None) => {
                let value = if narrow { m.disp & 0xffff_ffff } else { m.disp };
                self.a.mov_imm(RAX, value);
            }
        }
        if m.width <= Size::W {
            self.a.movzx(m.width, RAX, Rm::Reg(RAX));
        }
        if m.seg != Reg::ZERO {
            self.a.alu(0, Size::Q, RAX, file(m.seg));
        }
        if m.wrap32 && (m.seg != Reg::ZERO || !narrow) {
            self.a.load(Size::D, RAX, Rm::Reg(RAX));
        }
        self.exact = 0;
    }

    /// With the address in RAX, checks the TLB; on a hit RAX becomes the host address. Returns the way to the slow path.
    fn look_up(&mut self, size: Size, tag: i32) -> Fixup {
        self.look_up_bytes(size.bytes(), tag)
    }

    /// As [`Emit::look_up`] for a vector operand; the ways to the slow path leave the address in RAX.
    pub(super) fn vector_operand(&mut self, bytes: u8, write: bool, aligned: bool) -> Vec<Fixup> {
        let mut misses = Vec::with_capacity(2);
        if aligned {
            self.a.test_imm8(RAX, 15);
            misses.push(self.a.jcc(cc::NE));
        }
        // What is aligned lies in one page.
        let span = if aligned { 1 } else { bytes };
        misses.push(self.look_up_bytes(span, if write { WRITE } else { READ }));
        misses
    }

    fn look_up_bytes(&mut self, bytes: u8, tag: i32) -> Fixup {
        let a = &mut self.a;
        a.load(Size::D, RDX, Rm::Reg(RAX));
        a.shift_imm(5, Size::D, RDX, 12 - ENTRY_SHIFT);
        a.alu_imm(4, Size::D, Rm::Reg(RDX), ((ENTRIES - 1) << ENTRY_SHIFT) as i32);
        if bytes == 1 {
            a.mov(RCX, RAX);
        } else {
            a.lea(Size::Q, RCX, Rm::Base(RAX, i32::from(bytes) - 1));
        }
        a.alu_imm(4, Size::Q, Rm::Reg(RCX), -4096);
        a.alu(7, Size::Q, RCX, Rm::Index(TLB, RDX, 0, tag));
        let miss = a.jcc(cc::NE);
        a.alu(0, Size::Q, RAX, Rm::Index(TLB, RDX, 0, ADDEND));
        miss
    }

    fn load(&mut self, size: Size, extend: Option<Size>, dst: Reg, m: &Mem, for_write: bool) {
        self.address(m);
        let sink = dst == Reg::SINK;
        let h = if sink { RCX } else { self.reserve(dst) };
        let slots = self.slots;
        let from = self.look_up(size, if for_write { WRITE } else { READ });
        let at = Rm::Base(RAX, 0);
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
        let thunk = if for_write { self.t.load_for_write } else { self.t.load };
        let back = self.a.here();
        let vectors = self.vectors;
        let dst_host = (!sink).then_some(h);
        self.cold.push(Cold { from, back, slots, vectors, thunk, site, dst: dst_host, value: None });
        if !sink {
            self.fill(dst, h);
        }
    }

    fn store(&mut self, size: Size, m: &Mem, value: crate::ir::Val) {
        self.address(m);
        let value = self.source(value);
        let slots = self.slots;
        let from = self.look_up(size, WRITE);
        let at = Rm::Base(RAX, 0);
        match value {
            Source::Host(h) => self.a.store(size, at, h),
            Source::Imm(v) => match (size, i32::try_from(v as i64)) {
                (Size::Q, Err(_)) => {
                    self.a.mov_imm(RCX, v);
                    self.a.store(size, at, RCX);
                }
                _ => self.a.store_imm(size, at, v as i32),
            },
        }
        let mut site = self.site;
        site.size = size as u8;
        let back = self.a.here();
        let (thunk, vectors) = (self.t.store, self.vectors);
        self.cold.push(Cold { from, back, slots, vectors, thunk, site, dst: None, value: Some(value) });
    }

    /// Address and memory ops.
    pub(super) fn access(&mut self, op: &Op<Cpu>) {
        match op {
            Op::Lea { dst, mem } => {
                self.address(mem);
                self.put(Size::Q, *dst, RAX);
            }
            Op::Load { size, dst, mem } => self.load(*size, None, *dst, mem, false),
            Op::LoadSigned { from, to, dst, mem } => self.load(*from, Some(*to), *dst, mem, false),
            Op::LoadForWrite { size, dst, mem } => self.load(*size, None, *dst, mem, true),
            Op::Store { size, mem, src } => self.store(*size, mem, *src),
            _ => {}
        }
    }
}
