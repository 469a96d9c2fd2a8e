//! The I/O ports: who answers where.

use crate::bus::Width;
use crate::chips::i8042::Effects;
use crate::fw_cfg;
use crate::output::Output;
use crate::pc::{Pc, RESET_PORT};
use crate::pci::Space;
use rrvmm_replay::VirtualTime;

/// Offset of the timer in the power management ports.
const PM_TIMER: u16 = 8;
/// Where the PIIX4's general purpose event block is.
const GPE_BASE: u16 = 0xafe0;
const PCI_ADDRESS_PORT: u16 = 0xcf8;
const PCI_DATA_PORT: u16 = 0xcfc;
const DEBUG_EXIT_PORT: u16 = 0xf4;
/// What both debug console ports read as, so that a guest can tell they are there.
const DEBUG_CONSOLE_PRESENT: u8 = 0xe9;
/// Reset control: a rising edge here resets, as bit 1 says.
const RESET_CPU: u8 = 0x04;

impl Pc {
    /// The guest reads an I/O port. Unclaimed bytes read as ones.
    pub fn port_read(&mut self, now: VirtualTime, port: u16, width: Width) -> u32 {
        if let Some(value) = self.read_ide(now, port, width) {
            return value;
        }
        if width == Width::B1 {
            return u32::from(self.read_byte(now, port));
        }
        if port == PCI_ADDRESS_PORT && width == Width::B4 {
            return self.state.pci.read_address();
        }
        if is_pci_data(port, width) {
            return self.read_pci_data(now, port, width);
        }
        if self.is_vbe(port, width) {
            return u32::from(self.state.vga.read_vbe(port));
        }
        if width == Width::B4 && self.state.pci.power_management().decode(port) == Some(PM_TIMER) {
            return self.state.pm.timer(now);
        }
        if let Some(value) = self.read_bar(now, Space::Io, u64::from(port), width) {
            return value as u32;
        }
        let bytes = width.bytes().min(4) as u16;
        (0..bytes).fold(0, |value, n| value | u32::from(self.read_byte(now, port.wrapping_add(n))) << (8 * n))
    }

    /// The guest writes an I/O port.
    pub fn port_write(&mut self, now: VirtualTime, port: u16, width: Width, value: u32) {
        if self.write_ide(now, port, width, value) {
            return;
        }
        match (port, width) {
            (DEBUG_EXIT_PORT, _) => {
                let value = value & width.ones() as u32;
                self.say(Output::DebugExit { value });
            }
            (_, Width::B1) => self.write_byte(now, port, value as u8),
            (PCI_ADDRESS_PORT, Width::B4) => self.state.pci.write_address(value),
            _ if is_pci_data(port, width) => self.write_pci_data(now, port, width, value),
            _ if self.is_vbe(port, width) => self.write_display(|vga| vga.write_vbe(port, value as u16)),
            (fw_cfg::SELECTOR_PORT, Width::B2) => self.state.fw_cfg.select(value as u16),
            _ if self.write_bar(now, Space::Io, u64::from(port), width, u64::from(value)) => {}
            _ => {
                let bytes = value.to_le_bytes().into_iter().take(width.bytes() as usize);
                for (n, byte) in (0..).zip(bytes) {
                    self.write_byte(now, port.wrapping_add(n), byte);
                }
            }
        }
    }

    fn read_ide(&mut self, now: VirtualTime, port: u16, width: Width) -> Option<u32> {
        if !is_ide(port) {
            return None;
        }
        let value = self.state.pci.ide_mut()?.read_port(now, port, width);
        self.after_pci_access();
        value
    }

    fn write_ide(&mut self, now: VirtualTime, port: u16, width: Width, value: u32) -> bool {
        let claimed = is_ide(port)
            && self.state.pci.ide_mut().is_some_and(|ide| ide.write_port(now, port, width, value));
        if claimed {
            self.after_pci_access();
        }
        claimed
    }

    fn read_byte(&mut self, now: VirtualTime, port: u16) -> u8 {
        match port {
            0x3f8..=0x3ff => self.read_uart(now, 0, port),
            0x2f8..=0x2ff => self.read_uart(now, 1, port),
            0x20 | 0x21 | 0xa0 | 0xa1 | 0x4d0 | 0x4d1 => {
                self.catch_up(now);
                let value = self.state.pic.read(port);
                self.settle();
                value
            }
            0x40..=0x43 => {
                self.catch_up(now);
                let value = self.state.pit.read(now, port);
                self.settle();
                value
            }
            0x61 => self.state.pit.read_control(now),
            0x60 => self.read_keyboard(),
            0x64 => self.state.keyboard.read_status(),
            0x70 | 0x71 => {
                self.catch_up(now);
                let value = self.state.rtc.read(now, port);
                self.drive_lines();
                self.settle();
                value
            }
            0x92 => u8::from(self.state.a20) << 1,
            0xb2 | 0xb3 => self.state.pm.read_apm(port),
            0xe9 | 0x402 => DEBUG_CONSOLE_PRESENT,
            0x510 => 0,
            0x511 => self.state.fw_cfg.read(&self.fw_cfg_items),
            GPE_BASE..=0xafe3 => self.state.pm.read_gpe(port - GPE_BASE),
            RESET_PORT => self.state.reset_control,
            0xcfc..=0xcff => self.read_pci_data(now, port, Width::B1) as u8,
            0x3b0..=0x3df if self.state.vga.claims(port) => self.state.vga.read(now, port),
            _ => self.read_elsewhere(now, port),
        }
    }

    fn write_byte(&mut self, now: VirtualTime, port: u16, value: u8) {
        match port {
            0x3f8..=0x3ff => self.write_uart(now, 0, port, value),
            0x2f8..=0x2ff => self.write_uart(now, 1, port, value),
            0x20 | 0x21 | 0xa0 | 0xa1 | 0x4d0 | 0x4d1 => {
                self.catch_up(now);
                self.state.pic.write(port, value);
                self.settle();
            }
            0x40..=0x43 => {
                self.catch_up(now);
                if self.state.pit.write(now, port, value) && !self.state.hpet.legacy() {
                    self.pulse_irq(0);
                }
                self.settle();
            }
            0x61 => self.state.pit.write_control(now, value),
            0x60 => {
                let effects = self.state.keyboard.write_data(value);
                self.apply(effects);
            }
            0x64 => {
                let effects = self.state.keyboard.write_command(value, self.state.a20);
                self.apply(effects);
            }
            0x70 | 0x71 => {
                self.catch_up(now);
                self.state.rtc.write(now, port, value);
                self.drive_lines();
                self.settle();
            }
            0x92 => self.apply(Effects { reset: value & 1 != 0, a20: Some(value & 2 != 0) }),
            0xb2 | 0xb3 => {
                self.catch_up(now);
                self.state.pm.write_apm(port, value);
                self.drive_lines();
                self.settle();
            }
            0xe9 | 0x402 => self.outputs.push(Output::DebugConsole(value)),
            0x511 => {}
            GPE_BASE..=0xafe3 => self.state.pm.write_gpe(port - GPE_BASE, value),
            RESET_PORT => self.write_reset_control(value),
            0xcfc..=0xcff => self.write_pci_data(now, port, Width::B1, u32::from(value)),
            0x3b0..=0x3df if self.state.vga.claims(port) => self.state.vga.write(port, value),
            _ => self.write_elsewhere(now, port, value),
        }
    }

    fn read_uart(&mut self, now: VirtualTime, n: usize, port: u16) -> u8 {
        let register = (port & 7) as u8;
        self.catch_up_uart(now, n);
        let value = self.state.uarts[n].read(now, register);
        self.drive_uart(n);
        // Taking a byte out of the FIFO makes room for the next.
        if register == 0 {
            self.settle()
        } else {
            self.settle_interrupts()
        }
        value
    }

    fn write_uart(&mut self, now: VirtualTime, n: usize, port: u16, value: u8) {
        let register = (port & 7) as u8;
        self.catch_up_uart(now, n);
        let sent = self.state.uarts[n].write(now, register, value);
        self.drive_uart(n);
        match sent {
            Some(byte) => {
                self.outputs.push(Output::Serial { port: n as u8, byte });
                self.settle_interrupts();
            }
            None => self.settle(),
        }
    }

    /// The line falls between two bytes, so that each has its edge.
    fn read_keyboard(&mut self) -> u8 {
        let value = self.state.keyboard.read_data();
        self.drive_lines();
        self.state.keyboard.next_output();
        self.drive_lines();
        self.settle_interrupts();
        value
    }

    fn write_pm(&mut self, now: VirtualTime, offset: u16, value: u8) {
        self.catch_up(now);
        if self.state.pm.write(offset, value) {
            self.say(Output::PowerOff);
        }
        self.drive_lines();
        self.settle();
    }

    fn write_reset_control(&mut self, value: u8) {
        if value & !self.state.reset_control & RESET_CPU != 0 {
            self.say(Output::Reset);
        }
        self.state.reset_control = value & 0x0e;
    }

    fn read_pci_data(&mut self, now: VirtualTime, port: u16, width: Width) -> u32 {
        let value = self.state.pci.read_data(now, (port & 3) as u8, width);
        self.after_pci_access();
        value
    }

    fn write_pci_data(&mut self, now: VirtualTime, port: u16, width: Width, value: u32) {
        let before = (self.state.pci.host_bridge().pam_registers(), self.video_windows());
        self.state.pci.write_data(now, (port & 3) as u8, width, value);
        self.attention |= before != (self.state.pci.host_bridge().pam_registers(), self.video_windows());
        self.after_pci_access();
    }

    /// The A20 gate is one latch that the keyboard controller and port 0x92 both set; who writes last wins.
    fn apply(&mut self, effects: Effects) {
        if effects.reset {
            self.say(Output::Reset);
        }
        if let Some(a20) = effects.a20 {
            self.attention |= a20 != self.state.a20;
            self.state.a20 = a20;
        }
        self.drive_lines();
        self.settle_interrupts();
    }

    fn read_elsewhere(&mut self, now: VirtualTime, port: u16) -> u8 {
        if let Some(offset) = self.state.pci.power_management().decode(port) {
            self.catch_up(now);
            let value = self.state.pm.read(now, offset);
            self.settle();
            return value;
        }
        if let Some(value) = self.read_bar(now, Space::Io, u64::from(port), Width::B1) {
            return value as u8;
        }
        if !known_absent(port) {
            self.state.unclaimed.ports += 1;
        }
        0xff
    }

    fn write_elsewhere(&mut self, now: VirtualTime, port: u16, value: u8) {
        if let Some(offset) = self.state.pci.power_management().decode(port) {
            self.write_pm(now, offset, value);
        } else if !self.write_bar(now, Space::Io, u64::from(port), Width::B1, u64::from(value))
            && !known_absent(port)
        {
            self.state.unclaimed.ports += 1;
        }
    }
}

/// Whether an access lies within the PCI configuration data register.
const fn is_pci_data(port: u16, width: Width) -> bool {
    port >= PCI_DATA_PORT && port as u64 + width.bytes() <= PCI_DATA_PORT as u64 + 4
}

/// Ports of the IDE channels.
const fn is_ide(port: u16) -> bool {
    matches!(port, 0x1f0..=0x1f7 | 0x170..=0x177 | 0x3f6 | 0x376)
}

/// Ports of devices this board does not have, which every operating system looks for or uses as a delay: DMA controllers
/// and page registers, floppy and hard disk controllers, printer and further serial ports, Super I/O configuration.
const fn known_absent(port: u16) -> bool {
    matches!(
        port,
        0x00..=0x1f
            | 0x2e
            | 0x2f
            | 0x4e
            | 0x4f
            | 0x80..=0x8f
            | 0xc0..=0xdf
            | 0xed
            | 0xf0
            | 0xf1
            | 0x170..=0x177
            | 0x1f0..=0x1f7
            | 0x278..=0x27f
            | 0x2e8..=0x2ef
            | 0x376
            | 0x378..=0x37f
            | 0x3e8..=0x3f7
    )
}
