//! What the shell needs of a hypervisor: a virtual machine with one vCPU. KVM's; a simulated one is [`super::simulated`].
//!
//! One of the files that may use `unsafe`: KVM is told where guest memory lies.

use super::KvmError;
use crate::pmu::{OverflowSignal, set_guest_signal_mask};
use kvm_bindings::{
    CpuId, KVM_CAP_DESTROY_MEMORY_REGION_WORKS, KVM_CAP_EXT_CPUID, KVM_CAP_SYNC_REGS, KVM_CAP_USER_MEMORY,
    KVM_CAP_XSAVE, KVM_MEM_LOG_DIRTY_PAGES, KVM_SYNC_X86_EVENTS, KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS, Msrs,
    kvm_regs, kvm_sregs, kvm_userspace_memory_region, kvm_xsave,
};
use kvm_ioctls::{Error, Kvm, SyncReg, VcpuExit, VcpuFd, VmFd};
use std::io;

/// Capabilities without which nothing runs: number and name.
pub const NEEDED: [(u32, &str); 4] = [
    (KVM_CAP_USER_MEMORY, "USER_MEMORY"),
    (KVM_CAP_EXT_CPUID, "EXT_CPUID"),
    (KVM_CAP_XSAVE, "XSAVE"),
    (KVM_CAP_DESTROY_MEMORY_REGION_WORKS, "DESTROY_MEMORY_REGION_WORKS"),
];

/// Why the vCPU stopped.
pub(super) enum Exit {
    /// It executed HLT.
    Halt,
    /// A signal, or an overflow, came.
    Signal,
    /// It could not execute the next instruction.
    Unable,
    /// Something else.
    Failure(String),
}

/// A range of guest memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Its number.
    pub(super) number: u32,
    /// Its first physical address.
    pub(super) start: u64,
    /// Its bytes.
    pub(super) len: u64,
    /// Where it lies on the host. It stays mapped as long as the hypervisor is there.
    pub(super) host: usize,
    /// Whether writes to it are logged.
    pub(super) is_logged: bool,
}

/// A virtual machine with one vCPU, used by one thread.
pub(super) trait Hypervisor {
    /// Adds a range of memory; after it was removed, everything known of what it held is forgotten.
    fn add(&mut self, slot: Slot) -> Result<(), Error>;

    /// Removes it.
    fn remove(&mut self, slot: Slot) -> Result<(), Error>;

    /// One bit for each page of a logged range that was written since the last call.
    fn take_written(&mut self, slot: Slot) -> Result<Vec<u64>, Error>;

    /// What CPUID answers; before the first run only.
    fn set_cpuid(&mut self, leaves: &CpuId) -> Result<(), Error>;

    /// Sets MSRs until one cannot be set. How many were.
    fn set_msrs(&mut self, msrs: &Msrs) -> Result<usize, Error>;

    /// Segments and control registers.
    fn sregs(&mut self) -> Result<kvm_sregs, Error>;

    /// Sets them.
    fn set_sregs(&mut self, sregs: &kvm_sregs) -> Result<(), Error>;

    /// General registers.
    fn regs(&mut self) -> Result<kvm_regs, Error>;

    /// Sets them.
    fn set_regs(&mut self, regs: &kvm_regs) -> Result<(), Error>;

    /// FPU and SSE registers.
    fn xsave(&mut self) -> Result<kvm_xsave, Error>;

    /// Sets them.
    fn set_xsave(&mut self, xsave: &kvm_xsave) -> Result<(), Error>;

    /// The exception that the vCPU was about to raise, which it then forgets.
    fn take_exception(&mut self) -> Result<Option<u8>, Error>;

    /// Has `signal`, which this thread blocks, stop the vCPU.
    fn let_in(&mut self, signal: OverflowSignal) -> Result<(), KvmError>;

    /// Runs until something stops it.
    fn run(&mut self) -> Exit;
}

/// KVM.
pub(super) struct HostKvm {
    // Declared before what it uses.
    vcpu: VcpuFd,
    vm: VmFd,
    signal: Option<OverflowSignal>,
    /// Whether registers and events are exchanged as the vCPU runs and stops. Each call that asks for them otherwise
    /// loads the vCPU, 7 µs under PVM.
    is_synced: bool,
    has_run: bool,
}

/// What is exchanged.
const SYNCED: u32 = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;

impl HostKvm {
    /// A virtual machine without memory.
    pub(super) fn new() -> Result<Self, KvmError> {
        let kvm = open()?;
        let vm = kvm.create_vm().map_err(KvmError::call("make a virtual machine"))?;
        let mut vcpu = vm.create_vcpu(0).map_err(KvmError::call("make a vCPU"))?;
        let able = kvm.check_extension_raw(KVM_CAP_SYNC_REGS.into());
        let is_synced = able > 0 && able as u32 & SYNCED == SYNCED;
        if is_synced {
            for what in [SyncReg::Register, SyncReg::SystemRegister, SyncReg::VcpuEvents] {
                vcpu.set_sync_valid_reg(what);
            }
        }
        Ok(Self { vcpu, vm, signal: None, is_synced, has_run: false })
    }

    /// Whether what was exchanged is there.
    fn has_synced(&self) -> bool {
        self.is_synced && self.has_run
    }

    fn set(&mut self, slot: Slot, len: u64) -> Result<(), Error> {
        let region = kvm_userspace_memory_region {
            slot: slot.number,
            flags: if slot.is_logged { KVM_MEM_LOG_DIRTY_PAGES } else { 0 },
            guest_phys_addr: slot.start,
            memory_size: len,
            userspace_addr: slot.host as u64,
        };
        // SAFETY: the memory stays mapped as long as the virtual machine, as `Slot` wants it: the guest's by the machine,
        // which owns both, the shell's by the shell.
        unsafe { self.vm.set_user_memory_region(region) }
    }
}

impl Hypervisor for HostKvm {
    fn add(&mut self, slot: Slot) -> Result<(), Error> {
        self.set(slot, slot.len)
    }

    fn remove(&mut self, slot: Slot) -> Result<(), Error> {
        self.set(slot, 0)
    }

    fn take_written(&mut self, slot: Slot) -> Result<Vec<u64>, Error> {
        self.vm.get_dirty_log(slot.number, slot.len as usize)
    }

    fn set_cpuid(&mut self, leaves: &CpuId) -> Result<(), Error> {
        self.vcpu.set_cpuid2(leaves)
    }

    fn set_msrs(&mut self, msrs: &Msrs) -> Result<usize, Error> {
        self.vcpu.set_msrs(msrs)
    }

    fn sregs(&mut self) -> Result<kvm_sregs, Error> {
        if self.has_synced() { Ok(self.vcpu.sync_regs_mut().sregs) } else { self.vcpu.get_sregs() }
    }

    fn set_sregs(&mut self, sregs: &kvm_sregs) -> Result<(), Error> {
        if !self.has_synced() {
            return self.vcpu.set_sregs(sregs);
        }
        self.vcpu.sync_regs_mut().sregs = *sregs;
        self.vcpu.set_sync_dirty_reg(SyncReg::SystemRegister);
        Ok(())
    }

    fn regs(&mut self) -> Result<kvm_regs, Error> {
        if self.has_synced() { Ok(self.vcpu.sync_regs_mut().regs) } else { self.vcpu.get_regs() }
    }

    fn set_regs(&mut self, regs: &kvm_regs) -> Result<(), Error> {
        if !self.has_synced() {
            return self.vcpu.set_regs(regs);
        }
        self.vcpu.sync_regs_mut().regs = *regs;
        self.vcpu.set_sync_dirty_reg(SyncReg::Register);
        Ok(())
    }

    fn xsave(&mut self) -> Result<kvm_xsave, Error> {
        self.vcpu.get_xsave()
    }

    fn set_xsave(&mut self, xsave: &kvm_xsave) -> Result<(), Error> {
        // SAFETY: nobody has asked for components that are larger than what the structure has room for.
        unsafe { self.vcpu.set_xsave(xsave) }
    }

    fn take_exception(&mut self) -> Result<Option<u8>, Error> {
        let synced = self.has_synced().then(|| self.vcpu.sync_regs_mut().events);
        let exception = synced.map_or_else(|| self.vcpu.get_vcpu_events(), Ok)?.exception;
        if exception.injected == 0 && exception.pending == 0 {
            return Ok(None);
        }
        self.vcpu.set_vcpu_events(&Default::default())?;
        Ok(Some(exception.nr))
    }

    fn let_in(&mut self, signal: OverflowSignal) -> Result<(), KvmError> {
        set_guest_signal_mask(&self.vcpu, signal)?;
        self.signal = Some(signal);
        Ok(())
    }

    fn run(&mut self) -> Exit {
        self.has_run = true;
        let exit = match self.vcpu.run() {
            Ok(VcpuExit::Hlt) => Exit::Halt,
            Ok(VcpuExit::Intr) => Exit::Signal,
            Ok(VcpuExit::InternalError) => Exit::Unable,
            Ok(other) => Exit::Failure(format!("{other:?}")),
            Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => Exit::Signal,
            Err(error) => Exit::Failure(error.to_string()),
        };
        if let (Exit::Signal, Some(signal)) = (&exit, self.signal) {
            signal.take();
        }
        exit
    }
}

/// KVM, with what is needed of it.
fn open() -> Result<Kvm, KvmError> {
    let kvm = Kvm::new().map_err(|error| match error.errno() {
        libc::ENOENT | libc::ENODEV | libc::ENXIO => KvmError::Missing,
        libc::EACCES | libc::EPERM => KvmError::Permission,
        errno => KvmError::Open(io::Error::from_raw_os_error(errno)),
    })?;
    if kvm.get_api_version() != 12 {
        return Err(KvmError::Version(kvm.get_api_version()));
    }
    for (cap, name) in NEEDED {
        if kvm.check_extension_raw(cap.into()) <= 0 {
            return Err(KvmError::Lacks(name));
        }
    }
    Ok(kvm)
}
