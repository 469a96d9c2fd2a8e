//! The host's performance counters, through Linux's `perf_event_open(2)`. One of the files that may use `unsafe`: there is no safe call
//! for the counter, nor for the owner and the kind of its signal.

use super::counter::{Counter, MIN_PERIOD, PmuError, Rearming};
use super::event::{Event, HostCpu};
use perf_event_open_sys::bindings;
use std::fs::{self, File};
use std::io::{self, Read};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd};

/// A period that never ends: 2^60 events.
const NEVER: u64 = 1 << 60;
/// `fcntl(2)`: the signal instead of SIGIO, and the thread it goes to.
const F_SETSIG: i32 = 10;
const F_SETOWN_EX: i32 = 15;
const F_OWNER_TID: i32 = 0;

/// `struct f_owner_ex`.
#[repr(C)]
struct Owner {
    kind: i32,
    pid: i32,
}

/// The signal by which a counter interrupts its thread: blocked there, and let in while the guest runs.
///
/// `KVM_SET_SIGNAL_MASK` lets it in, so that none gets lost between the last look and the guest's entry; it stays pending
/// when the guest is left, until [`OverflowSignal::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverflowSignal(i32);

impl OverflowSignal {
    /// The first real-time signal that the C library leaves to programs.
    pub fn new() -> Self {
        Self(libc::SIGRTMIN())
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }

    fn set(self) -> libc::sigset_t {
        // SAFETY: a `sigset_t` is plain bytes, all of which `sigemptyset` writes; the number is a valid signal's.
        unsafe {
            let mut set = mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, self.0);
            set
        }
    }

    /// Blocks it in this thread. Without that it would end the process.
    pub fn block(self) -> Result<(), PmuError> {
        // SAFETY: the set is a valid one, and no old mask is asked for.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &self.set(), std::ptr::null_mut()) };
        match error {
            0 => Ok(()),
            error => Err(PmuError::host("block the counter's signal")(io::Error::from_raw_os_error(error))),
        }
    }

    /// Uses up the signals that are pending in this thread. Whether there was any.
    pub fn take(self) -> bool {
        let (set, now) = (self.set(), libc::timespec { tv_sec: 0, tv_nsec: 0 });
        let mut any = false;
        // SAFETY: set and time are valid, and no information on the signal is asked for.
        while unsafe { libc::sigtimedwait(&set, std::ptr::null_mut(), &now) } == self.0 {
            any = true;
        }
        any
    }
}

impl Default for OverflowSignal {
    fn default() -> Self {
        Self::new()
    }
}

/// A counter of what guests retire in user mode on the thread that opened it, and only there.
///
/// Never run so far where there are counters: [`super::ONLY_SIMULATED`].
#[derive(Debug)]
pub struct PerfCounter {
    file: File,
    event: Event,
    kind: u32,
    config: u64,
    signal: OverflowSignal,
    rearming: Rearming,
    /// Counts of files closed since, minus what was counted before the last restart.
    before: u64,
    unretired: u64,
}

impl PerfCounter {
    /// A counter of `event` for guests that this thread runs, stopped by `signal`, which is blocked here from now on.
    ///
    /// # Errors
    ///
    /// Where there is no PMU, where it does not know the event, or this user may not.
    pub fn open(event: Event, signal: OverflowSignal) -> Result<Self, PmuError> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let (kind, config) = match (event, HostCpu::of_cpuinfo(&cpuinfo)) {
            // The kernel knows this event of every PMU, and puts it on a fixed counter where there is one.
            (Event::Instructions, _) => {
                (bindings::PERF_TYPE_HARDWARE, bindings::PERF_COUNT_HW_INSTRUCTIONS as u64)
            }
            (Event::ConditionalBranches, cpu) => {
                (bindings::PERF_TYPE_RAW, event.raw(cpu).ok_or(PmuError::None(event.name()))?)
            }
        };
        signal.block()?;
        let file = open(event, kind, config, NEVER, signal)?;
        let (before, unretired) = (0, 0);
        Ok(Self { file, event, kind, config, signal, rearming: Rearming::Period, before, unretired })
    }

    /// What it counts.
    pub fn event(&self) -> Event {
        self.event
    }

    /// Its signal.
    pub fn signal(&self) -> OverflowSignal {
        self.signal
    }

    /// What the open file has counted.
    fn read(&self) -> Result<u64, PmuError> {
        let mut bytes = [0; 8];
        match (&self.file).read(&mut bytes) {
            Ok(8) => Ok(u64::from_ne_bytes(bytes)),
            // A pinned event in error state.
            Ok(_) => Err(PmuError::Displaced),
            Err(source) => Err(PmuError::Host { doing: "read the counter", source }),
        }
    }

    fn set_period(&mut self, events: u64) -> Result<(), PmuError> {
        match self.rearming {
            Rearming::Period => {
                // SAFETY: this request takes a pointer to 64 bits, which it only reads, during the call.
                let result =
                    unsafe { libc::ioctl(self.file.as_raw_fd(), bindings::PERIOD as _, &raw const events) };
                check(result).map_err(PmuError::host("set the counter's period"))?;
            }
            Rearming::Reopen => {
                let counted = self.read()?;
                self.file = open(self.event, self.kind, self.config, events, self.signal)?;
                self.before = self.before.wrapping_add(counted);
            }
        }
        Ok(())
    }
}

impl Counter for PerfCounter {
    fn restart(&mut self) -> Result<(), PmuError> {
        self.disarm()?;
        self.before = 0u64.wrapping_sub(self.read()?);
        self.unretired = 0;
        Ok(())
    }

    fn count(&mut self) -> Result<u64, PmuError> {
        Ok(self.before.wrapping_add(self.read()?).wrapping_add(self.unretired))
    }

    fn arm(&mut self, events: u64) -> Result<(), PmuError> {
        if events < MIN_PERIOD {
            return Err(PmuError::PeriodTooShort(events));
        }
        self.set_period(events.min(NEVER))
    }

    fn disarm(&mut self) -> Result<(), PmuError> {
        self.set_period(NEVER)
    }

    fn set_rearming(&mut self, how: Rearming) {
        self.rearming = how;
    }

    fn note_unretired(&mut self, events: u64) {
        self.unretired += events;
    }
}

/// Opens an event of this thread that runs at once and sends `signal` to it every `period` events.
fn open(event: Event, kind: u32, config: u64, period: u64, signal: OverflowSignal) -> Result<File, PmuError> {
    let mut attributes = bindings::perf_event_attr {
        type_: kind,
        size: mem::size_of::<bindings::perf_event_attr>() as u32,
        config,
        ..Default::default()
    };
    attributes.__bindgen_anon_1.sample_period = period;
    attributes.__bindgen_anon_2.wakeup_events = 1;
    // On a hardware register whenever the thread runs, or an error: never a share of the time, scaled up.
    attributes.set_pinned(1);
    // The guest's user code alone: host and guest kernel are not what a place is counted in.
    attributes.set_exclude_host(1);
    attributes.set_exclude_kernel(1);
    attributes.set_exclude_hv(1);
    let flags = bindings::PERF_FLAG_FD_CLOEXEC.into();
    // SAFETY: the attributes are a valid, initialised structure of the size that it says, which is only used during the call; to
    // count events of this thread touches no memory.
    let fd = unsafe { perf_event_open_sys::perf_event_open(&mut attributes, 0, -1, -1, flags) };
    check(fd).map_err(|source| refusal(event, source))?;
    // SAFETY: the call has just made this descriptor, and nobody else has it.
    let file = unsafe { File::from_raw_fd(fd) };
    // SAFETY: `gettid` takes and touches nothing.
    let owner = Owner { kind: F_OWNER_TID, pid: unsafe { libc::gettid() } };
    // SAFETY: each request takes what it is given: a pointer to a `struct f_owner_ex`, which it reads during the call, a signal's
    // number, and flags.
    let results = unsafe {
        [
            libc::fcntl(fd, F_SETOWN_EX, &raw const owner),
            libc::fcntl(fd, F_SETSIG, signal.0),
            libc::fcntl(fd, libc::F_SETFL, libc::O_ASYNC),
        ]
    };
    for result in results {
        check(result).map_err(PmuError::host("have the counter send its signal"))?;
    }
    Ok(file)
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Why the kernel did not open an event, by `perf_event_open(2)`, "Errors".
fn refusal(event: Event, source: io::Error) -> PmuError {
    match source.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP | libc::ENOSYS) => PmuError::None(event.name()),
        Some(libc::EACCES | libc::EPERM) => PmuError::Denied,
        Some(libc::EBUSY) => PmuError::Displaced,
        _ => PmuError::Host { doing: "open a performance counter", source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_waits_to_be_taken() {
        // Its own thread, so that no other test's mask matters.
        let thread = std::thread::spawn(|| {
            let signal = OverflowSignal::new();
            signal.block().unwrap();
            assert!(!signal.take());
            // SAFETY: the signal is blocked in this thread, to which alone `pthread_kill` sends it.
            assert_eq!(unsafe { libc::pthread_kill(libc::pthread_self(), signal.number()) }, 0);
            assert!(signal.take());
            assert!(!signal.take());
        });
        thread.join().unwrap();
    }

    #[test]
    fn a_host_without_counters_says_so() {
        match PerfCounter::open(Event::Instructions, OverflowSignal::new()) {
            Ok(mut counter) => {
                // No guest has run.
                counter.restart().unwrap();
                assert_eq!(counter.count().unwrap(), 0);
                counter.arm(1000).unwrap();
                counter.note_unretired(2);
                assert_eq!(counter.count().unwrap(), 2);
                assert!(counter.arm(MIN_PERIOD - 1).is_err());
            }
            Err(error @ (PmuError::None(_) | PmuError::Denied | PmuError::Displaced)) => {
                eprintln!("!!! COUNTERS NOT TRIED: {error} !!!");
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn refusals_say_what_to_change() {
        let refused = |number| refusal(Event::Instructions, io::Error::from_raw_os_error(number));
        assert!(matches!(refused(libc::ENOENT), PmuError::None(_)));
        assert!(refused(libc::EACCES).to_string().contains("perf_event_paranoid"));
        assert!(refused(libc::EBUSY).to_string().contains("nmi_watchdog"));
        assert!(matches!(refused(libc::EMFILE), PmuError::Host { .. }));
    }
}
