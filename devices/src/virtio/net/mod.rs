//! Network device (5.1): one pair of queues, no offloads, receive buffers that can be merged.

#[cfg(test)]
mod tests;

use super::{Device, Fault, Io};
use crate::ethernet::Arrivals;
use crate::input::{Backlog, Input};
use crate::output::Output;
use crate::pc::NicConfig;
use serde::{Deserialize, Serialize};
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_MAC, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_MTU, VIRTIO_NET_F_STATUS,
};

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const QUEUE_PAIRS: u16 = 1;
const QUEUE_SIZE: u16 = 256;
/// Bytes of the header before each frame, with the number of merged buffers last.
const HEADER: usize = 12;
const NUM_BUFFERS: usize = 10;
/// Bytes that a frame has beside its packet: addresses, type, a VLAN tag.
const AROUND_PACKET: usize = 18;
/// Longest frame: what the longest packet of IP needs.
const LONGEST_FRAME: u64 = 65535 + AROUND_PACKET as u64;
/// The link is up.
const STATUS_LINK_UP: u16 = 1;

/// The device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Net {
    config: NicConfig,
    /// Frames that wait for receive buffers, in the order of their arrival.
    waiting: Arrivals,
}

impl Net {
    /// A network card.
    #[must_use]
    pub fn new(config: &NicConfig) -> Self {
        Self { config: config.clone(), waiting: Arrivals::default() }
    }

    fn transmit(&self, io: &mut Io<'_>) -> Result<(), Fault> {
        for _ in 0..io.most(TRANSMIT) {
            let Some(head) = io.pop(TRANSMIT)? else { break };
            let chain = io.chain(TRANSMIT, head)?;
            let mut reader = chain.reader();
            reader.skip(HEADER as u64);
            let len = reader.left();
            if len > 0 && len <= LONGEST_FRAME {
                let mut bytes = vec![0; len as usize];
                reader.read(io.memory, &mut bytes)?;
                io.outputs.push(Output::Frame { nic: self.config.nic, bytes });
            }
            io.push(TRANSMIT, head, 0)?;
        }
        Ok(())
    }

    fn receive_waiting(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        let merge = io.features >> VIRTIO_NET_F_MRG_RXBUF & 1 != 0;
        let mtu = self.config.mtu.filter(|_| io.features >> VIRTIO_NET_F_MTU & 1 != 0);
        while let Some(frame) = self.waiting.first() {
            // Who was told of an MTU is to be spared longer packets (5.1.4.1).
            if mtu.is_some_and(|mtu| frame.len() > usize::from(mtu) + AROUND_PACKET) {
                self.waiting.drop_first();
                continue;
            }
            let mut bytes = vec![0; HEADER];
            bytes.extend(frame);
            if !deliver(&mut bytes, merge, io)? {
                break;
            }
            self.waiting.drop_first();
        }
        Ok(())
    }
}

/// Puts a frame with its header into as many receive buffers as it takes. False if there are not enough now.
fn deliver(bytes: &mut [u8], merge: bool, io: &mut Io<'_>) -> Result<bool, Fault> {
    let mut buffers = Vec::new();
    let mut room = 0;
    while room < bytes.len() as u64 {
        if buffers.len() >= usize::from(io.most(RECEIVE)) {
            break;
        }
        let Some(head) = io.pop(RECEIVE)? else {
            io.unpop(RECEIVE, buffers.len() as u16);
            return Ok(false);
        };
        let chain = io.chain(RECEIVE, head)?;
        room += chain.writable_len();
        buffers.push((head, chain));
        if !merge {
            break;
        }
    }
    // What does not fit is lost, and its buffers are given back empty.
    let fits = room >= bytes.len() as u64;
    bytes[NUM_BUFFERS..HEADER].copy_from_slice(&(buffers.len() as u16).to_le_bytes());
    let mut rest = &bytes[..if fits { bytes.len() } else { 0 }];
    for (head, chain) in buffers {
        let done = chain.writer().write(io.memory, rest)?;
        rest = &rest[done..];
        io.push(RECEIVE, head, done as u32)?;
    }
    Ok(true)
}

impl Device for Net {
    fn id(&self) -> u16 {
        VIRTIO_ID_NET as u16
    }

    fn class(&self) -> u32 {
        // Ethernet controller.
        0x02_0000
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; 2]
    }

    fn features(&self) -> u64 {
        let mtu = u64::from(self.config.mtu.is_some()) << VIRTIO_NET_F_MTU;
        1 << VIRTIO_NET_F_MAC | 1 << VIRTIO_NET_F_STATUS | 1 << VIRTIO_NET_F_MRG_RXBUF | mtu
    }

    fn config(&self) -> Vec<u8> {
        let mut config = self.config.mac.to_vec();
        config.extend(STATUS_LINK_UP.to_le_bytes());
        if let Some(mtu) = self.config.mtu {
            config.extend(QUEUE_PAIRS.to_le_bytes());
            config.extend(mtu.to_le_bytes());
        }
        config
    }

    fn reset(&mut self) {
        self.waiting.clear();
    }

    fn serve(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        self.transmit(io)?;
        self.receive_waiting(io)
    }

    /// Nobody hears a frame that arrives before a driver does.
    fn receive(&mut self, input: &Input, driven: bool) -> bool {
        match input {
            Input::Frame { nic, bytes } if *nic == self.config.nic => {
                if driven && bytes.len() as u64 <= LONGEST_FRAME {
                    self.waiting.push(bytes);
                }
                true
            }
            Input::Frame { .. }
            | Input::Serial { .. }
            | Input::Key { .. }
            | Input::WallClock { .. }
            | Input::PowerButton
            | Input::Time { .. }
            | Input::State { .. }
            | Input::Flags { .. }
            | Input::Pointer(_)
            | Input::Console { .. } => false,
        }
    }

    fn backlog(&self, of: Backlog) -> usize {
        match of {
            Backlog::Nic(nic) if nic == self.config.nic => self.waiting.bytes(),
            Backlog::Nic(_) | Backlog::Console(_) => 0,
        }
    }
}
