//! FXSAVE, FXRSTOR, XSAVE, XRSTOR (SDM volume 1, 10.5 and chapter 13), for the x87 and SSE components.

use super::lower::{Lower, Lowered};
use crate::{
    Bus,
    ir::{Op, Reg, Size, Val},
    x86::{
        Cpu, Exception,
        sse::{self, LEGACY_REGION, Mxcsr},
        state::{bits, gpr},
        x87::X87,
    },
};
use iced_x86::{Instruction, Mnemonic};

const X87_BIT: u64 = 1;
const SSE_BIT: u64 = 2;
const HEADER: u64 = LEGACY_REGION as u64;
const HEADER_BYTES: u64 = 64;
const X87_BYTES: usize = 160;
/// In a helper's second argument: REX.W was there.
const WIDE: u64 = 1;

/// Lowers a state-image instruction; `None` when it is of another family.
pub(super) fn lower(l: &mut Lower, i: &Instruction) -> Lowered {
    use Mnemonic as M;
    let (helper, wide, write, len): (crate::ir::Helper<Cpu>, _, _, _) = match i.mnemonic() {
        M::Fxsave => (fxsave, false, true, HEADER),
        M::Fxsave64 => (fxsave, true, true, HEADER),
        M::Fxrstor => (fxrstor, false, false, HEADER),
        M::Fxrstor64 => (fxrstor, true, false, HEADER),
        M::Xsave => (xsave, false, true, HEADER + HEADER_BYTES),
        M::Xsave64 => (xsave, true, true, HEADER + HEADER_BYTES),
        M::Xrstor => (xrstor, false, false, HEADER + HEADER_BYTES),
        M::Xrstor64 => (xrstor, true, false, HEADER + HEADER_BYTES),
        _ => return None,
    };
    let mem = l.mem(i, len, write);
    let t = l.temp();
    l.op(Op::Lea { dst: t, mem });
    l.call(helper, Reg::SINK, t, Val::Imm(if wide { WIDE } else { 0 }));
    Some(())
}

fn fx_available(cpu: &Cpu, addr: u64) -> Result<(), Exception> {
    if cpu.sys.cr0 & bits::CR0_EM != 0 {
        return Err(Exception::InvalidOpcode);
    }
    if cpu.sys.cr0 & bits::CR0_TS != 0 {
        return Err(Exception::DeviceNotAvailable);
    }
    if addr & 15 != 0 { Err(Exception::GP0) } else { Ok(()) }
}

fn xsave_available(cpu: &Cpu, addr: u64) -> Result<(), Exception> {
    if cpu.sys.cr4 & bits::CR4_OSXSAVE == 0 {
        return Err(Exception::InvalidOpcode);
    }
    if cpu.sys.cr0 & bits::CR0_TS != 0 {
        return Err(Exception::DeviceNotAvailable);
    }
    if addr & 63 != 0 { Err(Exception::GP0) } else { Ok(()) }
}

/// XMM registers that exist in this mode.
fn xmm_count(cpu: &Cpu) -> usize {
    if cpu.sys.code64() { 16 } else { 8 }
}

fn read_image(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64) -> Result<[u8; LEGACY_REGION], Exception> {
    let mut image = [0; LEGACY_REGION];
    for (n, chunk) in image.chunks_exact_mut(8).enumerate() {
        let v = cpu.load_linear(bus, addr.wrapping_add(8 * n as u64), Size::Q)?;
        chunk.copy_from_slice(&v.to_le_bytes());
    }
    Ok(image)
}

/// Writes `image[range]`; the destination was probed.
fn write_image(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    addr: u64,
    image: &[u8; LEGACY_REGION],
    range: std::ops::Range<usize>,
) -> Result<(), Exception> {
    for at in range.step_by(8) {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&image[at..at + 8]);
        cpu.store_linear(bus, addr.wrapping_add(at as u64), Size::Q, u64::from_le_bytes(bytes))?;
    }
    Ok(())
}

fn current_mxcsr(cpu: &Cpu) -> Mxcsr {
    Mxcsr::new(cpu.mxcsr).unwrap_or_default()
}

/// The legacy region of the current state.
fn image_of(cpu: &Cpu, wide: bool) -> [u8; LEGACY_REGION] {
    let mut image = [0; LEGACY_REGION];
    image[..X87_BYTES].copy_from_slice(&cpu.visible_x87().fxsave(wide));
    sse::save_mxcsr(&mut image, current_mxcsr(cpu));
    sse::save_xmm(&mut image, &cpu.xmm[..xmm_count(cpu)]);
    image
}

fn x87_part(image: &[u8; LEGACY_REGION]) -> [u8; X87_BYTES] {
    let mut part = [0; X87_BYTES];
    part.copy_from_slice(&image[..X87_BYTES]);
    part
}

fn xmm_end(cpu: &Cpu) -> usize {
    X87_BYTES + 16 * xmm_count(cpu)
}

fn fxsave(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64, how: u64) -> Result<u64, Exception> {
    fx_available(cpu, addr)?;
    cpu.probe_write(addr, HEADER)?;
    let image = image_of(cpu, how & WIDE != 0);
    let end = xmm_end(cpu);
    write_image(cpu, bus, addr, &image, 0..end)?;
    Ok(0)
}

fn fxrstor(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64, how: u64) -> Result<u64, Exception> {
    fx_available(cpu, addr)?;
    let image = read_image(cpu, bus, addr)?;
    let mxcsr = sse::load_mxcsr(&image).map_err(|_| Exception::GP0)?;
    cpu.x87.fxrstor(&x87_part(&image), how & WIDE != 0);
    cpu.mxcsr = mxcsr.bits();
    let n = xmm_count(cpu);
    sse::load_xmm(&image, &mut cpu.xmm[..n]);
    Ok(0)
}

/// Components asked for in EDX:EAX and enabled in XCR0.
fn requested(cpu: &Cpu) -> u64 {
    let mask = cpu.reg(gpr::RAX) & 0xffff_ffff | cpu.reg(gpr::RDX) << 32;
    mask & cpu.sys.xcr0
}

fn xsave(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64, how: u64) -> Result<u64, Exception> {
    xsave_available(cpu, addr)?;
    cpu.probe_write(addr, HEADER + HEADER_BYTES)?;
    let asked = requested(cpu);
    let old = cpu.load_linear(bus, addr + HEADER, Size::Q)?;
    let image = image_of(cpu, how & WIDE != 0);
    let n = xmm_count(cpu);
    let mut in_use = 0;
    if !cpu.x87.is_initial() {
        in_use |= X87_BIT;
    }
    if cpu.xmm[..n].iter().any(|&x| x != 0) {
        in_use |= SSE_BIT;
    }
    if asked & X87_BIT != 0 {
        write_image(cpu, bus, addr, &image, 0..24)?;
        write_image(cpu, bus, addr, &image, 32..X87_BYTES)?;
    }
    if asked & SSE_BIT != 0 {
        write_image(cpu, bus, addr, &image, 24..32)?;
        let end = xmm_end(cpu);
        write_image(cpu, bus, addr, &image, X87_BYTES..end)?;
    }
    cpu.store_linear(bus, addr + HEADER, Size::Q, old & !asked | asked & in_use)?;
    Ok(0)
}

fn xrstor(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64, how: u64) -> Result<u64, Exception> {
    xsave_available(cpu, addr)?;
    let asked = requested(cpu);
    let saved = cpu.load_linear(bus, addr + HEADER, Size::Q)?;
    let mut reserved = saved & !cpu.sys.xcr0;
    for at in (8..24).step_by(8) {
        reserved |= cpu.load_linear(bus, addr + HEADER + at, Size::Q)?;
    }
    if reserved != 0 {
        return Err(Exception::GP0);
    }
    let image = read_image(cpu, bus, addr)?;
    // MXCSR is loaded whenever the SSE component is asked for, saved or not (SDM volume 1, 13.8.1).
    if asked & SSE_BIT != 0 {
        cpu.mxcsr = sse::load_mxcsr(&image).map_err(|_| Exception::GP0)?.bits();
        let n = xmm_count(cpu);
        if saved & SSE_BIT != 0 {
            sse::load_xmm(&image, &mut cpu.xmm[..n]);
        } else {
            cpu.xmm[..n].fill(0);
        }
    }
    if asked & X87_BIT != 0 {
        if saved & X87_BIT != 0 {
            cpu.x87.fxrstor(&x87_part(&image), how & WIDE != 0);
        } else {
            cpu.x87 = X87::reset();
            cpu.x87.init();
        }
    }
    Ok(0)
}
