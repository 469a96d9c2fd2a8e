//! IN, OUT and the I/O permission bitmap (SDM volume 1, chapter 19).

use super::{debug, stack::load_system};
use crate::{
    Bus, Width,
    ir::Size,
    x86::{Cpu, Exception, state::bits},
};

/// Whether the current program may access `width` bytes of ports from `port` on.
///
/// # Errors
/// #GP(0) when it may not, #PF on the bitmap.
#[inline]
pub fn io_allowed(cpu: &mut Cpu, bus: &mut dyn Bus, port: u16, width: Width) -> Result<(), Exception> {
    if cpu.sys.cr0 & bits::CR0_PE == 0 {
        return Ok(());
    }
    let v86 = cpu.sys.eflags & bits::VM != 0;
    if !v86 && u64::from(cpu.cpl()) <= cpu.sys.eflags >> 12 & 3 {
        return Ok(());
    }
    by_bitmap(cpu, bus, port, width)
}

fn by_bitmap(cpu: &mut Cpu, bus: &mut dyn Bus, port: u16, width: Width) -> Result<(), Exception> {
    let tr = cpu.sys.tr;
    if tr.kind() & 8 == 0 || !tr.present() || tr.limit < 103 {
        return Err(Exception::GP0);
    }
    let map = load_system(cpu, bus, tr.base.wrapping_add(102), Size::W)?;
    let at = map + u64::from(port / 8);
    // Two bytes are always read: a port range may end in the next one.
    if at + 1 > u64::from(tr.limit) {
        return Err(Exception::GP0);
    }
    let word = load_system(cpu, bus, tr.base.wrapping_add(at), Size::W)?;
    let wanted = (1u64 << width.bytes()) - 1;
    if word >> (port % 8) & wanted != 0 { Err(Exception::GP0) } else { Ok(()) }
}

fn decode(a: u64) -> (u16, Width) {
    let width = match a >> 16 {
        1 => Width::B1,
        2 => Width::B2,
        _ => Width::B4,
    };
    (a as u16, width)
}

/// IN: `a` is port | operand bytes << 16; returns the value, zero-extended.
///
/// # Errors
/// As [`io_allowed`].
pub fn port_in(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    let (port, width) = decode(a);
    io_allowed(cpu, bus, port, width)?;
    let value = bus.port_read(cpu.core.now(), port, width);
    cpu.core.leave |= bus.attention();
    debug::note_port_access(cpu, port, width);
    Ok(u64::from(value))
}

/// OUT: `a` as for [`port_in`].
///
/// # Errors
/// As [`io_allowed`].
pub fn port_out(cpu: &mut Cpu, bus: &mut dyn Bus, a: u64, value: u64) -> Result<u64, Exception> {
    let (port, width) = decode(a);
    io_allowed(cpu, bus, port, width)?;
    let mask = (1u64 << (8 * width.bytes())) - 1;
    bus.port_write(cpu.core.now(), port, width, (value & mask) as u32);
    cpu.core.leave |= bus.attention();
    debug::note_port_access(cpu, port, width);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::{
        state::{Segment, seg},
        system::testing::{TestBus, cpu, put},
    };

    #[test]
    fn the_bitmap_decides_when_iopl_does_not() {
        let mut c = cpu();
        let mut bus = TestBus::default();
        assert_eq!(port_in(&mut c, &mut bus, 0x60 | 1 << 16, 0), Ok(0x61));
        c.sys.cr0 |= bits::CR0_PE;
        c.set_segment(seg::SS, Segment { selector: 3, base: 0, limit: u32::MAX, attr: 0xc0f3 });
        c.sys.tr = Segment { selector: 8, base: 0x1000, limit: 0x88, attr: 0x8b };
        put(&mut c, 0x1066, 2, 0x68);
        put(&mut c, 0x1068, 2, 0x0180);
        assert_eq!(io_allowed(&mut c, &mut bus, 6, Width::B1), Ok(()));
        assert_eq!(io_allowed(&mut c, &mut bus, 6, Width::B2), Err(Exception::GP0));
        assert_eq!(io_allowed(&mut c, &mut bus, 9, Width::B4), Ok(()));
        assert_eq!(io_allowed(&mut c, &mut bus, 0x100, Width::B1), Err(Exception::GP0));
        c.sys.eflags |= bits::IOPL;
        port_out(&mut c, &mut bus, 0x80 | 2 << 16, 0x12_3456).unwrap();
        assert_eq!(bus.ports, [(0x80, Width::B2, 0x3456)]);
    }
}
