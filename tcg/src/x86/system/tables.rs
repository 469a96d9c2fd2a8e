//! LGDT, LIDT, SGDT, SIDT.

use super::{canonical, operand, require_cpl0};
use crate::{
    Bus,
    ir::Size,
    x86::{Cpu, Exception, state::TableRegister},
};

/// Loads limit and base from `addr`; a 16-bit operand has a 24-bit base.
fn load(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64, size: Size) -> Result<TableRegister, Exception> {
    require_cpl0(cpu)?;
    let limit = cpu.load_linear(bus, addr, Size::W)? as u16;
    let wide = size == Size::Q;
    let base = cpu.load_linear(bus, addr.wrapping_add(2), if wide { Size::Q } else { Size::D })?;
    let base = if size == Size::W { base & 0xff_ffff } else { base };
    if wide && !canonical(base) {
        return Err(Exception::GP0);
    }
    Ok(TableRegister { base, limit })
}

fn store(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    addr: u64,
    bytes: u64,
    t: TableRegister,
) -> Result<u64, Exception> {
    let size = if bytes == 8 { Size::Q } else { Size::D };
    cpu.probe_write(addr, 2 + u64::from(size.bytes()))?;
    cpu.store_linear(bus, addr, Size::W, u64::from(t.limit))?;
    cpu.store_linear(bus, addr.wrapping_add(2), size, t.base)?;
    Ok(0)
}

/// LGDT: `addr` is the operand's linear address, `bytes` the operand size (8 in 64-bit code).
///
/// # Errors
/// #GP(0) outside CPL 0 or for a non-canonical base, #PF.
pub fn lgdt(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64, bytes: u64) -> Result<u64, Exception> {
    cpu.sys.gdtr = load(cpu, bus, addr, operand(bytes))?;
    Ok(0)
}

/// LIDT: arguments as [`lgdt`].
///
/// # Errors
/// As [`lgdt`].
pub fn lidt(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64, bytes: u64) -> Result<u64, Exception> {
    cpu.sys.idtr = load(cpu, bus, addr, operand(bytes))?;
    Ok(0)
}

/// SGDT: arguments as [`lgdt`]; the whole base is stored whatever the operand size.
///
/// # Errors
/// #PF.
pub fn sgdt(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64, bytes: u64) -> Result<u64, Exception> {
    store(cpu, bus, addr, bytes, cpu.sys.gdtr)
}

/// SIDT: arguments as [`lgdt`].
///
/// # Errors
/// #PF.
pub fn sidt(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64, bytes: u64) -> Result<u64, Exception> {
    store(cpu, bus, addr, bytes, cpu.sys.idtr)
}
