//! The virtual machine around user code: the guest's RAM, and in place of its kernel a shell in which every event halts.
//!
//! Whatever makes user code leave ring 3 (a system call, an exception, an interrupt instruction) finds a handler of this
//! shell, which is one HLT. KVM returns, and the translator takes over where user code was: it executes the instruction
//! again, with all that the guest's own kernel then sees.

use super::{
    KvmError,
    hypervisor::{Exit, Hypervisor, Slot},
    registers,
    tables::put,
};
use crate::pmu::OverflowSignal;
use kvm_bindings::{CpuId, Msrs, kvm_cpuid_entry2, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs};
use rrvmm_tcg::{
    phys::PhysMap,
    x86::{
        Cpu,
        state::{Segment, bits, gpr, seg},
        system::cpuid::Leaf,
    },
};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// A range of physical addresses.
pub(super) struct Area {
    pub(super) start: u64,
    pub(super) len: u64,
}

/// Where the shell lies: below the end of what 40 bits address, where a guest with as much RAM does not fit.
const SHELL: Area = Area { start: 0xfe_0000_0000, len: 0x1_0000 };
/// Where page tables lie.
pub(super) const TABLES: Area = Area { start: 0xfe_1000_0000, len: 32 << 20 };
/// Where patched copies of code lie.
pub(super) const PATCHES: Area = Area { start: 0xfe_2000_0000, len: 4 << 20 };

/// Linear address of the shell.
const BASE: u64 = 0xffff_ff80_0000_0000;
/// Offsets of its pages: descriptors, gates, the task's stacks, a stack, handlers, and the page tables that lead here.
const GDT: u64 = 0;
const IDT: u64 = 0x1000;
const TSS: u64 = 0x2000;
const STACK_TOP: u64 = 0x4000;
const HANDLERS: u64 = 0x4000;
const OWN_TABLES: u64 = 0x8000;
/// Bytes from one handler to the next: HLT and a jump back to it.
const HANDLER: u64 = 4;
/// The handler of SYSCALL, behind those of the 256 vectors.
const SYSCALL: u64 = 256;

const SYSCALL_HANDLER: u64 = BASE + HANDLERS + SYSCALL * HANDLER;
/// Linear address of what the CPU pushes for an event; an error code lies below.
const FRAME: u64 = BASE + STACK_TOP - 40;

/// Selectors, behind everything a guest's own descriptors are copied to.
const CODE: u16 = 0xf00;
const DATA: u16 = 0xf08;
const TASK: u16 = 0xf10;
const GDT_LIMIT: u16 = 0xf1f;

/// Why user code was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The timer's kick.
    Kicked,
    /// A vector's handler was entered; SYSCALL's is [`Left::SystemCall`].
    Vector(u8),
    /// SYSCALL.
    SystemCall,
    /// KVM could not execute what comes next.
    Unable,
}

/// The virtual machine.
pub(super) struct Shell {
    // Declared before what it uses.
    hypervisor: Box<dyn Hypervisor>,
    memory: GuestMemoryMmap,
    tables: Slot,
    /// The guest's RAM.
    ram: Vec<Slot>,
    /// What the hypervisor has now.
    sregs: kvm_sregs,
    fpu: Option<registers::Fpu>,
    /// The descriptors that user code sees.
    gdt: Vec<u8>,
    /// Whether CPUID's answers are set.
    is_ready: bool,
}

impl Shell {
    /// A virtual machine over the RAM of `phys`.
    pub(super) fn new(mut hypervisor: Box<dyn Hypervisor>, phys: &PhysMap) -> Result<Self, KvmError> {
        let ranges = [&SHELL, &TABLES, &PATCHES].map(|area| (GuestAddress(area.start), area.len as usize));
        let memory = GuestMemoryMmap::from_ranges(&ranges).map_err(KvmError::Host)?;
        let mut ram = Vec::new();
        for (start, len, host) in phys.ram() {
            // Video memory lies above; user code reaches it through the translator.
            if start >> 40 == 0 {
                if start + len > SHELL.start {
                    return Err(KvmError::Memory(len));
                }
                ram.push(Slot { number: ram.len() as u32, start, len, host, is_logged: true });
            }
        }
        let mut number = ram.len() as u32;
        let own = [&SHELL, &TABLES, &PATCHES].map(|area| {
            let host = memory.get_host_address(GuestAddress(area.start)).map_or(0, |p| p as usize);
            let slot = Slot { number, start: area.start, len: area.len, host, is_logged: false };
            number += 1;
            slot
        });
        for &slot in ram.iter().chain(&own) {
            hypervisor.add(slot).map_err(KvmError::call("take guest memory"))?;
        }
        let sregs = hypervisor.sregs().map_err(KvmError::call("give its segments"))?;
        let [_, tables, _] = own;
        let gdt = Vec::new();
        let mut shell = Self { hypervisor, memory, tables, ram, sregs, fpu: None, gdt, is_ready: false };
        shell.furnish();
        Ok(shell)
    }

    /// Has `signal`, which this thread blocks, stop user code.
    pub(super) fn let_in(&mut self, signal: OverflowSignal) -> Result<(), KvmError> {
        self.hypervisor.let_in(signal)
    }

    /// Where tables are put.
    pub(super) fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// The root's entry that leads to the shell.
    pub(super) fn entry() -> u64 {
        (SHELL.start + OWN_TABLES) | 0x63
    }

    /// Makes KVM forget all it has read of the page tables.
    pub(super) fn forget_tables(&mut self) -> Result<(), KvmError> {
        let done = self.hypervisor.remove(self.tables).and_then(|()| self.hypervisor.add(self.tables));
        done.map_err(KvmError::call("take guest memory"))
    }

    /// Descriptors, gates, handlers, stack and the tables that lead to them.
    fn furnish(&mut self) {
        let at = |offset: u64| SHELL.start + offset;
        let m = &self.memory;
        // Tables of three levels, then the shell's pages, for the supervisor alone.
        for level in 0..3 {
            let next = at(OWN_TABLES + (level + 1) * 0x1000);
            if level < 2 {
                put(m, at(OWN_TABLES + level * 0x1000), next | 0x63);
            } else {
                for page in 0..8 {
                    put(m, at(OWN_TABLES + level * 0x1000) + page * 8, at(page * 0x1000) | 0x63);
                }
            }
        }
        let tss = BASE + TSS;
        for (selector, descriptor) in [
            (CODE, 0x00af_9b00_0000_ffff),
            (DATA, 0x00cf_9300_0000_ffff),
            (TASK, 0x67 | (tss & 0xff_ffff) << 16 | 0x8b << 40 | (tss >> 24 & 0xff) << 56),
            (TASK + 8, tss >> 32),
        ] {
            put(m, at(GDT + u64::from(selector)), descriptor);
        }
        for vector in 0..256 {
            let handler = BASE + HANDLERS + vector * HANDLER;
            // An interrupt gate to ring 0, for ring 0: user code's own INT faults instead, as the translator wants it.
            let gate =
                handler & 0xffff | u64::from(CODE) << 16 | 0x8e00 << 32 | (handler >> 16 & 0xffff) << 48;
            put(m, at(IDT + vector * 16), gate);
            put(m, at(IDT + vector * 16 + 8), handler >> 32);
        }
        // RSP0, unaligned in the TSS.
        let _ = m.write_slice(&(BASE + STACK_TOP).to_le_bytes(), GuestAddress(at(TSS + 4)));
        for handler in 0..=SYSCALL {
            // HLT; JMP back.
            let _ = m.write_slice(&[0xf4, 0xeb, 0xfd, 0x90], GuestAddress(at(HANDLERS + handler * HANDLER)));
        }
    }

    /// Whether CPUID's answers are set. KVM lets that be done before the first run only.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Answers CPUID as the translator does.
    pub(super) fn set_cpuid(&mut self, leaves: Vec<(u32, u32, Leaf)>) -> Result<(), KvmError> {
        let entries: Vec<_> = leaves
            .into_iter()
            .map(|(function, index, [eax, ebx, ecx, edx])| kvm_cpuid_entry2 {
                function,
                index,
                // KVM_CPUID_FLAG_SIGNIFCANT_INDEX
                flags: u32::from(matches!(function, 4 | 7 | 0xd)),
                eax,
                ebx,
                ecx,
                edx,
                ..Default::default()
            })
            .collect();
        let lacks = |_| KvmError::Lacks("room for the guest's CPUID leaves");
        let cpuid = CpuId::from_entries(&entries).map_err(lacks)?;
        self.hypervisor.set_cpuid(&cpuid).map_err(KvmError::call("take CPUID's answers"))?;
        self.set_msrs()?;
        self.is_ready = true;
        Ok(())
    }

    /// SYSCALL leads to its handler.
    fn set_msrs(&mut self) -> Result<(), KvmError> {
        let handler = SYSCALL_HANDLER;
        let entry = |index, data| kvm_msr_entry { index, data, ..Default::default() };
        let msrs = [
            entry(0xc000_0081, u64::from(CODE) << 32),
            entry(0xc000_0082, handler),
            entry(0xc000_0083, handler),
            // Everything that can be masked.
            entry(0xc000_0084, 0x4_7700),
            // SYSENTER faults.
            entry(0x174, 0),
        ];
        let msrs = Msrs::from_entries(&msrs).map_err(|_| KvmError::Lacks("room for MSRs"))?;
        let done = self.hypervisor.set_msrs(&msrs).map_err(KvmError::call("take MSRs"))?;
        if done < 4 { Err(KvmError::Lacks("the MSRs of SYSCALL")) } else { Ok(()) }
    }

    /// Gives the vCPU the user state of `cpu`, under the page tables at `root`.
    pub(super) fn load(&mut self, cpu: &Cpu, root: u64) -> Result<(), KvmError> {
        self.copy_descriptors(cpu);
        let mut sregs = self.sregs;
        registers::to_sregs(cpu, &mut sregs);
        sregs.cr3 = root;
        sregs.gdt.base = BASE + GDT;
        sregs.gdt.limit = GDT_LIMIT;
        sregs.idt.base = BASE + IDT;
        sregs.idt.limit = 0xfff;
        let task = Segment { selector: TASK, base: BASE + TSS, limit: 0x67, attr: 0x8b };
        sregs.tr = registers::segment(&task);
        sregs.ldt = kvm_segment { unusable: 1, ..Default::default() };
        self.hypervisor.set_sregs(&sregs).map_err(KvmError::call("take segments"))?;
        self.sregs = sregs;
        let fpu = registers::Fpu::of(cpu);
        if self.fpu.as_ref() != Some(&fpu) {
            self.hypervisor.set_xsave(&fpu.to_kvm()).map_err(KvmError::call("take FPU registers"))?;
            self.fpu = Some(fpu);
        }
        self.hypervisor.set_regs(&registers::to_regs(cpu)).map_err(KvmError::call("take registers"))
    }

    /// LSL and LAR look descriptors up without loading them. Those that can be loaded without a mark are here, but none
    /// for code or stacks: loading these faults, and the translator does it.
    fn copy_descriptors(&mut self, cpu: &Cpu) {
        let table = cpu.sys.gdtr;
        let len = (usize::from(table.limit) + 1).min(usize::from(CODE)) & !7;
        let mut gdt = vec![0; len];
        for at in (0..len).step_by(8) {
            let linear = table.base.wrapping_add(at as u64);
            let phys = rrvmm_tcg::x86::system::paging::peek(cpu, linear);
            let descriptor = phys.and_then(|phys| cpu.core.phys.read(phys, 8)).unwrap_or(0);
            let attr = (descriptor >> 40) as u16;
            let kind = Segment::P | Segment::S | Segment::CODE | Segment::RW | Segment::ACCESSED | 3 << 5;
            if attr & kind == Segment::P | Segment::S | Segment::ACCESSED | 3 << 5 {
                gdt[at..at + 8].copy_from_slice(&descriptor.to_le_bytes());
            }
        }
        if gdt != self.gdt {
            let old = self.gdt.len();
            let _ = self.memory.write_slice(&vec![0; old], GuestAddress(SHELL.start + GDT));
            let _ = self.memory.write_slice(&gdt, GuestAddress(SHELL.start + GDT));
            self.gdt = gdt;
        }
    }

    /// Runs user code until something happens, and gives its state to `cpu`.
    ///
    /// After an error `cpu` is where user code was, and the translator can go on from there, unless it is
    /// [`KvmError::Lost`].
    pub(super) fn run(&mut self, cpu: &mut Cpu) -> Result<Left, KvmError> {
        loop {
            let exit = self.hypervisor.run();
            let lost = |error: kvm_ioctls::Error| KvmError::Lost(error.to_string());
            let regs = self.hypervisor.regs().map_err(lost)?;
            let sregs = self.hypervisor.sregs().map_err(lost)?;
            let in_shell = sregs.cs.selector & 3 != 3;
            let left = match &exit {
                Exit::Halt => match Self::handler(regs.rip)? {
                    // PVM goes to the handler and stays in ring 3, where it cannot be fetched.
                    Left::Vector(14) if self.frame_word(0) == SYSCALL_HANDLER => Left::SystemCall,
                    left => left,
                },
                // The shell's HLT comes yet.
                Exit::Signal if in_shell => continue,
                // PVM goes to the handler in ring 3.
                Exit::Signal if regs.rip == SYSCALL_HANDLER => Left::SystemCall,
                Exit::Signal => Left::Kicked,
                Exit::Unable | Exit::Failure(_) if in_shell => {
                    return Err(KvmError::Lost(format!("it stopped in the shell, at {:#x}", regs.rip)));
                }
                Exit::Unable | Exit::Failure(_) => Left::Unable,
            };
            let xsave = self.hypervisor.xsave().map_err(lost)?;
            self.sregs = sregs;
            let frame = self.frame(left, &regs)?;
            registers::from_kvm(cpu, &regs, &sregs, &frame);
            let fpu = registers::Fpu::of_kvm(&xsave);
            if self.fpu.as_ref() != Some(&fpu) {
                fpu.put(cpu);
                self.fpu = Some(fpu);
            }
            if left == Left::Kicked && self.take_debug_trap()? {
                return Ok(Left::Vector(1));
            }
            return match exit {
                Exit::Failure(what) => Err(KvmError::Exit(what)),
                Exit::Halt | Exit::Signal | Exit::Unable => Ok(left),
            };
        }
    }

    /// Whether the kick has come between a single step and the trap that it makes, which KVM would forget or deliver
    /// later. Faults come again with their instruction.
    fn take_debug_trap(&mut self) -> Result<bool, KvmError> {
        let exception = self.hypervisor.take_exception();
        Ok(exception.map_err(KvmError::call("tell what is pending"))? == Some(1))
    }

    /// Physical addresses of the pages of RAM that user code has written since the last call, ascending.
    pub(super) fn take_written(&mut self) -> Result<Vec<u64>, KvmError> {
        let mut pages = Vec::new();
        for &slot in &self.ram {
            let failed = KvmError::call("tell which pages were written");
            let log = self.hypervisor.take_written(slot).map_err(failed)?;
            for (n, mut bits) in log.into_iter().enumerate().filter(|&(_, bits)| bits != 0) {
                while bits != 0 {
                    pages.push(slot.start + (n as u64 * 64 + u64::from(bits.trailing_zeros())) * 4096);
                    bits &= bits - 1;
                }
            }
        }
        Ok(pages)
    }

    /// The linear address of the last page fault.
    pub(super) fn fault_address(&self) -> u64 {
        self.sregs.cr2
    }

    fn handler(rip: u64) -> Result<Left, KvmError> {
        let at = rip.wrapping_sub(BASE + HANDLERS + 1);
        match at / HANDLER {
            SYSCALL if at.is_multiple_of(HANDLER) => Ok(Left::SystemCall),
            vector @ 0..256 if at.is_multiple_of(HANDLER) => Ok(Left::Vector(vector as u8)),
            _ => Err(KvmError::Lost(format!("a halt at {rip:#x}"))),
        }
    }

    /// Where user code was.
    fn frame(&self, left: Left, regs: &kvm_regs) -> Result<registers::Frame, KvmError> {
        match left {
            Left::Kicked | Left::Unable => {
                Ok(registers::Frame { rip: regs.rip, rflags: regs.rflags, rsp: regs.rsp })
            }
            // The instruction is two bytes long, and has overwritten RCX and R11 as it will again.
            Left::SystemCall => {
                let rsp = if matches!(regs.rip.wrapping_sub(SYSCALL_HANDLER), 0 | 1) {
                    regs.rsp
                } else {
                    self.frame_word(3)
                };
                Ok(registers::Frame { rip: regs.rcx.wrapping_sub(2), rflags: regs.r11, rsp })
            }
            Left::Vector(vector) => {
                if regs.rsp != FRAME && regs.rsp != FRAME - 8 {
                    return Err(KvmError::Lost(format!("vector {vector} with its stack at {:#x}", regs.rsp)));
                }
                let word = |n| self.frame_word(n);
                Ok(registers::Frame { rip: word(0), rflags: word(2), rsp: word(3) })
            }
        }
    }

    /// RIP, CS, RFLAGS, RSP, SS of an event.
    fn frame_word(&self, n: u64) -> u64 {
        self.memory.read_obj(GuestAddress(SHELL.start + (FRAME - BASE) + n * 8)).unwrap_or(0)
    }
}

/// What user code must be like for the shell: 4-level paging, no debugging, no privileges, no lazy FPU. No selectors of data
/// segments, which 64-bit programs have no use for: PVM loses them.
pub(super) fn takes(cpu: &Cpu) -> bool {
    let s = &cpu.sys;
    let unusual = bits::TF | bits::RF | bits::VM | bits::IOPL | bits::NT;
    s.efer & (bits::EFER_LMA | bits::EFER_SCE) == bits::EFER_LMA | bits::EFER_SCE
        && s.cr0 & (bits::CR0_EM | bits::CR0_TS) == 0
        && s.cr4 & bits::CR4_OSFXSR != 0
        && s.eflags & unusual == 0
        && s.eflags & bits::IF != 0
        && s.dr7 & 0xff == 0
        && s.segs[seg::CS].attr & Segment::L != 0
        && [seg::ES, seg::DS, seg::FS, seg::GS].iter().all(|&n| s.segs[n].selector == 0)
        && s.shadow == rrvmm_tcg::x86::state::Shadow::None
        && s.pending_debug == 0
        && !s.halted
        && !s.shutdown
        && cpu.core.regs[gpr::RSP] >> 47 == 0
        && cpu.core.pc >> 47 == 0
}
