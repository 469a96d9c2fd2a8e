//! Tables of fixed layout: FADT, MADT, HPET.

use crate::acpi::{OEM_ID, OEM_REVISION, OEM_TABLE_ID, bytes};
use crate::chips::pm::{ACPI_DISABLE, ACPI_ENABLE};
use crate::pc::{HPET_BASE, IOAPIC_BASE, LAPIC_BASE, PM_BASE, PcConfig, RESET_PORT, SCI_IRQ};
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::sdt::Sdt;

/// The APM control port, which switches ACPI mode.
const APM_CONTROL: u8 = 0xb2;
/// What the reset register takes: a full reset.
const RESET_VALUE: u8 = 0x06;
/// The RTC's century byte in CMOS memory.
const CENTURY: u8 = 0x32;
/// IA-PC boot architecture: there are ISA devices and a keyboard controller.
const LEGACY_DEVICES_AND_8042: u16 = 0x03;
/// Longer than any latency means that the state does not exist.
const NO_C2: u16 = 101;
/// See [`NO_C2`].
const NO_C3: u16 = 1001;

/// The fixed ACPI description table (5.2.9). Without firmware the machine is in ACPI mode from the start, so there is no SMI command
/// port.
pub(super) fn fadt(config: &PcConfig, dsdt: u64, facs: u64) -> Vec<u8> {
    let mut fadt = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION)
        .dsdt_32(dsdt as u32)
        .firmware_ctrl_32(facs as u32)
        .flag(Flags::Wbinvd)
        .flag(Flags::ProcC1)
        .flag(Flags::SlpButton)
        .flag(Flags::FixRtc)
        .flag(Flags::ResetRegSup);
    if config.firmware {
        fadt.smi_cmd = u32::from(APM_CONTROL).into();
        (fadt.acpi_enable, fadt.acpi_disable) = (ACPI_ENABLE, ACPI_DISABLE);
    }
    fadt.sci_int = u16::from(SCI_IRQ).into();
    fadt.pm1a_evt_blk = u32::from(PM_BASE).into();
    fadt.pm1_evt_len = 4;
    fadt.pm1a_cnt_blk = u32::from(PM_BASE + 4).into();
    fadt.pm1_cnt_len = 2;
    fadt.pm_tmr_blk = u32::from(PM_BASE + 8).into();
    fadt.pm_tmr_len = 4;
    fadt.p_lvl2_lat = NO_C2.into();
    fadt.p_lvl3_lat = NO_C3.into();
    fadt.century = CENTURY;
    fadt.iapc_boot_arch = LEGACY_DEVICES_AND_8042.into();
    fadt.reset_reg = GAS::new(AddressSpace::SystemIo, 8, 0, AccessSize::ByteAccess, u64::from(RESET_PORT));
    fadt.reset_value = RESET_VALUE;
    bytes(&fadt.finalize())
}

/// The multiple APIC description table (5.2.12).
pub(super) fn madt(config: &PcConfig) -> Vec<u8> {
    let mut madt = table(*b"APIC", 5);
    madt.append_slice(&(LAPIC_BASE as u32).to_le_bytes());
    // There are 8259s too.
    madt.append_slice(&1u32.to_le_bytes());
    for cpu in 0..config.cpus {
        madt.append_slice(&[0, 8, cpu, cpu, 1, 0, 0, 0]);
    }
    let [a, b, c, d] = (IOAPIC_BASE as u32).to_le_bytes();
    madt.append_slice(&[1, 12, 0, 0, a, b, c, d, 0, 0, 0, 0]);
    // Interrupt source overrides: the timer is on input 2; the SCI is active high and level triggered.
    madt.append_slice(&[2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    madt.append_slice(&[2, 10, 0, SCI_IRQ, SCI_IRQ, 0, 0, 0, 0x0d, 0]);
    // NMI on LINT1 of every processor.
    madt.append_slice(&[4, 6, 0xff, 0, 0, 1]);
    madt.as_slice().to_vec()
}

/// The HPET description table (IA-PC HPET specification, 3.2.4).
pub(super) fn hpet() -> Vec<u8> {
    let mut hpet = table(*b"HPET", 1);
    hpet.append_slice(&0x8086_a201u32.to_le_bytes());
    hpet.append_slice(&[0, 64, 0, 0]);
    hpet.append_slice(&HPET_BASE.to_le_bytes());
    // Number 0, minimum tick in periodic mode, no page protection.
    hpet.append_slice(&[0, 0x80, 0x00, 0]);
    hpet.as_slice().to_vec()
}

fn table(signature: [u8; 4], revision: u8) -> Sdt {
    Sdt::new(signature, 36, revision, OEM_ID, OEM_TABLE_ID, OEM_REVISION)
}
