//! Signals that ask a session to end.

use super::HostError;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::{flag, low_level::pipe};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const STOPPING: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

/// A signal that asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopSignal(i32);

impl StopSignal {
    /// Its number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            SIGINT => "SIGINT",
            SIGTERM => "SIGTERM",
            SIGHUP => "SIGHUP",
            SIGQUIT => "SIGQUIT",
            _ => "a signal",
        })
    }
}

/// Watches for SIGINT, SIGTERM, SIGHUP and SIGQUIT. The first asks for a proper end; a second one of the same kind ends
/// the process at once, with status 128 plus its number. Clones watch the same signals.
#[derive(Clone, Debug)]
pub struct Signals {
    pipe: Arc<UnixStream>,
    stop: Arc<AtomicUsize>,
    continued: Arc<AtomicBool>,
}

impl Signals {
    /// Starts to watch, for the rest of the process's life.
    ///
    /// # Errors
    /// [`HostError::Signals`] when the host does not let signals be caught.
    pub fn watch() -> Result<Self, HostError> {
        let (read, write) = UnixStream::pair().map_err(HostError::Signals)?;
        read.set_nonblocking(true).map_err(HostError::Signals)?;
        let stop = Arc::new(AtomicUsize::new(0));
        let continued = Arc::new(AtomicBool::new(false));
        for signal in STOPPING {
            // In this order: the shutdown looks at what an earlier signal has set.
            let armed = Arc::new(AtomicBool::new(false));
            let register = flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&armed))
                .and_then(|_| flag::register(signal, armed))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&stop), signal as usize))
                .and_then(|_| pipe::register(signal, write.try_clone()?));
            register.map_err(HostError::Signals)?;
        }
        flag::register(SIGCONT, Arc::clone(&continued))
            .and_then(|_| pipe::register(SIGCONT, write))
            .map_err(HostError::Signals)?;
        Ok(Self { pipe: Arc::new(read), stop, continued })
    }

    /// Watches for nothing: no signal ever asks for the end.
    ///
    /// # Errors
    /// [`HostError::Signals`] when the host gives no descriptors.
    pub fn unwatched() -> Result<Self, HostError> {
        let (read, write) = UnixStream::pair().map_err(HostError::Signals)?;
        // Open for good, or else the other side would be readable.
        std::mem::forget(write);
        let (stop, continued) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        Ok(Self { pipe: Arc::new(read), stop, continued })
    }

    /// The signal that asked for the end, if one has.
    #[must_use]
    pub fn stop_requested(&self) -> Option<StopSignal> {
        match self.stop.load(Ordering::Relaxed) {
            0 => None,
            number => Some(StopSignal(number as i32)),
        }
    }

    /// True once after the process was stopped and continued, when the terminal may have lost its raw mode.
    pub(super) fn take_continued(&self) -> bool {
        self.continued.swap(false, Ordering::Relaxed)
    }

    /// Readable once a signal has come.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Makes [`fd`](Self::fd) unreadable until the next signal. A stop stays requested.
    pub(super) fn drain(&self) {
        let mut sink = [0; 64];
        while std::io::Read::read(&mut &*self.pipe, &mut sink).is_ok_and(|n| n > 0) {}
    }
}

/// Lets SIGINT pass from now on: Ctrl-C is for another program on this terminal. Programs started later get it as usual.
///
/// # Errors
/// [`HostError::Signals`] when the host does not let signals be caught.
pub fn leave_interrupts_to_others() -> Result<(), HostError> {
    flag::register(SIGINT, Arc::new(AtomicBool::new(false))).map(|_| ()).map_err(HostError::Signals)
}
