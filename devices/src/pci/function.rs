//! What the bus asks of a function in a slot, and the list of functions there are.

use crate::ahci::Ahci;
use crate::bus::Width;
use crate::chips::lapic::InterruptMessage;
use crate::dma::Masters;
use crate::e1000::E1000;
use crate::ide::PiixIde;
use crate::input::{Backlog, Input};
use crate::ne2000::Ne2000;
use crate::output::Output;
use crate::pci::config_space::ConfigSpace;
use crate::virtio::VirtioPci;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// A function as the bus sees it.
pub trait PciFunction {
    /// Its configuration space.
    fn config(&self) -> &ConfigSpace;

    /// Its configuration space, to change.
    fn config_mut(&mut self) -> &mut ConfigSpace;

    /// The guest reads its configuration space; does not go beyond the end of the double word at `offset`.
    fn read_config(&mut self, _now: VirtualTime, offset: u8, width: Width) -> u32 {
        self.config().read(offset, width)
    }

    /// The guest writes its configuration space; does not go beyond the end of the double word at `offset`.
    fn write_config(&mut self, _now: VirtualTime, offset: u8, width: Width, value: u32) {
        for (n, byte) in (0..).zip(value.to_le_bytes().into_iter().take(width.bytes() as usize)) {
            self.config_mut().write(offset + n, byte);
        }
    }

    /// Whether it asserts its interrupt pin. (The bus looks at the interrupt disable bit.)
    fn interrupt(&self) -> bool;

    /// The guest reads `width` at `offset` behind base address register `bar`.
    fn read(&mut self, now: VirtualTime, bar: u8, offset: u64, width: Width) -> u64;

    /// The guest writes `width` at `offset` behind base address register `bar`.
    fn write(&mut self, now: VirtualTime, bar: u8, offset: u64, width: Width, value: u64);

    /// When it wants [`PciFunction::serve`]: a time that has come for work that waits already. After that call it is later
    /// than the call's `now`.
    fn service_at(&self) -> Option<VirtualTime> {
        None
    }

    /// Does the work that is due at `now`, with what a bus master can reach. What it says goes to the end of `outputs`.
    fn serve(&mut self, _now: VirtualTime, _masters: &mut Masters<'_>, _outputs: &mut Vec<Output>) {}

    /// Something arrives from outside. Whether it is for this function.
    fn receive(&mut self, _now: VirtualTime, _input: &Input) -> bool {
        false
    }

    /// Bytes that have arrived for the guest, which has yet to take them.
    fn backlog(&self, _of: Backlog) -> usize {
        0
    }

    /// The next message that it has sent to a local APIC, once.
    fn take_message(&mut self) -> Option<InterruptMessage> {
        None
    }
}

/// A function on the bus beside the chip set's own. A new kind of device is a new variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Function {
    /// A virtio device.
    Virtio(Box<VirtioPci>),
    /// The PIIX3's IDE controller.
    Ide(Box<PiixIde>),
    /// An Intel network card.
    E1000(Box<E1000>),
    /// An AHCI host bus adapter.
    Ahci(Box<Ahci>),
    /// An NE2000.
    Ne2000(Box<Ne2000>),
    /// Stands for a device in tests: two registers behind a memory and a port window, and an interrupt.
    #[cfg(test)]
    Probe(Box<super::bus::tests::Probe>),
}

impl Function {
    /// The function.
    #[must_use]
    pub fn get(&self) -> &dyn PciFunction {
        match *self {
            Function::Virtio(ref virtio) => &**virtio,
            Function::Ide(ref ide) => &**ide,
            Function::E1000(ref e1000) => &**e1000,
            Function::Ahci(ref ahci) => &**ahci,
            Function::Ne2000(ref ne2000) => &**ne2000,
            #[cfg(test)]
            Function::Probe(ref probe) => &**probe,
        }
    }

    /// The function, to change.
    pub fn get_mut(&mut self) -> &mut dyn PciFunction {
        match *self {
            Function::Virtio(ref mut virtio) => &mut **virtio,
            Function::Ide(ref mut ide) => &mut **ide,
            Function::E1000(ref mut e1000) => &mut **e1000,
            Function::Ahci(ref mut ahci) => &mut **ahci,
            Function::Ne2000(ref mut ne2000) => &mut **ne2000,
            #[cfg(test)]
            Function::Probe(ref mut probe) => &mut **probe,
        }
    }
}
