//! The same run in the translator, by either engine: user-level code over identity-mapped memory.

use crate::machine::{Bits, CODE, CODE_LEN, DATA, DATA_LEN, Data, End, Registers, WRITABLE};
use rrvmm_tcg::{
    Bus, Width,
    block::Backend,
    interp::Interp,
    phys::PhysMap,
    x86::{
        Cpu, State,
        engine::{Engine, Stop},
        mode::Mode,
        state::{Segment, TableRegister, bits, seg},
    },
};
use vm_memory::{GuestAddress, GuestMemoryMmap};

const PAGE: u64 = 4096;
const SYSTEM_LEN: u64 = 0x20000;
const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PD: u64 = 0x3000;
const DATA_PT: u64 = 0x4000;
const CODE_PT: u64 = 0x5000;
const GDT: u64 = 0x7000;
const TSS: u64 = 0x7100;
const IDT: u64 = 0x8000;
/// Sixteen bytes a vector, each a HLT.
const HANDLERS: u64 = 0x9000;
const KERNEL_STACK: u64 = 0xf000;

const PRESENT: u64 = 1;
const WRITE: u64 = 2;
const USER: u64 = 4;
const LARGE: u64 = 0x80;

/// The CPU and what starts every run.
pub struct Translated<B: Backend<Cpu> = Interp> {
    engine: Engine<B>,
    reset: State,
    /// What the run started from: segments.
    user: State,
}

/// Nothing is there.
struct NoBus;

impl Bus for NoBus {
    fn port_read(&mut self, _at: u64, _port: u16, _width: Width) -> u32 {
        u32::MAX
    }
    fn port_write(&mut self, _at: u64, _port: u16, _width: Width, _value: u32) {}
    fn mmio_read(&mut self, _at: u64, _addr: u64, _width: Width) -> u64 {
        u64::MAX
    }
    fn mmio_write(&mut self, _at: u64, _addr: u64, _width: Width, _value: u64) {}
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

fn segment(selector: u16, attr: u16) -> Segment {
    Segment { selector, base: 0, limit: u32::MAX, attr }
}

const DPL3: u16 = 3 << 5;
const CODE_ATTR: u16 = Segment::P | Segment::S | Segment::CODE | Segment::RW | Segment::ACCESSED | Segment::G;
const DATA_ATTR: u16 = Segment::P | Segment::S | Segment::RW | Segment::ACCESSED | Segment::G | Segment::DB;

impl<B: Backend<Cpu>> Translated<B> {
    /// A machine with the tables in place.
    pub fn new(backend: B) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[
            (GuestAddress(0), SYSTEM_LEN as usize),
            (GuestAddress(CODE), CODE_LEN),
            (GuestAddress(DATA), DATA_LEN),
        ])
        .unwrap();
        let mut cpu = Cpu::new(PhysMap::new(memory, Vec::new()));
        tables(&mut cpu);
        let sys = &mut cpu.sys;
        sys.cr0 = bits::CR0_PE | bits::CR0_PG | bits::CR0_WP | bits::CR0_ET | bits::CR0_NE;
        sys.cr3 = PML4;
        sys.cr4 = bits::CR4_PAE | bits::CR4_PGE | bits::CR4_OSFXSR;
        sys.efer = bits::EFER_LME | bits::EFER_LMA | bits::EFER_SCE;
        sys.gdtr = TableRegister { base: GDT, limit: 0x7f };
        sys.idtr = TableRegister { base: IDT, limit: 0x1ff };
        sys.tr = Segment { selector: 0x40, base: TSS, limit: 0x67, attr: 0x8b };
        let engine = Engine::new(cpu, backend);
        let reset = engine.cpu.save();
        Self { engine, user: reset.clone(), reset }
    }

    /// Writes code.
    pub fn write_code(&mut self, at: u64, bytes: &[u8]) {
        for (n, &byte) in bytes.iter().enumerate() {
            assert!(self.engine.cpu.core.phys.write(at + n as u64, 1, byte.into()));
        }
    }

    /// Starts over with these registers and data.
    pub fn load(&mut self, width: Bits, registers: &Registers, data: &Data) {
        let mut state = self.reset.clone();
        state.regs = registers.gpr;
        state.rip = registers.rip;
        state.rflags = registers.flags;
        let segs = &mut state.system.segs;
        let data_segment = segment(0x2b, DATA_ATTR | DPL3);
        segs[seg::SS] = data_segment;
        match width {
            Bits::B64 => segs[seg::CS] = segment(0x33, CODE_ATTR | DPL3 | Segment::L),
            Bits::B32 => {
                segs[seg::CS] = segment(0x23, CODE_ATTR | DPL3 | Segment::DB);
                (segs[seg::DS], segs[seg::ES]) = (data_segment, data_segment);
            }
        }
        for n in [seg::FS, seg::GS] {
            segs[n] = Segment::default();
        }
        if width == Bits::B64 {
            (segs[seg::DS], segs[seg::ES]) = (Segment::default(), Segment::default());
        }
        self.engine.cpu.load(&state);
        self.user = state;
        let first = data_page();
        for (n, page) in data.as_chunks::<4096>().0.iter().enumerate() {
            self.engine.cpu.core.phys.set_page(first + n, page);
        }
    }

    /// Changes registers only; the data stays.
    pub fn reload(&mut self, registers: &Registers) {
        let mut state = self.user.clone();
        state.count = self.engine.cpu.core.count;
        state.regs = registers.gpr;
        state.rip = registers.rip;
        state.rflags = registers.flags;
        self.engine.cpu.load(&state);
    }

    /// Completes `n` more instructions. `Some` when an exception came first: then [`Translated::registers`] are those it
    /// was delivered with.
    pub fn run(&mut self, n: u64) -> Option<End> {
        let limit = self.engine.cpu.core.count + n;
        match self.engine.run(&mut NoBus, limit, false) {
            Stop::Limit => None,
            Stop::Halt => Some(self.exception()),
            stop => panic!("{stop:?} at {:#x}", self.engine.cpu.core.pc),
        }
    }

    /// Undoes the delivery of an exception.
    fn exception(&mut self) -> End {
        let cpu = &mut self.engine.cpu;
        let vector = (cpu.core.pc - 1 - HANDLERS) / 16;
        let mut at = cpu.reg(4);
        let mut pop = || {
            let v = cpu.core.phys.read(at, 8).unwrap();
            at += 8;
            v
        };
        let has_code = matches!(vector, 8 | 10..=14 | 17);
        let error = if has_code { pop() as u16 } else { 0 };
        let rip = pop();
        pop();
        let rflags = pop();
        let rsp = pop();
        let address = cpu.sys.cr2;
        let mut registers = self.registers();
        (registers.rip, registers.flags) = (rip, rflags);
        registers.gpr[4] = rsp;
        self.reload(&registers);
        End { vector: vector as u8, error, address }.tidy()
    }

    /// The registers now.
    pub fn registers(&self) -> Registers {
        let cpu = &self.engine.cpu;
        let mut gpr = [0; 16];
        gpr.copy_from_slice(&cpu.core.regs[..16]);
        Registers { gpr, rip: cpu.core.pc, flags: cpu.rflags() }
    }

    /// Data byte, word… at `at`.
    pub fn read(&self, at: u64, size: usize) -> u64 {
        (0..size as u64)
            .map(|n| self.engine.cpu.core.phys.read(at + n, 1).unwrap_or(0) << (8 * n))
            .fold(0, |a, b| a | b)
    }

    /// All data.
    pub fn data(&self) -> Data {
        let mut data: Data = Box::new([0; DATA_LEN]);
        let first = data_page();
        for (n, page) in data.as_chunks_mut::<4096>().0.iter_mut().enumerate() {
            page.copy_from_slice(self.engine.cpu.core.phys.page_bytes(first + n));
        }
        data
    }

    /// The mode the code runs in.
    pub fn mode(&self) -> Mode {
        self.engine.cpu.mode()
    }
}

fn data_page() -> usize {
    (SYSTEM_LEN / PAGE) as usize + CODE_LEN / PAGE as usize
}

/// Paging, descriptors, handlers.
fn tables(cpu: &mut Cpu) {
    let mut put = |at: u64, v: u64| assert!(cpu.core.phys.write(at, 8, v));
    put(PML4, PDPT | PRESENT | WRITE | USER);
    put(PDPT, PD | PRESENT | WRITE | USER);
    put(PD, PRESENT | WRITE | LARGE);
    put(PD + CODE / (2 << 20) * 8, CODE_PT | PRESENT | WRITE | USER);
    for page in 0..CODE_LEN as u64 / PAGE {
        put(CODE_PT + page * 8, (CODE + page * PAGE) | PRESENT | WRITE | USER);
    }
    put(PD + DATA / (2 << 20) * 8, DATA_PT | PRESENT | WRITE | USER);
    for page in 0..DATA_LEN as u64 / PAGE {
        let write = if page * PAGE < WRITABLE as u64 { WRITE } else { 0 };
        put(DATA_PT + page * 8, (DATA + page * PAGE) | PRESENT | USER | write);
    }
    // Kernel code at 0x08; the user's segments are loaded with their hidden parts.
    put(GDT + 8, 0x00af_9b00_0000_ffff);
    put(TSS + 4, KERNEL_STACK);
    for vector in 0..32 {
        let handler = HANDLERS + vector * 16;
        // INT3 and INTO are the user's to call.
        let kind = if matches!(vector, 3 | 4) { 0xee00 } else { 0x8e00 };
        put(IDT + vector * 16, handler & 0xffff | 8 << 16 | kind << 32 | (handler >> 16) << 48);
        put(IDT + vector * 16 + 8, 0);
        put(handler, 0xf4);
    }
}
