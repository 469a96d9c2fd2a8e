//! The machine's screen.

use super::PcMachine;
use rrvmm_devices::vga::Frame;

impl PcMachine {
    /// What the screen shows here: the same picture in every replay, without any effect on the guest.
    #[must_use]
    pub fn frame(&self) -> Frame {
        self.board.frame(&[][..])
    }
}
