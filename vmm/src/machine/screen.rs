//! The machine's screen.

use super::PcMachine;
use crate::accel::Accelerator;
use crate::host::vnc::Screen;
use crate::memory::PAGE_SIZE;
use crate::session::{Attendant, Save, Wish};
use rrvmm_devices::pc::VIDEO_MEMORY_BASE;
use rrvmm_devices::vga::{Frame, VideoMemory};
use std::sync::Arc;

/// The linear frame buffer, among the pages of RAM.
struct FrameBuffer<'a> {
    accel: &'a dyn Accelerator,
    first_page: usize,
}

impl VideoMemory for FrameBuffer<'_> {
    fn read(&self, offset: usize, bytes: &mut [u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done;
            let (page, into) = (self.first_page + at / PAGE_SIZE, at % PAGE_SIZE);
            let len = (PAGE_SIZE - into).min(bytes.len() - done);
            let piece = &mut bytes[done..done + len];
            if page < self.accel.pages() {
                piece.copy_from_slice(&self.accel.page(page)[into..into + len]);
            } else {
                piece.fill(0);
            }
            done += len;
        }
    }
}

/// Draws the screen for whoever watches it.
pub struct Onlooker(pub Arc<Screen>);

impl Attendant<PcMachine> for Onlooker {
    fn attend(&mut self, machine: &mut PcMachine, _save: Save<'_, PcMachine>) -> Wish {
        self.0.serve(|| (machine.frame(), machine.keyboard_leds()));
        Wish::GoOn
    }
}

impl PcMachine {
    /// The lights of the keyboard, see [`rrvmm_devices::Pc::keyboard_leds`].
    #[must_use]
    pub fn keyboard_leds(&self) -> u8 {
        self.board.keyboard_leds()
    }

    /// What the screen shows here: the same picture in every replay, without any effect on the guest.
    #[must_use]
    pub fn frame(&self) -> Frame {
        let first_page = self.ram_page(VIDEO_MEMORY_BASE).unwrap_or(self.accel.pages());
        self.board.frame(&FrameBuffer { accel: &*self.accel, first_page })
    }
}
