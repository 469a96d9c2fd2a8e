//! The interrupt fabric: which pin is wired where, and when the engine has to look.

use crate::chips::hpet::{Event, Route};
use crate::chips::ioapic::PINS;
use crate::chips::lapic::InterruptMessage;
use crate::ide;
use crate::pc::{Pc, SCI_IRQ, VIRTIO_MMIO_FIRST_PIN};
use rrvmm_replay::VirtualTime;

/// The I/O APIC inputs that PCI links are wired to, from this one on.
const FIRST_LINK_PIN: u8 = 16;
const UART_IRQS: [u8; 2] = [4, 3];
const KEYBOARD_IRQ: u8 = 1;
const AUXILIARY_IRQ: u8 = 12;
const RTC_IRQ: u8 = 8;
const TIMER_IRQ: u8 = 0;

/// The I/O APIC input of an ISA interrupt: the timer is on 2, where the cascade would be.
const fn pin_of(irq: u8) -> u8 {
    if irq == TIMER_IRQ { 2 } else { irq }
}

/// The I/O APIC input of virtio device `n` in memory.
pub(crate) fn virtio_pin(n: usize) -> u8 {
    VIRTIO_MMIO_FIRST_PIN + (n & 3) as u8
}

impl Pc {
    /// Brings every chip to `now`, without telling the engine yet.
    pub(crate) fn catch_up(&mut self, now: VirtualTime) {
        let rose = self.state.pit.advance(now);
        if rose && !self.state.hpet.legacy() {
            self.pulse_irq(TIMER_IRQ);
        }
        for event in self.state.hpet.advance(now).into_iter().flatten() {
            self.hpet_event(event);
        }
        self.state.rtc.advance(now);
        self.state.pm.advance(now);
        self.state.uarts.iter_mut().for_each(|uart| uart.advance(now));
        self.state.lapic.advance(now);
        self.drive_lines();
    }

    /// Puts every device's interrupt pin on its line.
    pub(crate) fn drive_lines(&mut self) {
        self.set_irq(KEYBOARD_IRQ, self.state.keyboard.keyboard_irq());
        self.set_irq(AUXILIARY_IRQ, self.state.keyboard.auxiliary_irq());
        self.set_irq(RTC_IRQ, self.state.rtc.irq() && !self.state.hpet.legacy());
        self.set_irq(SCI_IRQ, self.state.pm.sci());
        self.drive_uart(0);
        self.drive_uart(1);
    }

    /// Brings a serial port to `now`: an interrupt that nobody was stopped for has to reach the latches before an access
    /// takes it back.
    pub(crate) fn catch_up_uart(&mut self, now: VirtualTime, n: usize) {
        self.state.uarts[n].advance(now);
        self.drive_uart(n);
    }

    /// Puts a serial port's interrupt pin on its line. OUT2 gates it.
    pub(crate) fn drive_uart(&mut self, n: usize) {
        let uart = &self.state.uarts[n];
        self.set_irq(UART_IRQS[n], uart.out2() && uart.intr());
    }

    /// Puts the PCI links on their lines: I/O APIC inputs, and the ISA interrupts they are routed to.
    pub(crate) fn drive_links(&mut self) {
        let links = self.state.pci.links();
        let changed = links ^ std::mem::replace(&mut self.state.links, links);
        for n in (0..4).filter(|n| changed >> n & 1 != 0) {
            self.set_pin(FIRST_LINK_PIN + n, links >> n & 1 != 0);
        }
        let routed = self.state.pci.isa_bridge().route(links);
        let before = std::mem::replace(&mut self.state.routed_lines, routed);
        for irq in (0..16).filter(|irq| (routed ^ before) >> irq & 1 != 0) {
            self.drive_irq(irq);
        }
    }

    /// A PCI function was accessed or served: delivers its interrupts, by pin and by message.
    pub(crate) fn after_pci_access(&mut self) {
        while let Some(message) = self.state.pci.take_message() {
            self.state.lapic.accept(message);
        }
        self.drive_links();
        self.drive_ide();
        if !self.state.virtio.is_empty() {
            self.drive_shared_pins();
        }
        self.settle();
    }

    /// Puts the IDE channels' interrupts on their lines.
    fn drive_ide(&mut self) {
        let Some(ide) = self.state.pci.ide() else { return };
        let levels = [ide.irq(0), ide.irq(1)];
        for (irq, level) in ide::IRQS.into_iter().zip(levels) {
            self.set_irq(irq, level);
        }
    }

    /// Puts the level triggered HPET timers and the virtio devices in memory on their lines.
    pub(crate) fn drive_shared_pins(&mut self) {
        for pin in VIRTIO_MMIO_FIRST_PIN..PINS {
            self.set_pin(pin, self.level(pin));
        }
    }

    /// Whether anything asserts an I/O APIC input that a timer and virtio devices share.
    fn level(&self, pin: u8) -> bool {
        let mut virtio = self.state.virtio.iter().enumerate();
        self.state.hpet.level(pin) || virtio.any(|(n, device)| virtio_pin(n) == pin && device.interrupt())
    }

    /// Ends a level triggered interrupt at the I/O APIC, which sends it again if its line is still up.
    pub(crate) fn end_of_interrupt(&mut self, vector: u8) {
        self.state.ioapic.end_of_interrupt(vector);
        for pin in 0..PINS {
            let message = self.state.ioapic.service(pin);
            self.send(message);
        }
    }

    /// Delivers what the I/O APIC sends.
    pub(crate) fn send(&mut self, message: Option<InterruptMessage>) {
        if let Some(message) = message {
            self.state.lapic.accept(message);
        }
    }

    pub(crate) fn pulse_irq(&mut self, irq: u8) {
        self.state.pic.pulse(irq);
        self.pulse_pin(pin_of(irq));
    }

    /// Recomputes what the engine asks for, and calls for its attention if that is news.
    pub(crate) fn settle(&mut self) {
        self.settle_interrupts();
        let deadline = self.earliest_deadline();
        // A later deadline can wait: stopping at the old one does no harm.
        self.attention |= deadline.is_some_and(|new| self.deadline.is_none_or(|old| new < old));
        self.deadline = deadline;
    }

    /// [`Self::settle`] after something that moves no deadline.
    pub(crate) fn settle_interrupts(&mut self) {
        let request = self.state.pic.intr();
        let lapic = &mut self.state.lapic;
        lapic.set_lint0(request);
        let interrupt = lapic.pending().is_some() || request && lapic.accepts_extint();
        let nmi = lapic.nmi_pending();
        self.attention |= interrupt != self.interrupt || nmi && !self.nmi;
        self.interrupt = interrupt;
        self.nmi = nmi;
    }

    fn set_irq(&mut self, irq: u8, level: bool) {
        let bit = 1 << irq;
        if (self.state.isa_lines & bit != 0) != level {
            self.state.isa_lines ^= bit;
            self.drive_irq(irq);
        }
    }

    /// An ISA interrupt's line is up when its device or a PCI link routed to it says so, at the 8259s and at the I/O APIC. The links have inputs
    /// of their own there too, which our ACPI tables name; SeaBIOS's name the interrupts that it routes them to.
    fn drive_irq(&mut self, irq: u8) {
        let device = self.state.isa_lines >> irq & 1 != 0;
        let link = self.state.routed_lines >> irq & 1 != 0;
        self.state.pic.set_line(irq, device || link);
        self.set_pin(pin_of(irq), device || link);
    }

    fn set_pin(&mut self, pin: u8, level: bool) {
        let message = self.state.ioapic.set_line(pin, level);
        self.send(message);
    }

    fn pulse_pin(&mut self, pin: u8) {
        self.set_pin(pin, true);
        self.set_pin(pin, false);
    }

    fn hpet_event(&mut self, event: Event) {
        match (event.route, event.level) {
            (Route::Legacy(irq), _) => self.pulse_irq(irq),
            (Route::Pin(pin), true) => self.set_pin(pin, self.level(pin)),
            (Route::Pin(pin), false) => self.pulse_pin(pin),
        }
    }

    /// Whether anything comes of an edge on an ISA interrupt.
    fn listens_to(&self, irq: u8) -> bool {
        let pic = self.state.pic.listens_to(irq) && self.state.lapic.lint0_open();
        pic || self.state.ioapic.listens_to(pin_of(irq))
    }

    fn earliest_deadline(&self) -> Option<VirtualTime> {
        let state = &self.state;
        let legacy = state.hpet.legacy();
        let if_heard = |irq: u8, at: Option<VirtualTime>| at.filter(|_| self.listens_to(irq));
        let mut earliest = state.lapic.deadline();
        let mut consider = |at: Option<VirtualTime>| {
            earliest = match (earliest, at) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        };
        if !legacy {
            consider(if self.listens_to(TIMER_IRQ) { state.pit.deadline() } else { None });
            consider(if_heard(RTC_IRQ, state.rtc.deadline()));
        }
        for n in 0..3 {
            consider(state.hpet.deadline(n).and_then(|(route, at)| match route {
                Route::Legacy(irq) => if_heard(irq, Some(at)),
                Route::Pin(pin) => Some(at).filter(|_| state.ioapic.listens_to(pin)),
            }));
        }
        consider(if_heard(SCI_IRQ, state.pm.deadline()));
        for (uart, irq) in state.uarts.iter().zip(UART_IRQS) {
            if uart.out2() {
                consider(if_heard(irq, uart.deadline()));
            }
        }
        consider(state.service_at());
        earliest
    }
}
