//! The physical memory that is neither RAM nor ROM: who answers where.

use crate::bus::Width;
use crate::pc::{HPET_BASE, IOAPIC_BASE, Pc, VGA_WINDOW, VIRTIO_MMIO_BASE};
use crate::pci::Space;
use crate::virtio::mmio;
use rrvmm_replay::VirtualTime;

const PAGE: u64 = 0x1000;
const HPET_SIZE: u64 = 0x400;
const END_OF_INTERRUPT: u64 = 0x0b0;

impl Pc {
    /// The guest reads physical memory that is neither RAM nor ROM.
    pub fn mmio_read(&mut self, now: VirtualTime, address: u64, width: Width) -> u64 {
        if let Some(offset) = self.lapic_offset(address) {
            let register = self.state.lapic.read(now, offset & !3);
            self.settle_interrupts();
            return part(u64::from(register), offset & 3, width);
        }
        if let Some(offset) = within(address, IOAPIC_BASE, PAGE) {
            return part(u64::from(self.state.ioapic.read(offset & !3)), offset & 3, width);
        }
        if let Some(offset) = within(address, HPET_BASE, HPET_SIZE) {
            self.catch_up(now);
            self.settle();
            return part(self.state.hpet.read(offset & !7), offset & 7, width);
        }
        if VGA_WINDOW.contains(&address) {
            let offset = address - VGA_WINDOW.start;
            let mut byte = |n| u64::from(self.state.vga.read_memory(offset + n)) << (8 * n);
            return (0..width.bytes()).fold(0, |value, n| value | byte(n));
        }
        if let Some((n, offset)) = self.virtio_offset(address) {
            return self.state.virtio[n].read(offset, width);
        }
        if let Some(value) = self.read_bar(now, Space::Memory, address, width) {
            return value;
        }
        self.state.unclaimed.memory += 1;
        width.ones()
    }

    /// The guest writes physical memory that is neither RAM nor ROM.
    pub fn mmio_write(&mut self, now: VirtualTime, address: u64, width: Width, value: u64) {
        if let Some(offset) = self.lapic_offset(address) {
            self.write_lapic(now, offset, width, value as u32);
        } else if let Some(offset) = within(address, IOAPIC_BASE, PAGE) {
            self.write_ioapic(now, offset, width, value as u32);
        } else if let Some(offset) = within(address, HPET_BASE, HPET_SIZE) {
            self.write_hpet(now, offset, width, value);
        } else if VGA_WINDOW.contains(&address) {
            for (n, byte) in (0..).zip(value.to_le_bytes().into_iter().take(width.bytes() as usize)) {
                self.state.vga.write_memory(address - VGA_WINDOW.start + n, byte);
            }
        } else if let Some((n, offset)) = self.virtio_offset(address) {
            self.state.virtio[n].write(now, offset, width, value);
            self.after_pci_access();
        } else if !self.write_bar(now, Space::Memory, address, width, value) {
            self.state.unclaimed.memory += 1;
        }
    }

    /// A PCI function's window is read, if one is there.
    pub(crate) fn read_bar(
        &mut self,
        now: VirtualTime,
        space: Space,
        address: u64,
        width: Width,
    ) -> Option<u64> {
        if let Some(offset) = self.display_register(space, address) {
            return Some(self.state.vga.read_mmio(now, offset, width.bytes()));
        }
        let (function, bar, offset) = self.state.pci.decode(space, address)?;
        let value = function.read(now, bar, offset, width);
        self.after_pci_access();
        Some(value)
    }

    /// A PCI function's window is written. False if there is none.
    pub(crate) fn write_bar(
        &mut self,
        now: VirtualTime,
        space: Space,
        address: u64,
        width: Width,
        value: u64,
    ) -> bool {
        if let Some(offset) = self.display_register(space, address) {
            self.write_display(|vga| vga.write_mmio(offset, width.bytes(), value));
            return true;
        }
        let Some((function, bar, offset)) = self.state.pci.decode(space, address) else { return false };
        function.write(now, bar, offset, width, value);
        self.after_pci_access();
        true
    }

    /// Which virtio device in memory has a register at `address`, and where.
    fn virtio_offset(&self, address: u64) -> Option<(usize, u64)> {
        let offset = within(address, VIRTIO_MMIO_BASE, self.state.virtio.len() as u64 * mmio::WINDOW)?;
        Some(((offset / mmio::WINDOW) as usize, offset % mmio::WINDOW))
    }

    fn lapic_offset(&self, address: u64) -> Option<u64> {
        let lapic = &self.state.lapic;
        within(address, lapic.address(), PAGE).filter(|_| lapic.enabled())
    }

    /// Registers take whole aligned 32-bit writes only (SDM volume 3, 11.4.1); an 8-byte write gives its lower half.
    fn write_lapic(&mut self, now: VirtualTime, offset: u64, width: Width, value: u32) {
        if offset & 3 != 0 || width < Width::B4 {
            return;
        }
        if offset == END_OF_INTERRUPT {
            if let Some(vector) = self.state.lapic.write(now, offset, value) {
                self.end_of_interrupt(vector);
            }
            self.settle_interrupts();
            return;
        }
        // LINT0 may be opened for interrupts that were not worth a deadline while it was closed.
        self.catch_up(now);
        self.state.lapic.write(now, offset, value);
        self.settle();
    }

    fn write_ioapic(&mut self, now: VirtualTime, offset: u64, width: Width, value: u32) {
        if offset & 3 != 0 || width < Width::B4 {
            return;
        }
        // An edge that came while an input was masked must be lost, not found later.
        self.catch_up(now);
        let message = self.state.ioapic.write(offset, value);
        self.send(message);
        self.settle();
    }

    fn write_hpet(&mut self, now: VirtualTime, offset: u64, width: Width, value: u64) {
        let shift = offset & 7;
        if shift + width.bytes() > 8 {
            return;
        }
        self.catch_up(now);
        self.state.hpet.write(now, offset & !7, width.ones() << (shift * 8), value << (shift * 8));
        self.drive_shared_pins();
        self.drive_lines();
        self.settle();
    }
}

/// The offset of `address` in the `size` bytes from `base` on.
fn within(address: u64, base: u64, size: u64) -> Option<u64> {
    let offset = address.wrapping_sub(base);
    (offset < size).then_some(offset)
}

/// The bytes of a register from byte `lane` on that an access of `width` sees.
fn part(register: u64, lane: u64, width: Width) -> u64 {
    register >> (lane * 8) & width.ones()
}
