//! The translator's two engines in one small supervisor-mode machine: what an instruction does in the interpreter and as
//! machine code.

use crate::{
    encode::Variant,
    stub::{MEMORY, Machine, Signal},
};
use rrvmm_tcg::{
    Bus, Width,
    block::Backend,
    interp::Interp,
    jit::Jit,
    phys::PhysMap,
    x86::{
        Cpu, State,
        engine::{Engine, Stop},
        state::{Segment, TableRegister, bits, seg},
    },
};
use vm_memory::{GuestAddress, GuestMemoryMmap};

const PAGE: u64 = 4096;
const SYSTEM_LEN: usize = 0x2_0000;
const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PD: u64 = 0x3000;
const DATA_PT: u64 = 0x4000;
const GDT: u64 = 0x7000;
const IDT: u64 = 0x8000;
/// Sixteen bytes a vector, each a HLT.
const HANDLERS: u64 = 0x9000;
const STACK: u64 = 0xf000;
/// Where code goes.
pub const CODE: u64 = 0x20_0000;
const CODE_LEN: usize = 0x1_0000;
/// First page of data; two pages to write follow each other, then one to read, one that is not there, one more, and a device.
pub const DATA: u64 = 0x40_0000;
/// The page that cannot be written.
pub const READ_ONLY: u64 = DATA + 2 * PAGE;
/// The page that is not present.
pub const ABSENT: u64 = DATA + 3 * PAGE;
/// The page with no RAM behind it.
pub const DEVICE: u64 = DATA + 5 * PAGE;
/// Base of FS in compatibility mode, where addresses wrap.
pub const NARROW_FS: u64 = 0xf000_0000;
/// Pages of RAM from [`DATA`] on.
pub const DATA_PAGES: u64 = 5;
/// The middle of a case's memory.
const OPERAND: u64 = DATA + 0x800;
/// Bytes between the codes of two immediates.
const SLOT: u64 = 32;

/// Reads as a number made of the address; remembers writes.
#[derive(Default)]
struct Device {
    written: u64,
}

impl Bus for Device {
    fn port_read(&mut self, _at: u64, _port: u16, _width: Width) -> u32 {
        u32::MAX
    }
    fn port_write(&mut self, _at: u64, _port: u16, _width: Width, _value: u32) {}
    fn mmio_read(&mut self, at: u64, addr: u64, _width: Width) -> u64 {
        (addr ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
    fn mmio_write(&mut self, at: u64, addr: u64, _width: Width, value: u64) {
        self.written = self.written.wrapping_mul(31).wrapping_add(value ^ addr ^ at << 32);
    }
    fn attention(&mut self) -> bool {
        false
    }
    fn tsc(&self, at: u64) -> u64 {
        at
    }
    fn apic_base(&self) -> u64 {
        0
    }
    fn set_apic_base(&mut self, _at: u64, _value: u64) -> bool {
        true
    }
    fn tsc_deadline(&self, _at: u64) -> u64 {
        0
    }
    fn set_tsc_deadline(&mut self, _at: u64, _value: u64) {}
    fn tpr(&self) -> u8 {
        0
    }
    fn set_tpr(&mut self, _at: u64, _value: u8) {}
}

/// One engine and its machine.
pub struct Guest<B: Backend<Cpu>> {
    engine: Engine<B>,
    device: Device,
    /// Whether code runs in compatibility mode.
    pub narrow: bool,
}

/// Everything that a run can change.
#[derive(Debug, PartialEq)]
pub struct After {
    /// The CPU.
    pub state: State,
    /// What the device was told.
    pub written: u64,
}

impl<B: Backend<Cpu>> Guest<B> {
    /// A machine in 64-bit mode, ring 0.
    pub fn new(backend: B) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[
            (GuestAddress(0), SYSTEM_LEN),
            (GuestAddress(CODE), CODE_LEN),
            (GuestAddress(DATA), (DATA_PAGES * PAGE) as usize),
        ])
        .unwrap();
        let mut cpu = Cpu::new(PhysMap::new(memory, Vec::new()));
        tables(&mut cpu);
        let sys = &mut cpu.sys;
        sys.cr0 = bits::CR0_PE | bits::CR0_PG | bits::CR0_WP | bits::CR0_ET | bits::CR0_NE;
        sys.cr3 = PML4;
        sys.cr4 = bits::CR4_PAE | bits::CR4_PGE | bits::CR4_OSFXSR | bits::CR4_OSXMMEXCPT;
        sys.efer = bits::EFER_LME | bits::EFER_LMA;
        sys.gdtr = TableRegister { base: GDT, limit: 0x7f };
        sys.idtr = TableRegister { base: IDT, limit: 0x1ff };
        let present = Segment::P | Segment::S | Segment::RW | Segment::ACCESSED | Segment::G;
        let data = Segment { selector: 0, base: 0, limit: u32::MAX, attr: present | Segment::DB };
        for n in [seg::ES, seg::SS, seg::DS] {
            sys.segs[n] = data;
        }
        sys.segs[seg::FS] = Segment { base: DATA + 0x400, ..data };
        sys.segs[seg::GS] = Segment { base: DATA - 0x10_0000, ..data };
        let attr = present | Segment::CODE | Segment::L;
        sys.segs[seg::CS] = Segment { selector: 8, base: 0, limit: u32::MAX, attr };
        let state = cpu.save();
        cpu.load(&state);
        Self { engine: Engine::new(cpu, backend), device: Device::default(), narrow: false }
    }

    /// Writes bytes at a physical address.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        for (n, &byte) in bytes.iter().enumerate() {
            assert!(self.engine.cpu.core.phys.write(at + n as u64, 1, byte.into()));
        }
    }

    /// The CPU, to set registers.
    pub fn cpu(&mut self) -> &mut Cpu {
        &mut self.engine.cpu
    }

    /// Runs from `pc`, stopping once after `pause` instructions, to a HLT; the vector when an exception led there.
    pub fn run(&mut self, pc: u64, pause: u64) -> Option<u8> {
        let cpu = &mut self.engine.cpu;
        let width = if self.narrow { Segment::DB } else { Segment::L };
        let attr =
            Segment::P | Segment::S | Segment::RW | Segment::ACCESSED | Segment::G | Segment::CODE | width;
        cpu.set_segment(seg::CS, Segment { selector: 8, base: 0, limit: u32::MAX, attr });
        let fs = if self.narrow { NARROW_FS } else { DATA + 0x400 };
        let old = cpu.sys.segs[seg::FS];
        cpu.set_segment(seg::FS, Segment { base: fs, ..old });
        cpu.core.pc = pc;
        cpu.sys.halted = false;
        cpu.set_reg(4, STACK);
        let pause = cpu.core.count + pause;
        let mut stop = self.engine.run(&mut self.device, pause, false);
        if stop == Stop::Limit {
            stop = self.engine.run(&mut self.device, u64::MAX / 2, false);
        }
        assert_eq!(stop, Stop::Halt, "at {:#x}", self.engine.cpu.core.pc);
        let pc = self.engine.cpu.core.pc;
        (pc < CODE).then(|| ((pc - 1 - HANDLERS) / 16) as u8)
    }

    /// What the run left.
    pub fn after(&self) -> After {
        After { state: self.engine.cpu.save(), written: self.device.written }
    }

    /// The page at `addr`.
    pub fn page(&self, addr: u64) -> &[u8; 4096] {
        let phys = &self.engine.cpu.core.phys;
        let page = (0..phys.pages()).find(|&n| phys.page_address(n) == addr & !(PAGE - 1));
        phys.page_bytes(page.unwrap())
    }

    /// Writes the variant's code, one slot for each immediate.
    pub fn load(&mut self, variant: &Variant) {
        for imm in 0..=255u8 {
            if imm > 0 && !variant.has_imm() {
                break;
            }
            let mut code = variant.encode(imm);
            code.push(0xf4);
            self.write(CODE + u64::from(imm) * SLOT, &code);
        }
    }

    /// Runs the loaded instruction as [`crate::stub::Stub::run`] does.
    pub fn case(&mut self, machine: &mut Machine, variant: &Variant, imm: u8, offset: usize) -> Signal {
        let memory = OPERAND - MEMORY as u64 / 2;
        for (n, word) in machine.memory.as_chunks::<8>().0.iter().enumerate() {
            let at = memory + 8 * n as u64;
            assert!(self.engine.cpu.core.phys.write(at, 8, u64::from_le_bytes(*word)));
        }
        let cpu = &mut self.engine.cpu;
        cpu.xmm[..3].copy_from_slice(&machine.xmm);
        let set =
            [(0, machine.rax), (1, machine.rcx), (2, machine.rdx), (8, machine.gpr[1]), (9, machine.gpr[2])];
        for (n, value) in set {
            cpu.set_reg(n, value);
        }
        for n in [7, 10] {
            cpu.set_reg(n, OPERAND + offset as u64);
        }
        cpu.set_rflags(u64::from(machine.flags) | 2);
        cpu.mxcsr = machine.mxcsr;
        let slot = if variant.has_imm() { u64::from(imm) } else { 0 };
        let vector = self.run(CODE + slot * SLOT, 1 << 40);
        let cpu = &self.engine.cpu;
        let flags = match vector {
            None => cpu.rflags(),
            Some(v) => cpu.core.phys.read(cpu.reg(4) + if v == 19 { 16 } else { 24 }, 8).unwrap(),
        };
        machine.xmm.copy_from_slice(&cpu.xmm[..3]);
        (machine.rax, machine.rcx, machine.rdx) = (cpu.reg(0), cpu.reg(1), cpu.reg(2));
        (machine.gpr[1], machine.gpr[2]) = (cpu.reg(8), cpu.reg(9));
        machine.flags = flags as u32 & rrvmm_tcg::x86::sse::STATUS_FLAGS;
        machine.mxcsr = cpu.mxcsr;
        for (n, byte) in machine.memory.iter_mut().enumerate() {
            *byte = cpu.core.phys.read(memory + n as u64, 1).unwrap() as u8;
        }
        match vector {
            None => Signal::None,
            Some(19) => Signal::Fpe,
            Some(13 | 14) => Signal::Segv,
            Some(v) => panic!("vector {v}"),
        }
    }
}

/// Both engines, which must always agree.
pub struct Both {
    /// The reference.
    pub interp: Guest<Interp>,
    /// Machine code.
    pub jit: Guest<Jit>,
}

impl Both {
    pub fn new() -> Self {
        Self { interp: Guest::new(Interp), jit: Guest::new(Jit::new().unwrap()) }
    }
}

/// Paging, descriptors, handlers.
fn tables(cpu: &mut Cpu) {
    const PRESENT: u64 = 1;
    const WRITE: u64 = 2;
    const LARGE: u64 = 0x80;
    let mut put = |at: u64, v: u64| assert!(cpu.core.phys.write(at, 8, v));
    put(PML4, PDPT | PRESENT | WRITE);
    put(PDPT, PD | PRESENT | WRITE);
    put(PD, PRESENT | WRITE | LARGE);
    put(PD + 8, CODE | PRESENT | WRITE | LARGE);
    put(PD + 16, DATA_PT | PRESENT | WRITE);
    for page in 0..=DATA_PAGES {
        let how = match DATA + page * PAGE {
            READ_ONLY => PRESENT,
            ABSENT => 0,
            _ => PRESENT | WRITE,
        };
        put(DATA_PT + page * 8, (DATA + page * PAGE) | how);
    }
    put(GDT + 8, 0x00af_9b00_0000_ffff);
    for vector in 0..32 {
        let handler = HANDLERS + vector * 16;
        put(IDT + vector * 16, handler & 0xffff | 8 << 16 | 0x8e00 << 32 | (handler >> 16) << 48);
        put(IDT + vector * 16 + 8, 0);
        put(handler, 0xf4);
    }
}
