//! The display adapter on the board: its memory is the machine's, which has to know where the guest finds it.

use crate::bus::Width;
use crate::dma::{Master, Memory};
use crate::pc::{IOAPIC_BASE, Pc, VIDEO_MEMORY_BASE};
use crate::pci::Space;
use crate::pci::bus::DISPLAY;
use crate::vga::{LFB_BYTES, VBE_PORTS, Vga};

/// Bytes that are cleared at a time.
const PIECE: usize = 0x1_0000;

/// Which stretches of the physical address space lead to the display adapter's memories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoWindows {
    /// Start of the linear frame buffer's [`LFB_BYTES`].
    pub frame_buffer: Option<u64>,
    /// Where in the linear frame buffer the 64 KiB from 0xA0000 on lead, while they lead there.
    pub bank: Option<u32>,
    /// Start of the video BIOS, and bytes of its window.
    pub rom: Option<(u64, u32)>,
}

impl Pc {
    /// Where the guest finds the display adapter's memories now. Attention is raised when that changes.
    #[must_use]
    pub fn video_windows(&self) -> VideoWindows {
        let Some(display) = self.state.pci.display() else { return VideoWindows::default() };
        // RAM and the interrupt controllers answer first: a window over them does not, as while its size is being found out.
        let is_free = |start: u64, len: u32| {
            start >= self.state.config.low_ram() && start + u64::from(len) <= IOAPIC_BASE
        };
        let rom = display.rom().zip(self.state.config.display.rom_window());
        VideoWindows {
            frame_buffer: display.frame_buffer().filter(|start| is_free(*start, LFB_BYTES)),
            bank: self.state.vga.bank(),
            rom: rom.filter(|(start, len)| is_free(*start, *len)),
        }
    }

    /// Whether an access is one to the VBE registers.
    pub(crate) fn is_vbe(&self, port: u16, width: Width) -> bool {
        width == Width::B2 && VBE_PORTS.contains(&port) && self.state.config.display.pci
    }

    /// The adapter's register at a physical address.
    pub(crate) fn display_register(&self, space: Space, address: u64) -> Option<u64> {
        match space {
            Space::Memory => self.state.pci.display()?.register(address),
            Space::Io => None,
        }
    }

    /// Changes the adapter's registers, and tells the engine of what that means for memory.
    pub(crate) fn write_display(&mut self, write: impl FnOnce(&mut Vga)) {
        let before = self.state.vga.bank();
        write(&mut self.state.vga);
        self.attention |= self.state.vga.bank() != before || self.state.vga.wants_clear();
    }

    /// Clears what a mode switch wants cleared.
    pub(crate) fn clear_screen(&mut self, memory: &mut dyn Memory) {
        let Some(len) = self.state.vga.take_clear() else { return };
        memory.begin(Master(u16::from(DISPLAY)));
        let mut piece = vec![0; PIECE];
        for start in (0..len as usize).step_by(PIECE) {
            let there = &mut piece[..PIECE.min(len as usize - start)];
            let at = VIDEO_MEMORY_BASE + start as u64;
            if memory.read(at, there) && there.iter().any(|byte| *byte != 0) {
                there.fill(0);
                memory.write(at, there);
            }
        }
    }
}
