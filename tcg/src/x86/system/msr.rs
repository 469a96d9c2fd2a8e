//! Model-specific registers (SDM volume 4, table 2-2): RDMSR and WRMSR, each one match over every register of the model.

use super::{canonical, ecx, edx_eax, mtrr, require_cpl0, set_edx_eax};
use crate::{
    Bus,
    ir::Reg,
    x86::{
        Cpu, Exception,
        state::{bits, seg},
    },
};

/// Machine-check banks.
pub const MC_BANKS: u64 = 4;
/// IA32_MCG_CAP: the banks, and IA32_MCG_CTL exists.
const MCG_CAP: u64 = MC_BANKS | 1 << 8;
/// What IA32_MISC_ENABLE always says: no branch trace store, no PEBS.
const MISC_ENABLE_FIXED: u64 = 1 << 11 | 1 << 12;
/// What software may change in IA32_MISC_ENABLE: fast strings, thermal control, limited CPUID.
const MISC_ENABLE_WRITABLE: u64 = 1 | 1 << 3 | MISC_ENABLE_LIMIT_CPUID;
/// IA32_MISC_ENABLE: CPUID's highest basic leaf is 3.
pub const MISC_ENABLE_LIMIT_CPUID: u64 = 1 << 22;

/// Every MSR of the model, by SDM name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Msr {
    TimeStampCounter,
    PlatformId,
    ApicBase,
    FeatureControl,
    TscAdjust,
    BiosUpdateTrigger,
    BiosSignId,
    MtrrCap,
    SysenterCs,
    SysenterEsp,
    SysenterEip,
    McgCap,
    McgStatus,
    McgCtl,
    MiscEnable,
    DebugCtl,
    MtrrVariable(usize),
    MtrrFixed(usize),
    Pat,
    MtrrDefType,
    McBank(usize),
    TscDeadline,
    Efer,
    Star,
    Lstar,
    Cstar,
    Fmask,
    FsBase,
    GsBase,
    KernelGsBase,
}

impl Msr {
    fn decode(index: u32) -> Option<Msr> {
        Some(match index {
            0x10 => Msr::TimeStampCounter,
            0x17 => Msr::PlatformId,
            0x1b => Msr::ApicBase,
            0x3a => Msr::FeatureControl,
            0x3b => Msr::TscAdjust,
            0x79 => Msr::BiosUpdateTrigger,
            0x8b => Msr::BiosSignId,
            0xfe => Msr::MtrrCap,
            0x174 => Msr::SysenterCs,
            0x175 => Msr::SysenterEsp,
            0x176 => Msr::SysenterEip,
            0x179 => Msr::McgCap,
            0x17a => Msr::McgStatus,
            0x17b => Msr::McgCtl,
            0x1a0 => Msr::MiscEnable,
            0x1d9 => Msr::DebugCtl,
            0x200..=0x20f => Msr::MtrrVariable((index - 0x200) as usize),
            0x250..=0x26f => Msr::MtrrFixed(mtrr::fixed_index(index)?),
            0x277 => Msr::Pat,
            0x2ff => Msr::MtrrDefType,
            0x400..=0x40f => Msr::McBank((index - 0x400) as usize),
            0x6e0 => Msr::TscDeadline,
            0xc000_0080 => Msr::Efer,
            0xc000_0081 => Msr::Star,
            0xc000_0082 => Msr::Lstar,
            0xc000_0083 => Msr::Cstar,
            0xc000_0084 => Msr::Fmask,
            0xc000_0100 => Msr::FsBase,
            0xc000_0101 => Msr::GsBase,
            0xc000_0102 => Msr::KernelGsBase,
            _ => return None,
        })
    }
}

fn selected(cpu: &mut Cpu) -> Result<Msr, Exception> {
    require_cpl0(cpu)?;
    Msr::decode(ecx(cpu)).ok_or_else(|| {
        cpu.unknown.msrs += 1;
        Exception::GP0
    })
}

/// RDMSR: MSR[ECX] to EDX:EAX.
///
/// # Errors
/// #GP(0) outside CPL 0 and for a register that does not exist (counted in `cpu.unknown`).
pub fn rdmsr(cpu: &mut Cpu, bus: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    let msr = selected(cpu)?;
    let at = cpu.core.now();
    let m = &cpu.sys.msrs;
    let value = match msr {
        Msr::TimeStampCounter => bus.tsc(at).wrapping_add(m.tsc_adjust),
        Msr::PlatformId => 0,
        Msr::ApicBase => bus.apic_base(),
        Msr::FeatureControl => m.feature_control,
        Msr::TscAdjust => m.tsc_adjust,
        Msr::BiosUpdateTrigger => return Err(Exception::GP0),
        Msr::BiosSignId => m.bios_sign_id,
        Msr::MtrrCap => mtrr::CAP,
        Msr::SysenterCs => m.sysenter_cs,
        Msr::SysenterEsp => m.sysenter_esp,
        Msr::SysenterEip => m.sysenter_eip,
        Msr::McgCap => MCG_CAP,
        Msr::McgStatus => m.mcg_status,
        Msr::McgCtl => m.mcg_ctl,
        Msr::MiscEnable => m.misc_enable | MISC_ENABLE_FIXED,
        Msr::DebugCtl => m.debugctl,
        Msr::MtrrVariable(n) => m.mtrr_var[n],
        Msr::MtrrFixed(n) => m.mtrr_fixed[n],
        Msr::Pat => m.pat,
        Msr::MtrrDefType => m.mtrr_def_type,
        Msr::McBank(n) => m.mc_banks[n],
        Msr::TscDeadline => match bus.tsc_deadline(at) {
            0 => 0,
            d => d.wrapping_add(m.tsc_adjust),
        },
        Msr::Efer => cpu.sys.efer,
        Msr::Star => m.star,
        Msr::Lstar => m.lstar,
        Msr::Cstar => m.cstar,
        Msr::Fmask => m.fmask,
        Msr::FsBase => cpu.sys.segs[seg::FS].base,
        Msr::GsBase => cpu.sys.segs[seg::GS].base,
        Msr::KernelGsBase => m.kernel_gs_base,
    };
    set_edx_eax(cpu, value);
    Ok(0)
}

/// WRMSR: EDX:EAX to MSR[ECX].
///
/// # Errors
/// #GP(0) outside CPL 0, for a register that does not exist (counted in `cpu.unknown`), cannot be written, or not so.
pub fn wrmsr(cpu: &mut Cpu, bus: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    let msr = selected(cpu)?;
    let value = edx_eax(cpu);
    let at = cpu.core.now();
    let require = |valid: bool| if valid { Ok(()) } else { Err(Exception::GP0) };
    let m = &mut cpu.sys.msrs;
    match msr {
        Msr::PlatformId | Msr::MtrrCap | Msr::McgCap => return Err(Exception::GP0),
        Msr::TimeStampCounter => {
            let base = bus.tsc(at);
            set_tsc_adjust(cpu, bus, value.wrapping_sub(base));
        }
        Msr::TscAdjust => set_tsc_adjust(cpu, bus, value),
        Msr::TscDeadline => {
            set_deadline(bus, at, value, m.tsc_adjust);
            cpu.core.leave |= bus.attention();
        }
        Msr::ApicBase => {
            require(bus.set_apic_base(at, value))?;
            cpu.core.leave |= bus.attention();
        }
        Msr::FeatureControl => {
            // Only the lock bit exists: nothing that it would lock does.
            require(value & !1 == 0 && m.feature_control & 1 == 0)?;
            m.feature_control = value;
        }
        // A microcode update that changes nothing, as hardware treats one that does not fit.
        Msr::BiosUpdateTrigger => {}
        Msr::BiosSignId => m.bios_sign_id = 0,
        Msr::SysenterCs => m.sysenter_cs = value & 0xffff_ffff,
        Msr::SysenterEsp => {
            require(canonical(value))?;
            m.sysenter_esp = value;
        }
        Msr::SysenterEip => {
            require(canonical(value))?;
            m.sysenter_eip = value;
        }
        Msr::McgStatus => {
            require(value & !7 == 0)?;
            m.mcg_status = value;
        }
        Msr::McgCtl => {
            require(value == 0 || value == u64::MAX)?;
            m.mcg_ctl = value;
        }
        Msr::MiscEnable => {
            let old = m.misc_enable | MISC_ENABLE_FIXED;
            require((value ^ old) & !MISC_ENABLE_WRITABLE == 0)?;
            m.misc_enable = value;
        }
        Msr::DebugCtl => {
            // LBR and BTF are accepted; there are no branch records.
            require(value & !3 == 0)?;
            m.debugctl = value;
        }
        Msr::MtrrVariable(n) => {
            require(mtrr::variable_valid(n, value))?;
            m.mtrr_var[n] = value;
        }
        Msr::MtrrFixed(n) => {
            require(mtrr::fixed_valid(value))?;
            m.mtrr_fixed[n] = value;
        }
        Msr::Pat => {
            require(mtrr::pat_valid(value))?;
            m.pat = value;
        }
        Msr::MtrrDefType => {
            require(mtrr::default_valid(value))?;
            m.mtrr_def_type = value;
        }
        Msr::McBank(n) => {
            // CTL takes anything; STATUS, ADDR and MISC can only be cleared.
            require(n % 4 == 0 || value == 0)?;
            m.mc_banks[n] = value;
        }
        Msr::Efer => write_efer(cpu, value)?,
        Msr::Star => m.star = value,
        Msr::Lstar => {
            require(canonical(value))?;
            m.lstar = value;
        }
        Msr::Cstar => {
            require(canonical(value))?;
            m.cstar = value;
        }
        Msr::Fmask => m.fmask = value & 0xffff_ffff,
        Msr::FsBase => write_base(cpu, seg::FS, value)?,
        Msr::GsBase => write_base(cpu, seg::GS, value)?,
        Msr::KernelGsBase => {
            require(canonical(value))?;
            m.kernel_gs_base = value;
        }
    }
    Ok(0)
}

/// Arms the deadline timer at guest TSC value `deadline`; 0 disarms.
fn set_deadline(bus: &mut dyn Bus, at: u64, deadline: u64, adjust: u64) {
    let base = match deadline {
        0 => 0,
        // Zero means disarmed on the bus too, so a deadline at the very start of time becomes the first tick.
        d => d.wrapping_sub(adjust).max(1),
    };
    bus.set_tsc_deadline(at, base);
}

/// Moves the guest's TSC; an armed deadline keeps its guest value.
fn set_tsc_adjust(cpu: &mut Cpu, bus: &mut dyn Bus, adjust: u64) {
    let at = cpu.core.now();
    let old = std::mem::replace(&mut cpu.sys.msrs.tsc_adjust, adjust);
    let armed = bus.tsc_deadline(at);
    if armed != 0 && old != adjust {
        set_deadline(bus, at, armed.wrapping_add(old), adjust);
        cpu.core.leave |= bus.attention();
    }
}

fn write_base(cpu: &mut Cpu, n: usize, value: u64) -> Result<(), Exception> {
    if !canonical(value) {
        return Err(Exception::GP0);
    }
    cpu.sys.segs[n].base = value;
    cpu.core.regs[Reg::SEG.0 as usize + n] = value;
    Ok(())
}

fn write_efer(cpu: &mut Cpu, value: u64) -> Result<(), Exception> {
    use bits::{EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE};
    let old = cpu.sys.efer;
    let changed = old ^ value;
    let paging = cpu.sys.cr0 & bits::CR0_PG != 0;
    if value & !(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE) != 0 || paging && changed & EFER_LME != 0 {
        return Err(Exception::GP0);
    }
    cpu.sys.efer = value & !EFER_LMA | old & EFER_LMA;
    if changed & EFER_NXE != 0 {
        cpu.core.flush_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::{
        state::gpr,
        system::testing::{TestBus, cpu},
    };

    fn write(c: &mut Cpu, bus: &mut TestBus, index: u64, value: u64) -> Result<u64, Exception> {
        c.set_reg(gpr::RCX, index);
        set_edx_eax(c, value);
        wrmsr(c, bus, 0, 0)
    }

    fn read(c: &mut Cpu, bus: &mut TestBus, index: u64) -> Result<u64, Exception> {
        c.set_reg(gpr::RCX, index);
        rdmsr(c, bus, 0, 0)?;
        Ok(edx_eax(c))
    }

    #[test]
    fn unknown_registers_fault_and_are_counted() {
        let (mut c, mut bus) = (cpu(), TestBus::default());
        assert_eq!(read(&mut c, &mut bus, 0xce), Err(Exception::GP0));
        assert_eq!(write(&mut c, &mut bus, 0x251, 0), Err(Exception::GP0));
        assert_eq!(c.unknown.msrs, 2);
    }

    #[test]
    fn values_are_checked() {
        let (mut c, mut bus) = (cpu(), TestBus::default());
        let noncanonical = 0x8000_0000_0000;
        for index in [0x175, 0x176, 0xc000_0082, 0xc000_0100, 0xc000_0101, 0xc000_0102] {
            assert_eq!(write(&mut c, &mut bus, index, noncanonical), Err(Exception::GP0));
            assert_eq!(write(&mut c, &mut bus, index, 0xffff_8000_0000_0000), Ok(0));
            assert_eq!(read(&mut c, &mut bus, index), Ok(0xffff_8000_0000_0000));
        }
        assert_eq!(write(&mut c, &mut bus, 0x277, 2), Err(Exception::GP0));
        assert_eq!(write(&mut c, &mut bus, 0x277, 0x0007_0406_0507_0406), Ok(0));
        assert_eq!(write(&mut c, &mut bus, 0x200, 0x8000_0006), Ok(0));
        assert_eq!(write(&mut c, &mut bus, 0x201, 0x100_0000_0800), Err(Exception::GP0));
        c.sys.cr0 |= bits::CR0_PG;
        assert_eq!(write(&mut c, &mut bus, 0xc000_0080, bits::EFER_LME), Err(Exception::GP0));
    }

    #[test]
    fn moving_the_tsc_keeps_the_deadline_where_the_guest_put_it() {
        let (mut c, mut bus) = (cpu(), TestBus::default());
        c.core.count = 1000;
        write(&mut c, &mut bus, 0x6e0, 5000).unwrap();
        write(&mut c, &mut bus, 0x10, 3000).unwrap();
        assert_eq!(read(&mut c, &mut bus, 0x3b), Ok(2000));
        assert_eq!(read(&mut c, &mut bus, 0x10), Ok(3000));
        assert_eq!((bus.deadline, read(&mut c, &mut bus, 0x6e0)), (3000, Ok(5000)));
    }
}
