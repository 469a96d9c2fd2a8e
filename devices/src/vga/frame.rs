//! What the screen shows, drawn from the adapter's state alone: the same state gives the same frame, always.

use crate::vga::timing::Timing;
use crate::vga::{PALETTE_SHOWN, Vga, linear, planar, text};

/// Sequencer register 1: the processor has all of memory's time, and nothing is shown.
const SCREEN_OFF: u8 = 0x20;

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Pixels of a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Red, green and blue of each pixel, line by line from the top.
    pub rgb: Vec<u8>,
}

impl Frame {
    /// A black picture.
    #[must_use]
    pub fn black(width: u32, height: u32) -> Self {
        Self { width, height, rgb: vec![0; width as usize * height as usize * 3] }
    }

    /// The pixels of line `y`.
    ///
    /// # Panics
    /// When there is no such line.
    pub(super) fn line(&mut self, y: u32) -> &mut [[u8; 3]] {
        let len = self.width as usize * 3;
        self.rgb[y as usize * len..][..len].as_chunks_mut().0
    }
}

/// The linear frame buffer, which the machine keeps.
pub trait VideoMemory {
    /// Fills `bytes` from byte `offset` on; zeros where nothing is.
    fn read(&self, offset: usize, bytes: &mut [u8]);
}

impl VideoMemory for [u8] {
    fn read(&self, offset: usize, bytes: &mut [u8]) {
        bytes.fill(0);
        let there = self.get(offset..).unwrap_or_default();
        let len = there.len().min(bytes.len());
        bytes[..len].copy_from_slice(&there[..len]);
    }
}

impl Vga {
    /// Width and height of what the screen shows, in pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        match self.vbe.layout() {
            Some(layout) => (layout.width, layout.height),
            None => {
                let timing = self.timing();
                (timing.width(), timing.height)
            }
        }
    }

    fn timing(&self) -> Timing {
        let timing = Timing::of(self);
        // Graphics have eight dots a character whatever the sequencer says.
        if self.is_graphics() { Timing { dots: 8, ..timing } } else { timing }
    }

    fn is_graphics(&self) -> bool {
        self.graphics.registers[6] & 1 != 0
    }

    fn is_blank(&self) -> bool {
        self.attribute.0 & PALETTE_SHOWN == 0 || self.sequencer.registers[1] & SCREEN_OFF != 0
    }
}

/// What the screen shows. Cursors and characters that blink are in their shown phase.
#[must_use]
pub fn frame(vga: &Vga, memory: &(impl VideoMemory + ?Sized)) -> Frame {
    if vga.is_blank() {
        let (width, height) = vga.size();
        Frame::black(width, height)
    } else if let Some(layout) = vga.vbe.layout() {
        linear::draw(vga, layout, memory)
    } else if vga.is_graphics() {
        planar::draw(vga, vga.timing())
    } else {
        text::draw(vga, vga.timing())
    }
}
