//! Whether this host's KVM does what running user code takes, tried out on a few instructions, and at what price.

use super::{
    KvmError,
    hypervisor::{HostKvm, Hypervisor},
    kick::Kick,
    shell::{Left, Shell, takes},
    tables::{Full, Tables},
};
use crate::host::Stopwatch;
use rrvmm_tcg::{
    phys::PhysMap,
    x86::{
        Cpu,
        state::{Segment, bits, gpr, seg},
        system::cpuid::Leaf,
    },
};
use std::time::Duration;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Physical addresses: page tables from the first page on, then the page of code.
const CODE: u64 = 0x5000;
/// Linear addresses of the code and of a page that is not there.
const HERE: u64 = 0x40_0000;
const NOWHERE: u64 = 0x41_0000;

/// Offsets in the code of its three programs, and what they are.
const COUNT: (u64, &[u8]) = (0, &[0x48, 0xff, 0xc0, 0x48, 0x39, 0xc8, 0x75, 0xf8, 0x0f, 0x05]); // INC RAX; CMP RAX, RCX; JNE; SYSCALL
const LOAD: (u64, &[u8]) = (0x40, &[0x48, 0x8b, 0x06]); // MOV RAX, [RSI]
const SPIN: (u64, &[u8]) = (0x80, &[0xeb, 0xfe]); // JMP to itself

/// A CPU that has what this takes (SDM volume 2, CPUID): FPU, MSR, PAE, FXSR, SSE, SSE2; SYSCALL, NX, long mode; 40 and 48 bits of
/// addresses.
const LEAVES: [(u32, u32, Leaf); 5] = [
    (0, 0, [1, 0, 0, 0]),
    (1, 0, [0, 0, 0, 1 << 26 | 1 << 25 | 1 << 24 | 1 << 6 | 1 << 5 | 1]),
    (0x8000_0000, 0, [0x8000_0008, 0, 0, 0]),
    (0x8000_0001, 0, [0, 0, 0, 1 << 29 | 1 << 20 | 1 << 11]),
    (0x8000_0008, 0, [48 << 8 | 40, 0, 0, 0]),
];

/// Times a system call is made.
const ROUNDS: u32 = 32;

/// What leaving user code costs here, entering it again included.
///
/// # Errors
/// There is no KVM, or it does something else than what is known of it.
pub fn check() -> Result<Duration, KvmError> {
    try_out(Box::new(HostKvm::new()?))
}

fn try_out(hypervisor: Box<dyn Hypervisor>) -> Result<Duration, KvmError> {
    let memory = memory().map_err(KvmError::Host)?;
    let mut bench = Bench::new(hypervisor, memory)?;
    bench.counts()?;
    bench.faults()?;
    bench.is_kicked()?;
    bench.price()
}

/// Page tables for one page of code, and the code.
fn memory() -> Result<GuestMemoryMmap, vm_memory::mmap::FromRangesError> {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)])?;
    // Present, writable, user, accessed, dirty. The memory is there, so this cannot fail.
    let put = |at: u64, entry: u64| {
        let _ = memory.write_obj(entry | 0x67, GuestAddress(at));
    };
    put(0x1000, 0x2000);
    put(0x2000, 0x3000);
    put(0x3000 + (HERE >> 21) * 8, 0x4000);
    put(0x4000, CODE);
    for (at, code) in [COUNT, LOAD, SPIN] {
        let _ = memory.write_slice(code, GuestAddress(CODE + at));
    }
    Ok(memory)
}

struct Bench {
    cpu: Cpu,
    shell: Shell,
    tables: Tables,
    root: u64,
}

impl Bench {
    fn new(hypervisor: Box<dyn Hypervisor>, memory: GuestMemoryMmap) -> Result<Self, KvmError> {
        let mut cpu = Cpu::new(PhysMap::new(memory, Vec::new()));
        cpu.sys.cr0 = bits::CR0_PE | bits::CR0_PG | bits::CR0_WP | bits::CR0_ET | bits::CR0_NE;
        cpu.sys.cr4 = bits::CR4_PAE | bits::CR4_OSFXSR;
        cpu.sys.cr3 = 0x1000;
        cpu.sys.efer = bits::EFER_LME | bits::EFER_LMA | bits::EFER_SCE | bits::EFER_NXE;
        cpu.sys.eflags = 2 | bits::IF;
        let segment = |selector, attr| Segment { selector, base: 0, limit: u32::MAX, attr };
        cpu.set_segment(seg::SS, segment(0x2b, 0xcff3));
        cpu.set_segment(seg::CS, segment(0x33, 0xaffb));
        cpu.core.regs[gpr::RSP] = HERE + 0x800;
        cpu.core.pc = HERE;
        let mut shell = Shell::new(hypervisor, &cpu.core.phys)?;
        shell.set_cpuid(LEAVES.to_vec())?;
        let mut tables = Tables::new(Shell::entry());
        let mapped = tables.renew(shell.memory()).and_then(|()| tables.map(shell.memory(), &mut cpu, HERE));
        let root = match (mapped, tables.root()) {
            (Ok(true), Some(root)) => root,
            (Ok(_), _) | (Err(Full), _) => return Err(odd("it got no page")),
        };
        if !takes(&cpu) {
            return Err(odd("it is none"));
        }
        Ok(Self { cpu, shell, tables, root })
    }

    /// Runs the program at `offset` until it leaves. Its RIP then is `offset` in the code plus what is given back.
    fn run(&mut self, offset: u64) -> Result<(Left, u64), KvmError> {
        self.cpu.core.pc = HERE + offset;
        self.shell.load(&self.cpu, self.root)?;
        let left = self.shell.run(&mut self.cpu)?;
        Ok((left, self.cpu.core.pc.wrapping_sub(HERE + offset)))
    }

    fn counts(&mut self) -> Result<(), KvmError> {
        self.cpu.core.regs[gpr::RAX] = 0;
        self.cpu.core.regs[gpr::RCX] = 100_000;
        let left = self.run(COUNT.0)?;
        let rax = self.cpu.core.regs[gpr::RAX];
        if (left, rax) == ((Left::SystemCall, 8), 100_000) {
            Ok(())
        } else {
            Err(odd(&format!(
                "after it counted to {rax} of 100000 and made a system call it left by {left:?}"
            )))
        }
    }

    fn faults(&mut self) -> Result<(), KvmError> {
        self.cpu.core.regs[gpr::RSI] = NOWHERE + 8;
        let left = self.run(LOAD.0)?;
        let at = self.shell.fault_address();
        if (left, at) == ((Left::Vector(14), 0), NOWHERE + 8) {
            Ok(())
        } else {
            Err(odd(&format!("when it read what is not there it left by {left:?}, at {at:#x}")))
        }
    }

    fn is_kicked(&mut self) -> Result<(), KvmError> {
        let kick = Kick::new()?;
        kick.arm(Duration::from_millis(1));
        let left = self.run(SPIN.0);
        kick.disarm();
        match left? {
            (Left::Kicked, 0) => Ok(()),
            left => Err(odd(&format!("when it was interrupted it left by {left:?}"))),
        }
    }

    /// Of several, the shortest: nothing else of the host's was in between.
    fn price(&mut self) -> Result<Duration, KvmError> {
        let mut least = Duration::MAX;
        for _ in 0..ROUNDS {
            self.cpu.core.regs[gpr::RAX] = 0;
            self.cpu.core.regs[gpr::RCX] = 1;
            let begun = Stopwatch::start();
            self.run(COUNT.0)?;
            least = least.min(begun.elapsed());
        }
        debug_assert!(self.tables.has(HERE));
        Ok(least)
    }
}

fn odd(what: &str) -> KvmError {
    KvmError::Odd(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::simulated::Simulated;
    use super::*;

    #[test]
    fn the_simulated_one_does_as_it_should() {
        let (hypervisor, _) = Simulated::new(crate::pmu::Event::Instructions, 7);
        try_out(Box::new(hypervisor)).unwrap();
    }

    #[test]
    fn this_hosts_kvm_is_as_known() {
        match check() {
            Ok(price) => eprintln!("leaving user code and entering it again takes {price:?}"),
            Err(error @ (KvmError::Missing | KvmError::Permission)) => eprintln!("!!! SKIPPED: {error} !!!"),
            Err(error) => panic!("{error}"),
        }
    }
}
