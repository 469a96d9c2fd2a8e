//! Inputs that do not come from a console: keys and pointer of the monitor and of VNC clients, on their way to a live session.

use rrvmm_devices::Input;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Inputs that wait at most; who sends more waits.
const WAITING: usize = 256;
/// Inputs that a session takes at once, and the time between that and the next: nobody can keep a machine from running.
const BATCH: usize = 64;
const BATCH_DISTANCE: Duration = Duration::from_millis(1);

/// A way for inputs into a live session. Clones lead to the same one.
#[derive(Clone, Debug)]
pub struct InputSender {
    inputs: SyncSender<Input>,
    bell: Arc<UnixStream>,
}

/// The session's end of it.
#[derive(Debug)]
pub struct InputReceiver {
    inputs: Receiver<Input>,
    bell: UnixStream,
    /// Whether a guest that sleeps for good may still be woken.
    awaited: bool,
    last_batch: Option<Instant>,
}

/// The session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session is over")]
pub struct SessionOver;

/// Both ends. `awaited` says that a session is not at its end as long as something may come this way.
///
/// # Errors
/// The host gives no sockets.
pub fn inputs(awaited: bool) -> io::Result<(InputSender, InputReceiver)> {
    let (sender, receiver) = sync_channel(WAITING);
    let (ringer, bell) = UnixStream::pair()?;
    ringer.set_nonblocking(true)?;
    bell.set_nonblocking(true)?;
    let receiver = InputReceiver { inputs: receiver, bell, awaited, last_batch: None };
    Ok((InputSender { inputs: sender, bell: Arc::new(ringer) }, receiver))
}

impl InputSender {
    /// Gives an input to the session; waits while too many do already.
    ///
    /// # Errors
    /// The session is over.
    pub fn send(&self, input: Input) -> Result<(), SessionOver> {
        self.inputs.send(input).map_err(|_| SessionOver)?;
        // A bell that is full has rung.
        let _ = (&*self.bell).write(&[0]);
        Ok(())
    }
}

impl InputReceiver {
    /// Whether the session is to wait for what may come.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// Is readable when something has come.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// What has come, as much as is to be had now.
    pub(super) fn take(&mut self) -> Vec<Input> {
        if self.last_batch.is_some_and(|at| at.elapsed() < BATCH_DISTANCE) {
            return Vec::new();
        }
        let batch: Vec<Input> = self.inputs.try_iter().take(BATCH).collect();
        if batch.len() < BATCH {
            // It may ring again for what has just been taken.
            while self.bell.read(&mut [0; BATCH]).is_ok_and(|n| n == BATCH) {}
        }
        if !batch.is_empty() {
            self.last_batch = Some(Instant::now());
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rrvmm_devices::Key;

    const KEY: Input = Input::Key { key: Key::A, down: true };

    #[test]
    fn inputs_arrive_in_order_and_in_batches() {
        let (sender, mut receiver) = inputs(true).unwrap();
        assert!(receiver.take().is_empty());
        for n in 0..BATCH + 1 {
            sender.send(Input::Key { key: KEYS[n % 2], down: true }).unwrap();
        }
        let batch = receiver.take();
        assert_eq!(batch.len(), BATCH);
        assert!(receiver.take().is_empty(), "not so soon");
        std::thread::sleep(BATCH_DISTANCE * 2);
        assert_eq!(receiver.take().len(), 1);
        drop(receiver);
        assert_eq!(sender.send(KEY), Err(SessionOver));
    }

    const KEYS: [Key; 2] = [Key::A, Key::B];
}
