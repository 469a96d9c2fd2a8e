//! A timer that interrupts KVM_RUN: the only way back from user code that does nothing but compute.
//!
//! One of the files that may use `unsafe`: timers and signal actions have no safe interface.

use super::KvmError;
use std::{io, ptr, time::Duration};

/// A timer of the thread that made it. Its signal does nothing but end a system call.
pub(super) struct Kick(libc::timer_t);

/// Not among the signals that anybody else here uses.
fn signal() -> libc::c_int {
    libc::SIGRTMIN() + 4
}

extern "C" fn nothing(_: libc::c_int) {}

impl Kick {
    /// A timer that is not armed.
    pub(super) fn new() -> Result<Self, KvmError> {
        let failed = |what| move |()| KvmError::Call { what, source: io::Error::last_os_error() };
        // SAFETY: all zero is a valid value of both structures, and their fields are set to what sigaction(2) and
        // timer_create(2) want; the handler touches nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            if libc::sigaction(signal(), &raw const action, ptr::null_mut()) != 0 {
                return Err(()).map_err(failed("catch its timer's signal"));
            }
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal();
            event.sigev_notify_thread_id = libc::gettid();
            let mut timer: libc::timer_t = ptr::null_mut();
            if libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) != 0 {
                return Err(()).map_err(failed("make its timer"));
            }
            Ok(Self(timer))
        }
    }

    /// Kicks after `first`, and again and again after that: a kick between two system calls is lost.
    pub(super) fn arm(&self, first: Duration) {
        self.set(first, first.clamp(Duration::from_micros(20), Duration::from_millis(1)));
    }

    /// No more kicks.
    pub(super) fn disarm(&self) {
        self.set(Duration::ZERO, Duration::ZERO);
    }

    fn set(&self, first: Duration, then: Duration) {
        let spec = |d: Duration| libc::timespec {
            tv_sec: d.as_secs() as libc::time_t,
            tv_nsec: d.subsec_nanos().into(),
        };
        let times = libc::itimerspec { it_interval: spec(then), it_value: spec(first) };
        // SAFETY: the timer is there as long as `self`. It cannot fail with times like these.
        unsafe { libc::timer_settime(self.0, 0, &raw const times, ptr::null_mut()) };
    }
}

impl Drop for Kick {
    fn drop(&mut self) {
        // SAFETY: the timer is there, and nobody uses it any more.
        unsafe { libc::timer_delete(self.0) };
    }
}
