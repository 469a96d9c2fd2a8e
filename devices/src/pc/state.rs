//! The board's state: its chips, and how power-on and reset put them together.

use crate::chips::hpet::Hpet;
use crate::chips::i8042::I8042;
use crate::chips::ioapic::IoApic;
use crate::chips::lapic::Lapic;
use crate::chips::mc146818::Mc146818;
use crate::chips::pic8259::Pic8259;
use crate::chips::pit8254::Pit8254;
use crate::chips::pm::Pm;
use crate::chips::uart16550::Uart16550;
use crate::dma::{Master, Masters};
use crate::fw_cfg::FwCfg;
use crate::input::{Backlog, Input};
use crate::output::Output;
use crate::pc::{PcConfig, Unclaimed};
use crate::pci::PciBus;
use crate::vga::Vga;
use crate::virtio::VirtioMmio;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// Interrupts that are level triggered on a machine without firmware: PCI links and ACPI events.
const LEVEL_IRQS: u16 = 1 << 9 | 1 << 10 | 1 << 11;

/// The board's whole state. Take it after [`Pc::advance`](crate::Pc::advance) to the same instant, so that equal machines
/// have equal states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcState {
    pub(crate) config: PcConfig,
    pub(crate) pic: Pic8259,
    pub(crate) pit: Pit8254,
    pub(crate) ioapic: IoApic,
    pub(crate) lapic: Lapic,
    pub(crate) rtc: Mc146818,
    pub(crate) keyboard: I8042,
    pub(crate) hpet: Hpet,
    pub(crate) pm: Pm,
    pub(crate) uarts: [Uart16550; 2],
    pub(crate) vga: Vga,
    pub(crate) pci: PciBus,
    pub(crate) fw_cfg: FwCfg,
    pub(crate) a20: bool,
    /// Reset control register (0xCF9).
    pub(crate) reset_control: u8,
    /// ISA interrupts as their devices drive them.
    pub(crate) isa_lines: u16,
    /// ISA interrupts as PCI links drive them.
    pub(crate) routed_lines: u16,
    /// PCI interrupt links.
    pub(crate) links: u8,
    pub(crate) unclaimed: Unclaimed,
    /// The pixel at which an absolute motion was last, for the mouse to go on from.
    pub(crate) pointer: Option<(i32, i32)>,
    pub(crate) virtio: Vec<VirtioMmio>,
}

impl PcState {
    /// The board at power-on.
    pub(crate) fn new(config: &PcConfig) -> Self {
        let mut state = Self {
            config: config.clone(),
            pic: Pic8259::default(),
            pit: Pit8254::default(),
            ioapic: IoApic::default(),
            lapic: Lapic::new(0),
            rtc: Mc146818::default(),
            keyboard: I8042::default(),
            hpet: Hpet::default(),
            pm: Pm::default(),
            uarts: Default::default(),
            vga: Vga::text_mode(),
            pci: PciBus::new(config),
            fw_cfg: FwCfg::default(),
            a20: true,
            reset_control: 0,
            isa_lines: 0,
            routed_lines: 0,
            links: 0,
            unclaimed: Unclaimed::default(),
            pointer: None,
            virtio: config.in_memory(),
        };
        state.reset(VirtualTime::ZERO);
        if let Some(mode) = &config.display.mode {
            state.vga = Vga::in_mode(mode);
        }
        fill_cmos(&mut state.rtc, config);
        state
    }

    /// What the reset line does. The clock, CMOS memory, video memory and what peers are about to send go on.
    pub(crate) fn reset(&mut self, now: VirtualTime) {
        let firmware = self.config.firmware;
        self.pic = if firmware { Pic8259::default() } else { Pic8259::initialised(LEVEL_IRQS) };
        self.pit.reset(now);
        self.ioapic = IoApic::default();
        self.lapic = Lapic::new(0);
        self.rtc.reset();
        self.keyboard = I8042::default();
        self.hpet = Hpet::default();
        self.pm = Pm::new(now, !firmware);
        self.uarts.iter_mut().for_each(Uart16550::reset);
        self.pci = PciBus::new(&self.config);
        self.vga.reset();
        self.fw_cfg = FwCfg::default();
        self.a20 = true;
        self.reset_control = 0;
        self.isa_lines = 0;
        self.routed_lines = 0;
        self.links = 0;
        self.virtio = self.config.in_memory();
    }
}

/// Bus masters: the functions on the PCI bus, and the virtio devices in memory.
impl PcState {
    /// When the next one wants to be served.
    pub(crate) fn service_at(&self) -> Option<VirtualTime> {
        let virtio = self.virtio.iter().filter_map(VirtioMmio::service_at);
        virtio.chain(self.pci.service_at()).min()
    }

    /// Lets every one do the work that is due.
    pub(crate) fn serve(&mut self, now: VirtualTime, masters: &mut Masters<'_>, outputs: &mut Vec<Output>) {
        self.pci.serve(now, masters, outputs);
        for (n, device) in self.virtio.iter_mut().enumerate() {
            if device.service_at().is_some_and(|at| at <= now) {
                masters.memory.begin(Master::in_memory(n));
                device.serve(now, masters, outputs);
            }
        }
    }

    /// Something arrives from outside. Whether it is for one of them.
    pub(crate) fn receive(&mut self, now: VirtualTime, input: &Input) -> bool {
        self.pci.receive(now, input) || self.virtio.iter_mut().any(|device| device.receive(now, input))
    }

    /// Bytes that have arrived for the guest, which has yet to take them.
    pub(crate) fn backlog(&self, of: Backlog) -> usize {
        let virtio = self.virtio.iter().map(|device| device.transport().device().backlog(of));
        virtio.sum::<usize>() + self.pci.backlog(of)
    }
}

/// The memory sizes and boot order where set-up software keeps them (the locations SeaBIOS and other BIOSes read).
fn fill_cmos(rtc: &mut Mc146818, config: &PcConfig) {
    let kib = config.memory_bytes >> 10;
    let extended = kib.saturating_sub(1024).min(0xffff) as u16;
    let above_16m = (config.low_ram() >> 10).saturating_sub(16 << 10) / 64;
    let above_16m = above_16m.min(0xffff) as u16;
    let above_4g = (config.high_ram() >> 16).min(0xff_ffff) as u32;
    let mut set16 = |index: u8, value: u16| {
        rtc.set_memory(index, value as u8);
        rtc.set_memory(index + 1, (value >> 8) as u8);
    };
    set16(0x15, 640);
    set16(0x17, extended);
    set16(0x30, extended);
    set16(0x34, above_16m);
    set16(0x5b, above_4g as u16);
    rtc.set_memory(0x5d, (above_4g >> 16) as u8);
    // An FPU, no floppy drive; boot from disk, then CD.
    rtc.set_memory(0x14, 0x02);
    rtc.set_memory(0x38, 0x00);
    rtc.set_memory(0x3d, 0x32);
    rtc.set_memory(0x5f, config.cpus.saturating_sub(1));
}
