//! A host that is busy at random moments.

use rrvmm_tests::run::Luck;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Threads that compute now and then, until it is dropped.
pub struct Load {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Of none to three threads.
    pub fn new(luck: &mut Luck) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let threads = (0..luck.below(4)).map(|_| {
            let (is_over, luck) = (Arc::clone(&is_over), Luck::seeded(luck.bits()));
            thread::spawn(move || compute(&is_over, luck))
        });
        Self { threads: threads.collect(), is_over }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It cannot have panicked, and a test that has should say so itself.
            let _ = thread.join();
        }
    }
}

fn compute(is_over: &AtomicBool, mut luck: Luck) {
    while !is_over.load(Ordering::Relaxed) {
        let end = Instant::now() + luck.pause(Duration::from_millis(20));
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        thread::sleep(luck.pause(Duration::from_millis(20)));
    }
}
