//! The rest of the integer instruction set: BCD, wide compare-and-exchange, PUSHA, ENTER, BOUND, XLAT.

use super::lower::{Lower, Lowered, RAX, file, segment};
use crate::{
    Bus,
    flags::{self, Flags},
    ir::{Mem, Op, Reg, Size, Val},
    x86::{
        Cpu, Exception,
        state::{gpr, seg},
    },
};
use iced_x86::{Code, Instruction, Mnemonic};

type Result = std::result::Result<u64, Exception>;
const NONE: Val = Val::Imm(0);

/// Lowers what no other family claimed.
pub(super) fn lower(l: &mut Lower, i: &Instruction) -> Lowered {
    use Mnemonic as M;
    match i.mnemonic() {
        M::Movnti => {
            let v = l.read(i, 1);
            l.write(i, 0, v);
        }
        M::Cmpxchg8b => address_helper(l, i, 8, cmpxchg8b),
        M::Cmpxchg16b => address_helper(l, i, 16, cmpxchg16b),
        M::Bound => {
            let size = l.size(i, 0);
            let mem = l.mem(i, 2 * u64::from(size.bytes()), false);
            let t = l.temp();
            l.op(Op::Lea { dst: t, mem });
            let helper = if size == Size::W { bound16 } else { bound32 };
            l.call(helper, Reg::SINK, file(i.op0_register()), t);
        }
        M::Xlatb => xlat(l, i),
        M::Pusha => l.call(pusha, Reg::SINK, Val::Imm(2), NONE),
        M::Pushad => l.call(pusha, Reg::SINK, Val::Imm(4), NONE),
        M::Popa => l.call(popa, Reg::SINK, Val::Imm(2), NONE),
        M::Popad => l.call(popa, Reg::SINK, Val::Imm(4), NONE),
        M::Enter => {
            let bytes = match i.code() {
                Code::Enterw_imm16_imm8 => 2,
                Code::Enterd_imm16_imm8 => 4,
                _ => 8,
            };
            let a = u64::from(i.immediate16()) | bytes << 32;
            l.call(enter, Reg::SINK, Val::Imm(a), Val::Imm(u64::from(i.immediate8_2nd() & 31)));
        }
        M::Aaa => l.call_for_flags(aaa, Reg::SINK, NONE, NONE),
        M::Aas => l.call_for_flags(aas, Reg::SINK, NONE, NONE),
        M::Aam => l.call_for_flags(aam, Reg::SINK, Val::Imm(u64::from(i.immediate8())), NONE),
        M::Aad => l.call_for_flags(aad, Reg::SINK, Val::Imm(u64::from(i.immediate8())), NONE),
        M::Daa => l.call_for_flags(daa, Reg::SINK, NONE, NONE),
        M::Das => l.call_for_flags(das, Reg::SINK, NONE, NONE),
        M::Salc => {
            let t = l.temp();
            l.call(salc, t, NONE, NONE);
            l.op(Op::Mov { size: Size::B, dst: RAX, src: Val::Reg(t) });
        }
        _ => return None,
    }
    Some(())
}

/// Calls `helper` with the linear address of the memory operand.
fn address_helper(l: &mut Lower, i: &Instruction, len: u64, helper: crate::ir::Helper<Cpu>) {
    let mem = l.mem(i, len, true);
    let t = l.temp();
    l.op(Op::Lea { dst: t, mem });
    l.call_for_flags(helper, Reg::SINK, t, NONE);
}

fn xlat(l: &mut Lower, i: &Instruction) {
    let (al, v) = (l.temp(), l.temp());
    l.op(Op::Extend { signed: false, from: Size::B, to: Size::Q, dst: al, src: RAX });
    let mem = Mem {
        seg: Reg::ZERO,
        base: file(i.memory_base()),
        index: al,
        scale: 0,
        disp: 0,
        width: Size::of(i.memory_base().size()).unwrap_or(Size::Q),
        wrap32: !l.is64(),
    };
    let mem = l.segmented(segment(i.memory_segment()), mem, 1, false);
    l.op(Op::Load { size: Size::B, dst: v, mem });
    l.op(Op::Mov { size: Size::B, dst: RAX, src: Val::Reg(v) });
}

/// For instructions whose work is done before the block is left.
pub(super) fn nothing(_: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result {
    Ok(0)
}

fn set_zf(cpu: &mut Cpu, zf: bool) {
    let others = cpu.core.flags().to_eflags() & !flags::ZF;
    cpu.core.set_flags(Flags::from_eflags(others | if zf { flags::ZF } else { 0 }));
}

fn cmpxchg8b(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64, _: u64) -> Result {
    cpu.probe_write(addr, 8)?;
    let old = cpu.load_linear(bus, addr, Size::Q)?;
    let low = |v: u64| v & 0xffff_ffff;
    let expected = low(cpu.reg(gpr::RAX)) | low(cpu.reg(gpr::RDX)) << 32;
    let equal = old == expected;
    let new = if equal { low(cpu.reg(gpr::RBX)) | low(cpu.reg(gpr::RCX)) << 32 } else { old };
    cpu.store_linear(bus, addr, Size::Q, new)?;
    if !equal {
        cpu.set_reg(gpr::RAX, low(old));
        cpu.set_reg(gpr::RDX, old >> 32);
    }
    set_zf(cpu, equal);
    Ok(0)
}

fn cmpxchg16b(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64, _: u64) -> Result {
    if addr & 15 != 0 {
        return Err(Exception::GP0);
    }
    cpu.probe_write(addr, 16)?;
    let lo = cpu.load_linear(bus, addr, Size::Q)?;
    let hi = cpu.load_linear(bus, addr + 8, Size::Q)?;
    let equal = (lo, hi) == (cpu.reg(gpr::RAX), cpu.reg(gpr::RDX));
    let new = if equal { (cpu.reg(gpr::RBX), cpu.reg(gpr::RCX)) } else { (lo, hi) };
    cpu.store_linear(bus, addr, Size::Q, new.0)?;
    cpu.store_linear(bus, addr + 8, Size::Q, new.1)?;
    if !equal {
        cpu.set_reg(gpr::RAX, lo);
        cpu.set_reg(gpr::RDX, hi);
    }
    set_zf(cpu, equal);
    Ok(0)
}

fn bound16(cpu: &mut Cpu, bus: &mut dyn Bus, index: u64, addr: u64) -> Result {
    let lo = cpu.load_linear(bus, addr, Size::W)? as i16;
    let hi = cpu.load_linear(bus, addr + 2, Size::W)? as i16;
    let index = index as i16;
    if index < lo || index > hi { Err(Exception::BoundRange) } else { Ok(0) }
}

fn bound32(cpu: &mut Cpu, bus: &mut dyn Bus, index: u64, addr: u64) -> Result {
    let lo = cpu.load_linear(bus, addr, Size::D)? as i32;
    let hi = cpu.load_linear(bus, addr + 4, Size::D)? as i32;
    let index = index as i32;
    if index < lo || index > hi { Err(Exception::BoundRange) } else { Ok(0) }
}

fn operand(bytes: u64) -> Size {
    match bytes {
        2 => Size::W,
        8 => Size::Q,
        _ => Size::D,
    }
}

/// PUSHA and PUSHAD: all or nothing.
fn pusha(cpu: &mut Cpu, bus: &mut dyn Bus, bytes: u64, _: u64) -> Result {
    let rsp = cpu.reg(gpr::RSP);
    let order = [gpr::RAX, gpr::RCX, gpr::RDX, gpr::RBX, gpr::RSP, gpr::RBP, gpr::RSI, gpr::RDI];
    for r in order {
        let v = if r == gpr::RSP { rsp } else { cpu.reg(r) };
        if let Err(fault) = cpu.push(bus, operand(bytes), v) {
            cpu.set_reg(gpr::RSP, rsp);
            return Err(fault);
        }
    }
    Ok(0)
}

/// POPA and POPAD: all or nothing; the saved stack pointer is skipped.
fn popa(cpu: &mut Cpu, bus: &mut dyn Bus, bytes: u64, _: u64) -> Result {
    let (rsp, mask) = (cpu.reg(gpr::RSP), cpu.stack_mask());
    let order = [gpr::RDI, gpr::RSI, gpr::RBP, gpr::RSP, gpr::RBX, gpr::RDX, gpr::RCX, gpr::RAX];
    let mut values = [0; 8];
    for (n, v) in values.iter_mut().enumerate() {
        let offset = rsp.wrapping_add(n as u64 * bytes) & mask;
        let addr = cpu.linear(seg::SS, offset, bytes, false)?;
        *v = cpu.load_linear(bus, addr, operand(bytes))?;
    }
    for (r, v) in order.into_iter().zip(values) {
        if r != gpr::RSP {
            let keep = if bytes == 2 { cpu.reg(r) & !0xffff } else { 0 };
            cpu.set_reg(r, keep | v);
        }
    }
    cpu.set_reg(gpr::RSP, rsp & !mask | rsp.wrapping_add(8 * bytes) & mask);
    Ok(0)
}

/// ENTER (SDM volume 2): `how` is the allocation size in bits 0-15 and the operand size in bytes from bit 32.
fn enter(cpu: &mut Cpu, bus: &mut dyn Bus, how: u64, level: u64) -> Result {
    let (bytes, size) = (how >> 32, operand(how >> 32));
    let (rsp, rbp, mask) = (cpu.reg(gpr::RSP), cpu.reg(gpr::RBP), cpu.stack_mask());
    let body = |cpu: &mut Cpu, bus: &mut dyn Bus| -> Result {
        cpu.push(bus, size, rbp)?;
        let frame = cpu.reg(gpr::RSP);
        for n in 1..level {
            let offset = rbp.wrapping_sub(n * bytes) & mask;
            let addr = cpu.linear(seg::SS, offset, bytes, false)?;
            let v = cpu.load_linear(bus, addr, size)?;
            cpu.push(bus, size, v)?;
        }
        if level > 0 {
            cpu.push(bus, size, frame)?;
        }
        let top = cpu.reg(gpr::RSP).wrapping_sub(how & 0xffff) & mask;
        // The new top must be writable, though nothing is written there.
        let addr = cpu.linear(seg::SS, top, 1, true)?;
        cpu.probe_write(addr, 1)?;
        cpu.set_reg(gpr::RSP, rsp & !mask | top);
        Ok(frame)
    };
    match body(cpu, bus) {
        Ok(frame) => {
            let v = match bytes {
                2 => rbp & !0xffff | frame & 0xffff,
                4 => frame & 0xffff_ffff,
                _ => frame,
            };
            cpu.set_reg(gpr::RBP, v);
            Ok(0)
        }
        Err(fault) => {
            cpu.set_reg(gpr::RSP, rsp);
            Err(fault)
        }
    }
}

fn salc(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result {
    Ok(if cpu.core.flags().cf() { 0xff } else { 0 })
}

fn set_al(cpu: &mut Cpu, al: u8) {
    let v = cpu.reg(gpr::RAX) & !0xff | u64::from(al);
    cpu.set_reg(gpr::RAX, v);
}

/// Flags of a BCD adjustment: SF, ZF, PF of `al`, given CF and AF, OF clear (undefined).
fn set_bcd_flags(cpu: &mut Cpu, al: u8, cf: bool, af: bool) {
    let mut f =
        Flags { z: u64::from(al), s: al as i8 as i64 as u64, c: 0, a: if af { flags::AF } else { 0 } };
    f.set_carry_overflow(cf, false);
    cpu.core.set_flags(f);
}

fn aaa(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result {
    let ax = cpu.reg(gpr::RAX) as u16;
    let adjust = ax & 15 > 9 || cpu.core.flags().af();
    let ax = if adjust { ax.wrapping_add(0x106) } else { ax } & 0xff0f;
    finish_ascii(cpu, ax, adjust)
}

fn aas(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result {
    let ax = cpu.reg(gpr::RAX) as u16;
    let adjust = ax & 15 > 9 || cpu.core.flags().af();
    let ax = if adjust { ax.wrapping_sub(0x106) } else { ax } & 0xff0f;
    finish_ascii(cpu, ax, adjust)
}

fn finish_ascii(cpu: &mut Cpu, ax: u16, adjust: bool) -> Result {
    let v = cpu.reg(gpr::RAX) & !0xffff | u64::from(ax);
    cpu.set_reg(gpr::RAX, v);
    set_bcd_flags(cpu, ax as u8, adjust, adjust);
    Ok(0)
}

fn aam(cpu: &mut Cpu, _: &mut dyn Bus, base: u64, _: u64) -> Result {
    let al = cpu.reg(gpr::RAX) as u8;
    let (Some(q), Some(r)) = (al.checked_div(base as u8), al.checked_rem(base as u8)) else {
        return Err(Exception::DivideError);
    };
    let v = cpu.reg(gpr::RAX) & !0xffff | u64::from(q) << 8 | u64::from(r);
    cpu.set_reg(gpr::RAX, v);
    set_bcd_flags(cpu, r, false, false);
    Ok(0)
}

fn aad(cpu: &mut Cpu, _: &mut dyn Bus, base: u64, _: u64) -> Result {
    let ax = cpu.reg(gpr::RAX) as u16;
    let al = ((ax >> 8) as u8).wrapping_mul(base as u8).wrapping_add(ax as u8);
    let v = cpu.reg(gpr::RAX) & !0xffff | u64::from(al);
    cpu.set_reg(gpr::RAX, v);
    set_bcd_flags(cpu, al, false, false);
    Ok(0)
}

fn daa(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result {
    let old = cpu.reg(gpr::RAX) as u8;
    let (cf, af) = (cpu.core.flags().cf(), cpu.core.flags().af());
    let low = old & 15 > 9 || af;
    let high = old > 0x99 || cf;
    let al = old.wrapping_add(if low { 6 } else { 0 }).wrapping_add(if high { 0x60 } else { 0 });
    set_al(cpu, al);
    set_bcd_flags(cpu, al, high, low);
    Ok(0)
}

fn das(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result {
    let old = cpu.reg(gpr::RAX) as u8;
    let (cf, af) = (cpu.core.flags().cf(), cpu.core.flags().af());
    let low = old & 15 > 9 || af;
    let high = old > 0x99 || cf;
    let al = old.wrapping_sub(if low { 6 } else { 0 }).wrapping_sub(if high { 0x60 } else { 0 });
    set_al(cpu, al);
    // The low adjustment may borrow even when the high one is not needed.
    set_bcd_flags(cpu, al, high || (low && old < 6), low);
    Ok(0)
}
