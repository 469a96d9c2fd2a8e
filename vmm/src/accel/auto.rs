//! What `--accel auto` picks.

use super::kvm::{self, KvmError};
use std::fmt;
use std::time::Duration;

/// What leaving user code may cost. Between the 50 to 110 µs measured under PVM, where programs that touch new memory are slower under KVM
/// than in the translator, and what hardware virtualization costs, where nobody has measured this yet: a choice, no measurement.
pub const DEAR: Duration = Duration::from_micros(20);

/// Who runs user code, and why.
#[derive(Debug)]
pub enum Auto {
    /// KVM, which it takes so long to leave.
    Kvm(Duration),
    /// The translator: it takes so long to leave KVM.
    Dear(Duration),
    /// The translator: KVM cannot be had.
    None(KvmError),
}

impl Auto {
    /// Whether it is KVM.
    #[must_use]
    pub fn is_kvm(&self) -> bool {
        matches!(self, Auto::Kvm(_))
    }
}

impl fmt::Display for Auto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Auto::Kvm(price) => {
                write!(f, "user code runs under KVM, which takes {price:.1?} to leave and enter again")
            }
            Auto::Dear(price) => write!(
                f,
                "the translator runs everything: this host's KVM takes {price:.1?} to leave and enter again, more than {DEAR:?}"
            ),
            Auto::None(why) => write!(f, "the translator runs everything: {why}"),
        }
    }
}

/// Tries this host's KVM out, which takes a few milliseconds.
#[must_use]
pub fn auto() -> Auto {
    match kvm::check() {
        Ok(price) if price <= DEAR => Auto::Kvm(price),
        Ok(price) => Auto::Dear(price),
        Err(error) => Auto::None(error),
    }
}
