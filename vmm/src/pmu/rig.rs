//! A small guest under KVM whose user code is a loop of known length, to measure counters with. One of the files that may use `unsafe`:
//! KVM is given memory by its address, and a signal mask by its bytes.

use super::counter::{Counter, Left, PmuError, Vcpu};
use super::event::Event;
use super::perf::OverflowSignal;
use super::quality::Rig;
use kvm_bindings::{
    KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, kvm_guest_debug, kvm_regs, kvm_segment,
    kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use std::io;
use std::os::fd::AsRawFd;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// Bytes of the guest's memory, and where things are in it.
const MEMORY: usize = 0x8000;
const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PAGE_DIRECTORY: u64 = 0x3000;
const CODE: u64 = 0x4000;
const DATA: u64 = 0x5000;
/// A page table entry's bits: present, writable, user, and a page of 2 MiB.
const TABLE: u64 = 7;
const LARGE_PAGE: u64 = TABLE | 0x80;

/// Two `nop`, then `again: lock incq (%rsi); dec %rcx; jnz again; out %al, $0x80`.
///
/// Locked, because speculated locked instructions are counted by some PMUs.
const LOOP: [u8; 13] = [0x90, 0x90, 0xf0, 0x48, 0xff, 0x06, 0x48, 0xff, 0xc9, 0x75, 0xf7, 0xe6, 0x80];
/// Instructions before the loop, and in it.
const NOPS: u64 = 2;
const BODY: u64 = 3;

/// `_IOW(KVMIO, 0x8b, struct kvm_signal_mask)`; Linux, `Documentation/virt/kvm/api.rst`, 4.17.
const KVM_SET_SIGNAL_MASK: libc::c_ulong = 0x4004_ae8b;

/// `struct kvm_signal_mask` with the kernel's set of 64 signals.
#[repr(C, packed)]
struct SignalMask {
    len: u32,
    blocked: u64,
}

/// Has `vcpu` run its guest with the mask of this thread, but let `signal` interrupt it. The signal stays pending then.
pub fn set_guest_signal_mask(vcpu: &VcpuFd, signal: OverflowSignal) -> Result<(), PmuError> {
    let mut blocked = 0u64;
    // SAFETY: the kernel writes 8 bytes, the size that it is told, and is given no set to change anything by.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, std::ptr::null::<u64>(), &raw mut blocked, 8)
    };
    if result < 0 {
        return Err(PmuError::host("read the signal mask")(io::Error::last_os_error()));
    }
    let mask = SignalMask { len: 8, blocked: blocked & !(1 << (signal.number() - 1)) };
    // SAFETY: the request takes a pointer to a `struct kvm_signal_mask` with as many bytes behind it as it says, and only reads them.
    let result = unsafe { libc::ioctl(vcpu.as_raw_fd(), KVM_SET_SIGNAL_MASK as _, &raw const mask) };
    if result < 0 {
        return Err(PmuError::host("set the vCPU's signal mask")(io::Error::last_os_error()));
    }
    Ok(())
}

/// The guest's vCPU.
#[derive(Debug)]
pub struct KvmRigVcpu {
    vcpu: VcpuFd,
    signal: OverflowSignal,
    stepping: bool,
}

/// The guest with a counter.
#[derive(Debug)]
pub struct KvmRig<C> {
    counter: C,
    event: Event,
    vcpu: KvmRigVcpu,
    // What the vCPU runs in has to live as long.
    _vm: VmFd,
    _memory: GuestMemoryMmap,
}

fn failed(error: kvm_ioctls::Error) -> PmuError {
    PmuError::Vcpu(Box::new(error))
}

impl<C: Counter> KvmRig<C> {
    /// A guest on this thread, whose `counter` counts `event` and interrupts by `signal`.
    ///
    /// # Errors
    ///
    /// If KVM does not give a machine, or not one that can be stepped.
    pub fn new(counter: C, event: Event, signal: OverflowSignal) -> Result<Self, PmuError> {
        let vm = Kvm::new().and_then(|kvm| kvm.create_vm()).map_err(failed)?;
        let memory = guest_memory()?;
        let address = memory.get_host_address(GuestAddress(0)).map_err(|e| PmuError::Vcpu(Box::new(e)))?;
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: MEMORY as u64,
            userspace_addr: address as u64,
        };
        // SAFETY: the mapping has that size, and `_memory` keeps it as long as the machine.
        unsafe { vm.set_user_memory_region(region) }.map_err(failed)?;
        let vcpu = vm.create_vcpu(0).map_err(failed)?;
        signal.block()?;
        set_guest_signal_mask(&vcpu, signal)?;
        set_system_registers(&vcpu).map_err(failed)?;
        let vcpu = KvmRigVcpu { vcpu, signal, stepping: false };
        Ok(Self { counter, event, vcpu, _vm: vm, _memory: memory })
    }

    /// The counter, to be used on.
    pub fn into_counter(self) -> C {
        self.counter
    }
}

/// Page tables that map 2 MiB one to one for user code, and the loop.
fn guest_memory() -> Result<GuestMemoryMmap, PmuError> {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)])
        .map_err(|error| PmuError::Vcpu(Box::new(error)))?;
    let tables = [(PML4, PDPT | TABLE), (PDPT, PAGE_DIRECTORY | TABLE), (PAGE_DIRECTORY, LARGE_PAGE)];
    for (at, entry) in tables {
        memory.write_obj(entry, GuestAddress(at)).map_err(|error| PmuError::Vcpu(Box::new(error)))?;
    }
    memory.write_slice(&LOOP, GuestAddress(CODE)).map_err(|error| PmuError::Vcpu(Box::new(error)))?;
    Ok(memory)
}

/// 64-bit user mode.
fn set_system_registers(vcpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    let mut system = vcpu.get_sregs()?;
    let segment = |selector, kind, long: bool| kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector,
        type_: kind,
        present: 1,
        dpl: 3,
        db: u8::from(!long),
        s: 1,
        l: u8::from(long),
        g: 1,
        ..Default::default()
    };
    system.cs = segment(0x33, 11, true);
    let data = segment(0x2b, 3, false);
    (system.ds, system.es, system.fs, system.gs, system.ss) = (data, data, data, data, data);
    system.cr3 = PML4;
    system.cr4 = 1 << 5;
    system.cr0 = 0x8000_0033;
    system.efer = 0x500;
    vcpu.set_sregs(&system)
}

impl<C: Counter> Rig for KvmRig<C> {
    type Counter = C;
    type Vcpu = KvmRigVcpu;

    fn begin(&mut self, events: u64) -> Result<(), PmuError> {
        let (rounds, nops) = match self.event {
            Event::Instructions => (events / BODY, events % BODY),
            Event::ConditionalBranches => (events, 0),
        };
        assert!(rounds > 0, "a loop of no rounds would not end");
        let registers = kvm_regs {
            rip: CODE + NOPS - nops,
            rcx: rounds,
            rsi: DATA,
            rsp: DATA,
            // I/O privilege level 3, for the `out` at the end.
            rflags: 0x3002,
            ..Default::default()
        };
        self.vcpu.vcpu.set_regs(&registers).map_err(failed)?;
        self.vcpu.signal.take();
        self.counter.restart()
    }

    fn parts(&mut self) -> (&mut C, &mut KvmRigVcpu) {
        (&mut self.counter, &mut self.vcpu)
    }
}

impl KvmRigVcpu {
    fn set_stepping(&mut self, stepping: bool) -> Result<(), PmuError> {
        if self.stepping != stepping {
            let control = if stepping { KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP } else { 0 };
            self.vcpu.set_guest_debug(&kvm_guest_debug { control, ..Default::default() }).map_err(failed)?;
            self.stepping = stepping;
        }
        Ok(())
    }

    fn enter(&mut self) -> Result<Left<()>, PmuError> {
        match self.vcpu.run() {
            Ok(VcpuExit::Debug(_)) => Ok(Left::Stepped),
            Ok(VcpuExit::IoOut(0x80, _)) => Ok(Left::Exit(())),
            Ok(other) => {
                let text = format!("the guest that measures counters ended by {other:?}");
                // Without handlers of its own it cannot survive a debug exception, which PVM gives to guests.
                let why = if self.stepping { "; this KVM may not step through user code" } else { "" };
                Err(PmuError::Vcpu((text + why).into()))
            }
            Err(error) if error.errno() == libc::EINTR => {
                self.signal.take();
                Ok(Left::Interrupted)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

impl Vcpu for KvmRigVcpu {
    type Exit = ();

    fn run(&mut self) -> Result<Left<()>, PmuError> {
        self.set_stepping(false)?;
        self.enter()
    }

    fn step(&mut self) -> Result<Left<()>, PmuError> {
        self.set_stepping(true)?;
        self.enter()
    }

    /// Never: in this guest, counts alone are looked at.
    fn arrived(&mut self) -> Result<bool, PmuError> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pmu::Rearming;

    /// In the counter's place, where there is none.
    struct Nothing;

    impl Counter for Nothing {
        fn restart(&mut self) -> Result<(), PmuError> {
            Ok(())
        }
        fn count(&mut self) -> Result<u64, PmuError> {
            Ok(0)
        }
        fn arm(&mut self, _: u64) -> Result<(), PmuError> {
            Ok(())
        }
        fn disarm(&mut self) -> Result<(), PmuError> {
            Ok(())
        }
        fn set_rearming(&mut self, _: Rearming) {}
        fn note_unretired(&mut self, _: u64) {}
    }

    #[test]
    fn the_loop_has_the_length_that_is_asked_for() {
        if let Err(error) = Kvm::new() {
            eprintln!("!!! NOT TRIED UNDER KVM: {error} !!!");
            return;
        }
        // Its own thread, for the signal mask.
        let test = std::thread::spawn(|| {
            let mut rig = KvmRig::new(Nothing, Event::Instructions, OverflowSignal::new()).unwrap();
            for events in [3, 100, 101, 3_000_002] {
                rig.begin(events).unwrap();
                assert_eq!(rig.parts().1.run().unwrap(), Left::Exit(()));
            }
            // As many steps as instructions, then the one that leaves.
            for events in [3, 100, 101] {
                rig.begin(events).unwrap();
                let mut steps = 0;
                let end = loop {
                    match rig.parts().1.step() {
                        Ok(Left::Stepped) => steps += 1,
                        other => break other,
                    }
                };
                if end.is_err() && std::path::Path::new("/sys/module/kvm_pvm").exists() {
                    eprintln!("!!! STEPS NOT TRIED: PVM gives debug exceptions to the guest !!!");
                    break;
                }
                assert_eq!((end.unwrap(), steps), (Left::Exit(()), events));
            }
            let signal = OverflowSignal::new();
            // SAFETY: the signal is blocked in this thread, to which alone `pthread_kill` sends it.
            assert_eq!(unsafe { libc::pthread_kill(libc::pthread_self(), signal.number()) }, 0);
            rig.vcpu.set_stepping(false).unwrap();
            assert_eq!(rig.vcpu.enter().unwrap(), Left::Interrupted);
            assert!(!signal.take(), "it is used up");
        });
        test.join().unwrap();
    }
}
