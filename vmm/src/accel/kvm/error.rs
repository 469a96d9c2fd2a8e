use crate::pmu::PmuError;
use std::io;

/// Why KVM does not run user code, or does not any more.
#[derive(Debug, thiserror::Error)]
pub enum KvmError {
    /// No KVM here.
    #[error(
        "there is no /dev/kvm on this host; load the module kvm_intel or kvm_amd (in a virtual machine: switch nested virtualisation on), or take --accel tcg"
    )]
    Missing,
    /// Not for this user.
    #[error(
        "/dev/kvm cannot be opened by this user; join the group that owns it (usermod -aG kvm $USER, then log in again), or take --accel tcg"
    )]
    Permission,
    /// It cannot be opened for another reason.
    #[error("/dev/kvm cannot be opened; see `rrvmm doctor`, or take --accel tcg")]
    Open(#[source] io::Error),
    /// It is not the interface that is known.
    #[error("this host's KVM has API version {0}, not 12; take --accel tcg")]
    Version(i32),
    /// It lacks something.
    #[error("this host's KVM lacks {0}; a newer kernel has it, or take --accel tcg")]
    Lacks(&'static str),
    /// The guest's memory lies where KVM's tables are to be.
    #[error("{0} bytes of guest memory are too many for KVM; give less with --memory, or take --accel tcg")]
    Memory(u64),
    /// No memory on the host.
    #[error("the host gives no memory for what surrounds user code under KVM; take --accel tcg")]
    Host(#[source] vm_memory::mmap::FromRangesError),
    /// A call failed.
    #[error("KVM failed to {what}; take --accel tcg")]
    Call {
        /// What was asked for.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The vCPU left user code in a way that is not known.
    #[error("KVM left user code with {0}")]
    Exit(String),
    /// It does something else than what is known of it.
    #[error("user code under this host's KVM does not do as it should: {0}; take --accel tcg")]
    Odd(String),
    /// What is to count user code cannot.
    #[error("user code cannot be counted under KVM; take --accel tcg")]
    Counter(#[from] PmuError),
    /// What user code had come to is not known any more.
    #[error(
        "KVM failed in the middle of user code ({0}); the recording is good up to here; take --accel tcg"
    )]
    Lost(String),
    /// This host runs no x86 code.
    #[error("KVM runs x86 guests on x86-64 Linux hosts only; take --accel tcg")]
    Host86,
}

impl KvmError {
    /// Says what was asked for when KVM failed.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(super) fn call(what: &'static str) -> impl Fn(kvm_ioctls::Error) -> KvmError {
        move |error| KvmError::Call { what, source: io::Error::from_raw_os_error(error.errno()) }
    }
}
