//! A CPU in the case's mode over 1 MiB, run for one instruction.

use super::parse::{Case, CaseMode, Place, SEGMENTS, Value};
use iced_x86::{FlowControl, Register};
use rrvmm_tcg::{
    Bus, Width,
    block::Backend,
    phys::PhysMap,
    x86::{
        Cpu, State,
        engine::{Engine, Stop},
        state::{Segment, TableRegister, bits, seg},
    },
};
use std::fmt::Write as _;
use vm_memory::{GuestAddress, GuestMemoryMmap};

/// Offset in CS where every case runs.
pub const IP: u64 = 0x100;
const MEMORY: usize = 1 << 20;
/// Bases of ES, CS, SS, DS, FS, GS where they have one; selectors in real mode are a sixteenth.
const BASES: [u64; 6] = [0x30000, 0x10000, 0x40000, 0x20000, 0x50000, 0x60000];
/// From here on memory belongs to the harness.
const SYSTEM: u64 = 0x80000;
const PML4: u64 = 0x81000;
const PDPT: u64 = 0x82000;
const PD: u64 = 0x83000;
const GDT: u64 = 0x84000;
const TSS: u64 = 0x85000;
const IDT: u64 = 0x86000;
const HANDLERS: u64 = 0x90000;
const KERNEL_STACK: u64 = 0x9f000;
/// The real-mode vector table.
const IVT_LEN: u64 = 0x400;

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

/// What a case is checked against.
struct View {
    regs: [u64; 16],
    ip: u64,
    flags: u64,
    selectors: [u16; 6],
    memory: Vec<u8>,
}

/// The machine of one case.
pub struct Machine<B: Backend<Cpu>> {
    engine: Engine<B>,
    mode: CaseMode,
}

impl<B: Backend<Cpu>> Machine<B> {
    /// Runs a case; what is wrong, if anything. The instruction stands in a block with `padding` no-operations behind it:
    /// machine code runs whole blocks only.
    pub fn run(case: &Case, backend: B, padding: u64) -> Result<(), String> {
        let goes_on = case.instruction().flow_control() == FlowControl::Next;
        let padding = if goes_on { padding } else { 0 };
        let mut m = Machine::new(case.mode, backend);
        let mut state = m.state();
        for (place, value) in &case.inputs {
            m.input(&mut state, place, value)?;
        }
        let start = state.system.segs[seg::CS].base + state.rip;
        m.poke(start, &case.bytes);
        m.poke(start + case.bytes.len() as u64, &vec![0x90; padding as usize]);
        m.engine.cpu.load(&state);
        let before = m.view();
        let limit = m.engine.cpu.core.count + 1 + padding;
        let stop = m.engine.run(&mut NoBus, limit, false);
        let exception = match stop {
            Stop::Limit => None,
            Stop::Halt => Some(m.exception(&before)),
            other => return Err(format!("{other:?}")),
        };
        let mut after = m.view();
        if exception.is_none() {
            after.ip = after.ip.wrapping_sub(padding);
        }
        let mut wanted = before;
        if case.exception.is_none() {
            wanted.ip = case.instruction().next_ip() - IP + state.rip;
        }
        m.compare(case, &state, wanted, &after, exception)
    }

    fn new(mode: CaseMode, backend: B) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap();
        let cpu = Cpu::new(PhysMap::new(memory, Vec::new()));
        let mut m = Machine { engine: Engine::new(cpu, backend), mode };
        m.tables();
        m
    }

    fn poke(&mut self, at: u64, bytes: &[u8]) {
        for (n, &byte) in bytes.iter().enumerate() {
            assert!(self.engine.cpu.core.phys.write(at + n as u64, 1, byte.into()), "{at:#x}");
        }
    }

    fn peek(&self, at: u64, size: usize) -> u64 {
        self.engine.cpu.core.phys.read(at, size).unwrap()
    }

    /// Vector tables with a HLT behind each vector, a ring-0 stack, page tables.
    fn tables(&mut self) {
        for vector in 0..32u64 {
            let handler = HANDLERS + vector * 16;
            self.poke(handler, &[0xf4]);
            // INT3 and INTO are the user's to call.
            let dpl = if matches!(vector, 3 | 4) { 0x6000 } else { 0 };
            let kind = 0x8e00u64 | dpl;
            let gate = handler & 0xffff | 8 << 16 | kind << 32 | (handler >> 16) << 48;
            match self.mode {
                CaseMode::Real => {
                    let far = ((HANDLERS >> 4) << 16) | (vector * 16);
                    self.poke(vector * 4, &(far as u32).to_le_bytes());
                }
                CaseMode::Long64 => {
                    self.poke(IDT + vector * 16, &gate.to_le_bytes());
                    self.poke(IDT + vector * 16 + 8, &[0; 8]);
                }
                _ => self.poke(IDT + vector * 8, &gate.to_le_bytes()),
            }
        }
        let code: u64 =
            if self.mode == CaseMode::Long64 { 0x00af_9b00_0000_ffff } else { 0x00cf_9b00_0000_ffff };
        self.poke(GDT + 8, &code.to_le_bytes());
        self.poke(GDT + 16, &0x00cf_9300_0000_ffffu64.to_le_bytes());
        self.poke(TSS + 4, &(KERNEL_STACK as u32).to_le_bytes());
        if self.mode != CaseMode::Long64 {
            self.poke(TSS + 8, &0x10u32.to_le_bytes());
        }
        self.poke(PML4, &(PDPT | 7).to_le_bytes());
        self.poke(PDPT, &(PD | 7).to_le_bytes());
        self.poke(PD, &0x87u64.to_le_bytes());
    }

    /// The state every case of the mode starts from: every register different, flags clear.
    fn state(&self) -> State {
        let mut state = self.engine.cpu.save();
        for (n, reg) in state.regs.iter_mut().enumerate() {
            *reg = (n as u64 + 1) * 0x0101_0101_0101_0101;
            if self.mode != CaseMode::Long64 {
                *reg = if n < 8 { *reg & 0xffff_ffff } else { 0 };
            }
        }
        state.regs[4] = if self.mode == CaseMode::Long64 { 0x41000 } else { 0x1000 };
        state.rip = IP;
        state.rflags = 2;
        let system = &mut state.system;
        let protected = self.mode != CaseMode::Real;
        for (n, segment) in system.segs.iter_mut().enumerate() {
            *segment = self.segment(n);
        }
        if protected {
            system.cr0 = bits::CR0_PE | bits::CR0_ET | bits::CR0_NE;
            system.gdtr = TableRegister { base: GDT, limit: 0x7f };
            system.idtr = TableRegister { base: IDT, limit: 0x1ff };
            system.tr = Segment { selector: 0x40, base: TSS, limit: 0x67, attr: 0x8b };
        } else {
            system.idtr = TableRegister { base: 0, limit: IVT_LEN as u16 - 1 };
        }
        if self.mode == CaseMode::Long64 {
            system.cr0 |= bits::CR0_PG | bits::CR0_WP;
            system.cr3 = PML4;
            system.cr4 = bits::CR4_PAE;
            system.efer = bits::EFER_LME | bits::EFER_LMA;
        }
        state
    }

    fn segment(&self, n: usize) -> Segment {
        let user = 3 << 5;
        let data = Segment::P | Segment::S | Segment::RW | Segment::ACCESSED | user;
        let kind = if n == seg::CS { data | Segment::CODE } else { data };
        let selector = 0x23 + 8 * n as u16;
        let (base, limit, big) = match self.mode {
            CaseMode::Real => return Segment::real((BASES[n] >> 4) as u16),
            CaseMode::Prot16 => (BASES[n], 0xffff, 0),
            CaseMode::Prot32 => (BASES[n], 0xffff, Segment::DB),
            CaseMode::Flat32 => (0, u32::MAX, Segment::DB | Segment::G),
            CaseMode::Long64 => {
                (0, u32::MAX, if n == seg::CS { Segment::L } else { Segment::DB } | Segment::G)
            }
        };
        Segment { selector, base, limit, attr: kind | big }
    }

    fn input(&mut self, state: &mut State, place: &Place, value: &Value) -> Result<(), String> {
        match (place, value) {
            (Place::Register(r), Value::Number(v)) => set(&mut state.regs, *r, *v),
            (Place::Ip, Value::Number(v)) => state.rip = *v,
            (Place::Flag(bit), Value::Number(v)) => {
                state.rflags = state.rflags & !(1 << bit) | (v & 1) << bit
            }
            (Place::Limit(n), Value::Number(v)) => state.system.segs[*n].limit = *v as u32,
            (Place::Base(n), Value::Number(v)) => state.system.segs[*n].base = *v,
            (Place::Memory(segment, offset), Value::Bytes(bytes)) => {
                let at = linear(state, *segment, *offset);
                self.poke(at, bytes);
            }
            _ => return Err(format!("no input: {place:?}")),
        }
        Ok(())
    }

    fn view(&self) -> View {
        let cpu = &self.engine.cpu;
        let mut regs = [0; 16];
        regs.copy_from_slice(&cpu.core.regs[..16]);
        let memory = (0..SYSTEM).step_by(8).flat_map(|at| self.peek(at, 8).to_le_bytes()).collect();
        let selectors = cpu.sys.segs.map(|s| s.selector);
        View { regs, ip: cpu.core.pc, flags: cpu.rflags(), selectors, memory }
    }

    /// Undoes the delivery of an exception; its vector and error code.
    fn exception(&mut self, before: &View) -> (u8, u16) {
        let mut state = self.engine.cpu.save();
        let size = match self.mode {
            CaseMode::Real => 2,
            CaseMode::Long64 => 8,
            _ => 4,
        };
        let pc = state.rip + if self.mode == CaseMode::Real { HANDLERS } else { 0 };
        let vector = ((pc - 1 - HANDLERS) / 16) as u8;
        let mut at =
            state.regs[4] + if self.mode == CaseMode::Real { state.system.segs[seg::SS].base } else { 0 };
        let mut pop = |m: &Self| {
            at += size;
            m.peek(at - size, size as usize)
        };
        let coded = self.mode != CaseMode::Real && matches!(vector, 8 | 10..=14 | 17);
        let error = if coded { pop(self) as u16 } else { 0 };
        let ip = pop(self);
        pop(self);
        let flags = pop(self);
        if self.mode == CaseMode::Real {
            // The frame lies on the case's own stack.
            let frame = at - 6;
            let old = before.memory[frame as usize..][..6].to_vec();
            self.poke(frame, &old);
            state.regs[4] += 6;
        } else {
            state.regs[4] = pop(self);
        }
        (state.rip, state.rflags) = (ip, flags & !bits::RF);
        self.engine.cpu.load(&state);
        (vector, error)
    }

    fn compare(
        &self,
        case: &Case,
        start: &State,
        mut wanted: View,
        after: &View,
        exception: Option<(u8, u16)>,
    ) -> Result<(), String> {
        let mut ignored = 0;
        for (place, value) in &case.outputs {
            match (place, value) {
                (Place::Register(r), Value::Number(v)) => set(&mut wanted.regs, *r, *v),
                (Place::Ip, Value::Number(v)) => wanted.ip = *v,
                (Place::Flag(bit), Value::Number(v)) => {
                    wanted.flags = wanted.flags & !(1 << bit) | (v & 1) << bit;
                }
                (Place::Selector(n), Value::Number(v)) => wanted.selectors[*n] = *v as u16,
                (Place::Flag(bit), Value::Undefined) => ignored |= 1 << bit,
                (Place::Memory(segment, offset), Value::Bytes(bytes)) => {
                    let at = linear(start, *segment, *offset) as usize;
                    wanted.memory[at..at + bytes.len()].copy_from_slice(bytes);
                }
                _ => return Err(format!("no output: {place:?}")),
            }
        }
        let mut text = String::new();
        if exception != case.exception {
            let _ = write!(text, " exception {exception:x?}");
        }
        for (n, (got, want)) in after.regs.iter().zip(&wanted.regs).enumerate() {
            if got != want {
                let name = format!("{:?}", Register::RAX + n as u32).to_lowercase();
                let _ = write!(text, " {name} {got:#x} (not {want:#x})");
            }
        }
        if after.ip != wanted.ip {
            let _ = write!(text, " ip {:#x} (not {:#x})", after.ip, wanted.ip);
        }
        // Delivery has changed CS, and SS with it.
        if exception.is_none() && after.selectors != wanted.selectors {
            let _ = write!(text, " selectors {:x?} (not {:x?})", after.selectors, wanted.selectors);
        }
        let differing = (after.flags ^ wanted.flags) & !ignored;
        if differing != 0 {
            let _ =
                write!(text, " flags {:#x} (not {:#x}, undefined {ignored:#x})", after.flags, wanted.flags);
        }
        for (at, (got, want)) in after.memory.iter().zip(&wanted.memory).enumerate() {
            if got != want {
                let _ = write!(text, " [{}] {got:02x} (not {want:02x})", address(at as u64));
            }
        }
        if text.is_empty() { Ok(()) } else { Err(format!("got{text}")) }
    }
}

fn linear(state: &State, segment: Option<usize>, offset: u64) -> u64 {
    segment.map_or(0, |n| state.system.segs[n].base) + offset
}

/// A linear address as the reader of a case knows it.
fn address(at: u64) -> String {
    match BASES.iter().position(|base| at & !0xffff == *base) {
        Some(n) => format!("{}:{:#x}", SEGMENTS[n], at & 0xffff),
        None => format!("{at:#x}"),
    }
}

/// Sets part of a register, nothing else of it.
fn set(regs: &mut [u64; 16], r: Register, v: u64) {
    let slot = &mut regs[r.full_register().number()];
    let (shift, mask) = match r {
        Register::AH | Register::CH | Register::DH | Register::BH => (8, 0xff),
        _ => (0, u64::MAX >> (64 - 8 * r.size() as u32)),
    };
    *slot = *slot & !(mask << shift) | (v & mask) << shift;
}
