//! Work for the machine's thread, from the threads of the front ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use rrvmm_devices::Output;
use rrvmm_replay::Position;

use super::Explorer;

/// How far the machine is, and what of its work is no longer wanted. Seen from every thread.
#[derive(Debug, Default)]
pub(super) struct Progress {
    position: AtomicU64,
    /// Number of the work in hand.
    current: AtomicU64,
    /// All work up to this number is to be left off.
    unwanted: AtomicU64,
    quit: AtomicBool,
}

impl Progress {
    pub(super) fn reached(&self, position: Position) {
        self.position.store(position.count(), Ordering::Relaxed);
    }

    pub(super) fn is_interrupted(&self) -> bool {
        let current = self.current.load(Ordering::Relaxed);
        self.quit.load(Ordering::Relaxed)
            || (current != 0 && self.unwanted.load(Ordering::Relaxed) >= current)
    }
}

type Work = Box<dyn FnOnce(&mut Explorer) + Send>;

enum Order {
    Work { number: u64, work: Work },
    Quit,
}

/// The explorer is no more: the session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session is over")]
pub struct Gone;

/// A front end's way to an [`Explorer`]. Clones lead to the same one.
#[derive(Clone)]
pub struct Handle {
    orders: Sender<Order>,
    progress: Arc<Progress>,
    last: Arc<AtomicU64>,
}

/// Work that was begun, which can be interrupted.
#[derive(Clone, Debug)]
pub struct Ticket {
    number: u64,
    progress: Arc<Progress>,
}

impl Ticket {
    /// Asks for the end of the motion; the work itself then says where it has come to. Work that is done or only reads is
    /// not affected.
    pub fn interrupt(&self) {
        self.progress.unwanted.fetch_max(self.number, Ordering::Relaxed);
    }
}

impl Handle {
    /// Has `work` done when its turn comes, and waits for what it gives.
    ///
    /// # Errors
    /// The session is over.
    pub fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Explorer) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        let (answer, answered) = channel();
        // If nobody waits for the answer any more, that is no concern of the explorer's.
        self.begin(move |explorer| drop(answer.send(work(explorer))))?;
        answered.recv().map_err(|_| Gone)
    }

    /// Has `work` done when its turn comes, without waiting. It reports by itself, through a channel of its own.
    ///
    /// # Errors
    /// The session is over.
    pub fn begin(&self, work: impl FnOnce(&mut Explorer) + Send + 'static) -> Result<Ticket, Gone> {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.orders.send(Order::Work { number, work: Box::new(work) }).map_err(|_| Gone)?;
        Ok(Ticket { number, progress: Arc::clone(&self.progress) })
    }

    /// Ends the session; a motion in hand is interrupted.
    pub fn quit(&self) {
        self.progress.quit.store(true, Ordering::Relaxed);
        // It may be over already.
        let _ = self.orders.send(Order::Quit);
    }

    /// Interrupts the work in hand, whoever ordered it.
    pub fn interrupt(&self) {
        let current = self.progress.current.load(Ordering::Relaxed);
        self.progress.unwanted.fetch_max(current, Ordering::Relaxed);
    }

    /// How far the machine is, even while it moves. During a search this may be anywhere.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::from_count(self.progress.position.load(Ordering::Relaxed))
    }
}

/// An [`Explorer`] at work for front ends.
pub struct Desk {
    explorer: Explorer,
    orders: Receiver<Order>,
}

impl Desk {
    /// Puts `explorer` to work for whoever has the handle.
    #[must_use]
    pub fn new(explorer: Explorer) -> (Self, Handle) {
        let (sender, orders) = channel();
        let progress = Arc::clone(&explorer.progress);
        (Self { explorer, orders }, Handle { orders: sender, progress, last: Arc::new(AtomicU64::new(0)) })
    }

    /// The explorer, when the work is over.
    #[must_use]
    pub fn into_explorer(self) -> Explorer {
        self.explorer
    }

    /// The explorer, between two pieces of work.
    pub fn explorer(&mut self) -> &mut Explorer {
        &mut self.explorer
    }

    /// Does all work until [`Handle::quit`], or until nobody has a handle any more. `show` gets what the guest sends out
    /// when it first does.
    ///
    /// # Errors
    /// `show` fails.
    pub fn serve<E>(&mut self, mut show: impl FnMut(&[Output]) -> Result<(), E>) -> Result<(), E> {
        let mut outputs = Vec::new();
        while let Ok(Order::Work { number, work }) = self.orders.recv() {
            let progress = Arc::clone(&self.explorer.progress);
            progress.current.store(number, Ordering::Relaxed);
            work(&mut self.explorer);
            progress.current.store(0, Ordering::Relaxed);
            self.explorer.take_outputs(&mut outputs);
            if !outputs.is_empty() {
                show(&outputs)?;
                outputs.clear();
            }
        }
        Ok(())
    }
}
