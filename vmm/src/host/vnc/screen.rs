//! The last picture, between the machine's thread and those of the clients.

use rrvmm_devices::vga::Frame;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Least time between two pictures.
const DISTANCE: Duration = Duration::from_millis(33);

/// The last picture that was drawn, and whether somebody waits for another.
#[derive(Debug, Default)]
pub struct Screen {
    wanted: AtomicBool,
    last: Mutex<Last>,
    drawn: Condvar,
}

#[derive(Debug, Default)]
struct Last {
    frame: Option<Arc<Frame>>,
    leds: u8,
    /// Counts the pictures and lights that differ from those before.
    number: u64,
    /// Pictures drawn, also those that were like the last.
    drawn: u64,
    at: Option<Instant>,
}

/// What there is to send.
pub(super) struct News {
    pub number: u64,
    pub frame: Arc<Frame>,
    pub leds: u8,
}

impl Last {
    fn news(&self) -> Option<News> {
        let frame = Arc::clone(self.frame.as_ref()?);
        Some(News { number: self.number, frame, leds: self.leds })
    }
}

impl Screen {
    /// Has the machine's thread draw a picture, and say which of the keyboard's lights are on, if somebody waits for one and the last is not too young.
    pub fn serve(&self, draw: impl FnOnce() -> (Frame, u8)) {
        if self.is_wanted() {
            let (frame, leds) = draw();
            self.put(frame, leds);
        }
    }

    /// Whether [`Screen::put`] is waited for now.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        if !self.wanted.load(Ordering::Relaxed) {
            return false;
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.at.is_none_or(|at| at.elapsed() >= DISTANCE)
    }

    /// Gives the picture and the keyboard's lights to whoever waits.
    pub fn put(&self, frame: Frame, leds: u8) {
        self.wanted.store(false, Ordering::Relaxed);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.frame.as_deref() != Some(&frame) || last.leds != leds {
            last.leds = leds;
            last.frame = Some(Arc::new(frame));
            last.number += 1;
        }
        last.drawn += 1;
        last.at = Some(Instant::now());
        self.drawn.notify_all();
    }

    /// A picture that is drawn after this call, or the last one if none is within `limit`; with its number.
    pub(super) fn fresh(&self, limit: Duration) -> Option<News> {
        let end = Instant::now() + limit;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.drawn;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if last.drawn > before || left.is_zero() {
                return last.news();
            }
            self.wanted.store(true, Ordering::Relaxed);
            last = self.drawn.wait_timeout(last, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The last picture and its number, if it is another than number `seen`; asks for a new one and waits at most `limit` for it
    /// otherwise.
    pub(super) fn after(&self, seen: u64, limit: Duration) -> Option<News> {
        let end = Instant::now() + limit;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if last.number > seen {
                // What the client has next may be on its way already.
                self.wanted.store(true, Ordering::Relaxed);
                return last.news();
            }
            self.wanted.store(true, Ordering::Relaxed);
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            last = self.drawn.wait_timeout(last, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
