//! Control registers and the instructions around them (SDM volume 3, 2.5 and volume 2, MOV CR).

use super::{PHYSICAL_BITS, canonical, descriptor::kind, paging, require_cpl0};
use crate::{
    Bus,
    x86::{
        Cpu, Exception,
        state::{bits::*, seg},
    },
};

const CR0_VALID: u64 =
    CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
const CR4_VALID: u64 = CR4_VME
    | CR4_PVI
    | CR4_TSD
    | CR4_DE
    | CR4_PSE
    | CR4_PAE
    | CR4_MCE
    | CR4_PGE
    | CR4_PCE
    | CR4_OSFXSR
    | CR4_OSXMMEXCPT
    | CR4_OSXSAVE
    | CR4_SMEP
    | CR4_SMAP;

/// MOV to control register `n`. Outside 64-bit code only the low 32 bits of `value` count.
///
/// # Errors
/// #UD for a register that does not exist, #GP(0) by privilege and by value.
pub fn mov_to_cr(cpu: &mut Cpu, bus: &mut dyn Bus, n: u64, value: u64) -> Result<u64, Exception> {
    if !matches!(n, 0 | 2 | 3 | 4 | 8) {
        return Err(Exception::InvalidOpcode);
    }
    require_cpl0(cpu)?;
    let value = value & super::register_mask(cpu);
    match n {
        0 => write_cr0(cpu, value)?,
        2 => cpu.sys.cr2 = value,
        3 => write_cr3(cpu, value)?,
        4 => write_cr4(cpu, value)?,
        _ => {
            if value > 15 {
                return Err(Exception::GP0);
            }
            bus.set_tpr(cpu.core.now(), (value as u8) << 4);
            cpu.core.leave |= bus.attention();
        }
    }
    Ok(0)
}

/// MOV from control register `n`.
///
/// # Errors
/// #UD for a register that does not exist, #GP(0) by privilege.
pub fn mov_from_cr(cpu: &mut Cpu, bus: &mut dyn Bus, n: u64, _: u64) -> Result<u64, Exception> {
    if !matches!(n, 0 | 2 | 3 | 4 | 8) {
        return Err(Exception::InvalidOpcode);
    }
    require_cpl0(cpu)?;
    Ok(match n {
        0 => cpu.sys.cr0,
        2 => cpu.sys.cr2,
        3 => cpu.sys.cr3,
        4 => cpu.sys.cr4,
        _ => u64::from(bus.tpr() >> 4),
    })
}

/// Whether PAE paging (not 4-level) is on in this combination, so that PDPTEs must be loaded.
fn uses_pdptes(cr0: u64, cr4: u64, efer: u64) -> bool {
    cr0 & CR0_PG != 0 && cr4 & CR4_PAE != 0 && efer & EFER_LMA == 0
}

fn write_cr0(cpu: &mut Cpu, value: u64) -> Result<(), Exception> {
    if value >> 32 != 0 {
        return Err(Exception::GP0);
    }
    let old = cpu.sys.cr0;
    let new = value & CR0_VALID | CR0_ET;
    let without = |bit: u64, needs: u64| new & bit != 0 && new & needs == 0;
    if without(CR0_PG, CR0_PE) || without(CR0_NW, CR0_CD) {
        return Err(Exception::GP0);
    }
    let changed = old ^ new;
    let mut efer = cpu.sys.efer;
    if changed & new & CR0_PG != 0 && efer & EFER_LME != 0 {
        let tss16 = matches!(cpu.sys.tr.kind(), kind::TSS16 | kind::TSS16_BUSY);
        let long_code = cpu.sys.segs[seg::CS].attr & crate::x86::state::Segment::L != 0;
        if cpu.sys.cr4 & CR4_PAE == 0 || long_code || tss16 {
            return Err(Exception::GP0);
        }
        efer |= EFER_LMA;
    }
    if changed & old & CR0_PG != 0 && efer & EFER_LMA != 0 {
        if cpu.sys.code64() {
            return Err(Exception::GP0);
        }
        efer &= !EFER_LMA;
    }
    if uses_pdptes(new, cpu.sys.cr4, efer) && changed & (CR0_PG | CR0_CD | CR0_NW) != 0 {
        cpu.sys.pdpte = paging::load_pdptes(cpu, cpu.sys.cr3)?;
    }
    cpu.sys.cr0 = new;
    cpu.sys.efer = efer;
    if changed & (CR0_PG | CR0_WP | CR0_PE) != 0 {
        cpu.core.flush_all();
    }
    cpu.update_view();
    Ok(())
}

/// Writes CR3 without a privilege check (also for task switches).
///
/// # Errors
/// #GP(0) for reserved bits, here or in the PDPTEs.
pub(super) fn write_cr3(cpu: &mut Cpu, value: u64) -> Result<(), Exception> {
    if cpu.sys.efer & EFER_LMA != 0 && value >> PHYSICAL_BITS != 0 {
        return Err(Exception::GP0);
    }
    if uses_pdptes(cpu.sys.cr0, cpu.sys.cr4, cpu.sys.efer) {
        cpu.sys.pdpte = paging::load_pdptes(cpu, value)?;
    }
    cpu.sys.cr3 = value;
    cpu.core.flush_local();
    Ok(())
}

fn write_cr4(cpu: &mut Cpu, value: u64) -> Result<(), Exception> {
    let leaves_pae = cpu.sys.efer & EFER_LMA != 0 && value & CR4_PAE == 0;
    let valid = if cpu.model.has_xsave() { CR4_VALID } else { CR4_VALID & !CR4_OSXSAVE };
    if value & !valid != 0 || leaves_pae {
        return Err(Exception::GP0);
    }
    let changed = cpu.sys.cr4 ^ value;
    let reload = changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP) != 0;
    if reload && uses_pdptes(cpu.sys.cr0, value, cpu.sys.efer) {
        cpu.sys.pdpte = paging::load_pdptes(cpu, cpu.sys.cr3)?;
    }
    cpu.sys.cr4 = value;
    if reload || changed & CR4_SMAP != 0 {
        cpu.core.flush_all();
    }
    cpu.update_view();
    Ok(())
}

/// CLTS.
///
/// # Errors
/// #GP(0) outside CPL 0.
pub fn clts(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    require_cpl0(cpu)?;
    cpu.sys.cr0 &= !CR0_TS;
    Ok(0)
}

/// LMSW: `a` is the source; sets PE (never clears it), MP, EM and TS.
///
/// # Errors
/// #GP(0) outside CPL 0.
pub fn lmsw(cpu: &mut Cpu, _: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    require_cpl0(cpu)?;
    let keep = cpu.sys.cr0 & !(CR0_MP | CR0_EM | CR0_TS);
    write_cr0(cpu, keep | a & (CR0_PE | CR0_MP | CR0_EM | CR0_TS))?;
    Ok(0)
}

/// SMSW: returns CR0; the translator cuts it to the operand (a memory operand is always 16 bits).
///
/// # Errors
/// None.
pub fn smsw(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    Ok(cpu.sys.cr0)
}

/// INVLPG: `a` is the linear address.
///
/// # Errors
/// #GP(0) outside CPL 0.
pub fn invlpg(cpu: &mut Cpu, _: &mut dyn Bus, a: u64, _: u64) -> Result<u64, Exception> {
    require_cpl0(cpu)?;
    if canonical(a) {
        cpu.core.flush_page(a);
    }
    Ok(0)
}

/// INVD and WBINVD: no caches to see.
///
/// # Errors
/// #GP(0) outside CPL 0.
pub fn wbinvd(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    require_cpl0(cpu)?;
    Ok(0)
}

/// XGETBV: XCR[ECX] to EDX:EAX.
///
/// # Errors
/// #UD with CR4.OSXSAVE clear, #GP(0) for an ECX other than 0.
pub fn xgetbv(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    if cpu.sys.cr4 & CR4_OSXSAVE == 0 {
        return Err(Exception::InvalidOpcode);
    }
    if super::ecx(cpu) != 0 {
        return Err(Exception::GP0);
    }
    super::set_edx_eax(cpu, cpu.sys.xcr0);
    Ok(0)
}

/// XSETBV: EDX:EAX to XCR[ECX].
///
/// # Errors
/// #UD with CR4.OSXSAVE clear, #GP(0) outside CPL 0, for an ECX other than 0, for anything but x87 with or without SSE.
pub fn xsetbv(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    if cpu.sys.cr4 & CR4_OSXSAVE == 0 {
        return Err(Exception::InvalidOpcode);
    }
    require_cpl0(cpu)?;
    let value = super::edx_eax(cpu);
    if super::ecx(cpu) != 0 || !matches!(value, 1 | 3) {
        return Err(Exception::GP0);
    }
    cpu.sys.xcr0 = value;
    Ok(0)
}

/// HLT.
///
/// # Errors
/// #GP(0) outside CPL 0.
pub fn hlt(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    require_cpl0(cpu)?;
    cpu.sys.halted = true;
    Ok(0)
}

/// RDTSC: to EDX:EAX.
///
/// # Errors
/// #GP(0) with CR4.TSD outside CPL 0.
pub fn rdtsc(cpu: &mut Cpu, bus: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    if cpu.sys.cr4 & CR4_TSD != 0 && cpu.cpl() != 0 {
        return Err(Exception::GP0);
    }
    let tsc = bus.tsc(cpu.core.now()).wrapping_add(cpu.sys.msrs.tsc_adjust);
    super::set_edx_eax(cpu, tsc);
    Ok(0)
}

/// RDPMC: the model has no counters.
///
/// # Errors
/// #GP(0), always.
pub fn rdpmc(_: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    Err(Exception::GP0)
}

/// An opcode the model does not have (MONITOR and MWAIT among them).
///
/// # Errors
/// #UD, always.
pub fn undefined(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    cpu.unknown.opcodes += 1;
    Err(Exception::InvalidOpcode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::system::testing::{TestBus, cpu, long, protected, put, sel, to_user};

    #[test]
    fn the_way_into_long_mode_and_out() {
        let mut c = protected();
        let bus = &mut TestBus::default();
        c.sys.efer = EFER_LME;
        let on = c.sys.cr0 | CR0_PG;
        assert_eq!(mov_to_cr(&mut c, bus, 0, on), Err(Exception::GP0));
        mov_to_cr(&mut c, bus, 4, CR4_PAE).unwrap();
        put(&mut c, 0x2000, 8, 0x3007);
        put(&mut c, 0x3000, 8, 0x87);
        mov_to_cr(&mut c, bus, 3, 0x2000).unwrap();
        mov_to_cr(&mut c, bus, 0, on).unwrap();
        assert_eq!(c.sys.efer, EFER_LME | EFER_LMA);
        assert_eq!(mov_to_cr(&mut c, bus, 4, 0), Err(Exception::GP0));
        // This is 32-bit code: what 64-bit code left in the upper half of the register does not count.
        mov_to_cr(&mut c, bus, 0, 1 << 40 | on & !CR0_PG).unwrap();
        assert_eq!(c.sys.efer, EFER_LME);
        let mut c = long();
        assert_eq!(mov_to_cr(&mut c, bus, 3, 1 << 40), Err(Exception::GP0));
        let off = c.sys.cr0 & !CR0_PG;
        assert_eq!(mov_to_cr(&mut c, bus, 0, off), Err(Exception::GP0));
    }

    #[test]
    fn pae_pointers_are_checked_when_loaded() {
        let mut c = cpu();
        let bus = &mut TestBus::default();
        put(&mut c, 0x1000, 8, 0x2000 | 1 << 1 | 1);
        mov_to_cr(&mut c, bus, 3, 0x1000).unwrap();
        mov_to_cr(&mut c, bus, 4, CR4_PAE).unwrap();
        let before = c.save();
        assert_eq!(mov_to_cr(&mut c, bus, 0, CR0_PE | CR0_PG), Err(Exception::GP0));
        assert_eq!(c.save(), before);
        put(&mut c, 0x1000, 8, 0x2001);
        mov_to_cr(&mut c, bus, 0, CR0_PE | CR0_PG).unwrap();
        assert_eq!(c.sys.pdpte[0], 0x2001);
    }

    #[test]
    fn privilege_and_reserved_bits() {
        let mut c = long();
        let bus = &mut TestBus::default();
        assert_eq!(mov_to_cr(&mut c, bus, 1, 0), Err(Exception::InvalidOpcode));
        assert_eq!(mov_to_cr(&mut c, bus, 4, CR4_PAE | 1 << 17), Err(Exception::GP0));
        assert_eq!(mov_to_cr(&mut c, bus, 0, 1 << 32), Err(Exception::GP0));
        mov_to_cr(&mut c, bus, 8, 5).unwrap();
        assert_eq!((bus.tpr, mov_from_cr(&mut c, bus, 8, 0)), (0x50, Ok(5)));
        lmsw(&mut c, bus, CR0_TS, 0).unwrap();
        assert_eq!(c.sys.cr0 & (CR0_PE | CR0_TS), CR0_PE | CR0_TS);
        c.sys.cr4 |= CR4_TSD;
        to_user(&mut c, sel::USER64);
        assert_eq!(hlt(&mut c, bus, 0, 0), Err(Exception::GP0));
        assert_eq!(rdtsc(&mut c, bus, 0, 0), Err(Exception::GP0));
        assert_eq!(xgetbv(&mut c, bus, 0, 0), Err(Exception::InvalidOpcode));
    }
}
