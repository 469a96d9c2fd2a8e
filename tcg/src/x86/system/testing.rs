//! A CPU over flat memory and a bus with nothing on it, for unit tests.

use crate::{
    Bus, Width,
    phys::PhysMap,
    x86::{
        Cpu,
        state::{Segment, TableRegister, bits, gpr, seg},
    },
};
use vm_memory::{GuestAddress, GuestMemoryMmap};

/// A CPU after RESET with 1 MiB of RAM at 0.
pub fn cpu() -> Cpu {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
    Cpu::new(PhysMap::new(memory, Vec::new()))
}

/// Writes physical memory.
pub fn put(cpu: &mut Cpu, at: u64, size: usize, value: u64) {
    assert!(cpu.core.phys.write(at, size, value));
}

/// Reads physical memory.
pub fn get(cpu: &Cpu, at: u64, size: usize) -> u64 {
    cpu.core.phys.read(at, size).unwrap()
}

/// Remembers what the CPU wrote.
#[derive(Default)]
pub struct TestBus {
    pub ports: Vec<(u16, Width, u32)>,
    pub apic_base: u64,
    pub deadline: u64,
    pub tpr: u8,
}

impl Bus for TestBus {
    fn port_read(&mut self, _at: u64, port: u16, _width: Width) -> u32 {
        u32::from(port) + 1
    }
    fn port_write(&mut self, _at: u64, port: u16, width: Width, value: u32) {
        self.ports.push((port, width, value));
    }
    fn mmio_read(&mut self, _at: u64, _addr: u64, _width: Width) -> u64 {
        0
    }
    fn mmio_write(&mut self, _at: u64, _addr: u64, _width: Width, _value: u64) {}
    fn attention(&mut self) -> bool {
        false
    }
    fn tsc(&self, at: u64) -> u64 {
        at
    }
    fn apic_base(&self) -> u64 {
        self.apic_base
    }
    fn set_apic_base(&mut self, _at: u64, value: u64) -> bool {
        self.apic_base = value;
        true
    }
    fn tsc_deadline(&self, _at: u64) -> u64 {
        self.deadline
    }
    fn set_tsc_deadline(&mut self, _at: u64, value: u64) {
        self.deadline = value;
    }
    fn tpr(&self) -> u8 {
        self.tpr
    }
    fn set_tpr(&mut self, _at: u64, value: u8) {
        self.tpr = value;
    }
}

/// Selectors of [`protected`] and [`long`].
pub mod sel {
    pub const CODE0: u16 = 0x08;
    pub const DATA0: u16 = 0x10;
    pub const CODE3: u16 = 0x1b;
    pub const DATA3: u16 = 0x23;
    pub const TSS: u16 = 0x28;
    /// In [`long`], the upper half of the TSS descriptor.
    pub const TSS2: u16 = 0x30;
    pub const CODE64: u16 = 0x38;
    pub const USER64: u16 = 0x43;
    /// Free for a test; two slots.
    pub const FREE: u16 = 0x48;
}

pub const GDT: u64 = 0x500;
pub const IDT: u64 = 0x1000;
pub const TSS: u64 = 0x600;
pub const TSS2: u64 = 0x700;
/// Ring 0 stack that both TSSs name.
pub const STACK0: u64 = 0x9000;

/// A segment or TSS descriptor.
pub fn descriptor(base: u64, limit: u64, attr: u64) -> u64 {
    limit & 0xffff
        | (base & 0xff_ffff) << 16
        | (attr & 0xff) << 40
        | (limit >> 16 & 15) << 48
        | (attr >> 12) << 52
        | (base >> 24 & 0xff) << 56
}

/// A gate.
pub fn gate(selector: u16, offset: u64, attr: u64, low: u64) -> u64 {
    offset & 0xffff | u64::from(selector) << 16 | low << 32 | attr << 40 | (offset >> 16 & 0xffff) << 48
}

fn tables(c: &mut Cpu) {
    let flat = [
        (sel::CODE0, 0xc09b),
        (sel::DATA0, 0xc093),
        (sel::CODE3, 0xc0fb),
        (sel::DATA3, 0xc0f3),
        (sel::CODE64, 0xa09b),
        (sel::USER64, 0xa0fb),
    ];
    for (s, attr) in flat {
        put(c, GDT + u64::from(s & !7), 8, descriptor(0, 0xf_ffff, attr));
    }
    put(c, GDT + u64::from(sel::TSS), 8, descriptor(TSS, 0x67, 0x8b));
    c.sys.gdtr = TableRegister { base: GDT, limit: 0x57 };
    c.sys.idtr = TableRegister { base: IDT, limit: 0xfff };
    c.sys.tr = Segment { selector: sel::TSS, base: TSS, limit: 0x67, attr: 0x8b };
    c.sys.ldtr = Segment::default();
    c.sys.cr0 |= bits::CR0_PE;
}

/// Flat 32-bit protected mode at CPL 0, tables above, RSP 0x8000.
pub fn protected() -> Cpu {
    let mut c = cpu();
    tables(&mut c);
    put(&mut c, GDT + u64::from(sel::TSS2), 8, descriptor(TSS2, 0x67, 0x89));
    put(&mut c, TSS + 4, 4, STACK0);
    put(&mut c, TSS + 8, 4, u64::from(sel::DATA0));
    let data = Segment { selector: sel::DATA0, base: 0, limit: u32::MAX, attr: 0xc093 };
    for n in 0..6 {
        c.set_segment(n, data);
    }
    c.set_segment(seg::CS, Segment { selector: sel::CODE0, attr: 0xc09b, ..data });
    c.set_reg(gpr::RSP, 0x8000);
    c.core.pc = 0x4000;
    c
}

/// 64-bit code at CPL 0, the first GiB mapped onto itself for everyone, RSP 0x8000.
pub fn long() -> Cpu {
    let mut c = protected();
    put(&mut c, GDT + u64::from(sel::TSS2), 8, 0);
    put(&mut c, TSS + 4, 8, STACK0);
    put(&mut c, 0x2000, 8, 0x3007);
    put(&mut c, 0x3000, 8, 0x87);
    c.sys.cr3 = 0x2000;
    c.sys.cr4 |= bits::CR4_PAE;
    c.sys.cr0 |= bits::CR0_PG | bits::CR0_WP;
    c.sys.efer = bits::EFER_LME | bits::EFER_LMA | bits::EFER_NXE;
    let code = Segment { selector: sel::CODE64, base: 0, limit: u32::MAX, attr: 0xa09b };
    c.set_segment(seg::CS, code);
    c
}

/// Moves a CPU of [`protected`] or [`long`] to CPL 3, RSP 0x7000.
pub fn to_user(c: &mut Cpu, cs: u16) {
    let attr = if cs == sel::USER64 { 0xa0fb } else { 0xc0fb };
    c.set_segment(seg::CS, Segment { selector: cs, base: 0, limit: u32::MAX, attr });
    for n in [seg::ES, seg::SS, seg::DS] {
        c.set_segment(n, Segment { selector: sel::DATA3, base: 0, limit: u32::MAX, attr: 0xc0f3 });
    }
    for n in [seg::FS, seg::GS] {
        c.set_segment(n, Segment::default());
    }
    c.set_reg(gpr::RSP, 0x7000);
}
