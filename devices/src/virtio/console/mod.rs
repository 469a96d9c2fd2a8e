//! Console device (5.3) with any number of ports.

#[cfg(test)]
mod tests;

use super::{Device, Fault, Io};
use crate::input::{Backlog, Input};
use crate::output::Output;
use crate::pc::PortConfig;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use virtio_bindings::virtio_ids::VIRTIO_ID_CONSOLE;

/// Feature: there can be more ports than one, and a pair of queues to talk about them.
const F_MULTIPORT: u32 = 1;
const QUEUE_SIZE: u16 = 64;
const CONTROL_RECEIVE: usize = 2;
const CONTROL_TRANSMIT: usize = 3;
/// Most bytes in one output.
const MOST_BYTES: usize = 4096;
/// Most messages that wait for the driver; what answers more questions than that is lost.
const MOST_MESSAGES: usize = 1024;

/// What control messages are about (5.3.6.2).
mod event {
    pub const DEVICE_READY: u16 = 0;
    pub const DEVICE_ADD: u16 = 1;
    pub const PORT_READY: u16 = 3;
    pub const CONSOLE_PORT: u16 = 4;
    pub const PORT_OPEN: u16 = 6;
    pub const PORT_NAME: u16 = 7;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Port {
    config: PortConfig,
    /// Bytes that wait for the driver's buffers.
    waiting: VecDeque<u8>,
}

/// The device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    ports: Vec<Port>,
    /// Control messages that wait for the driver's buffers.
    messages: VecDeque<Vec<u8>>,
}

/// Number of the queue by which the driver receives a port's bytes; it sends by the next.
const fn receive_queue(port: usize) -> usize {
    if port == 0 { 0 } else { 2 + 2 * port }
}

impl Console {
    /// A device with these ports.
    #[must_use]
    pub fn new(ports: &[PortConfig]) -> Self {
        let port = |config: &PortConfig| Port { config: config.clone(), waiting: VecDeque::new() };
        Self { ports: ports.iter().map(port).collect(), messages: VecDeque::new() }
    }

    fn send(&self, n: usize, io: &mut Io<'_>) -> Result<(), Fault> {
        let queue = receive_queue(n) + 1;
        for _ in 0..io.most(queue) {
            let Some(head) = io.pop(queue)? else { break };
            let chain = io.chain(queue, head)?;
            let mut reader = chain.reader();
            while let Some(piece) = reader.piece(MOST_BYTES) {
                let mut bytes = vec![0; piece.len as usize];
                super::chain::read(io.memory, piece.addr, &mut bytes)?;
                io.outputs.push(Output::Console { port: self.ports[n].config.number, bytes });
            }
            io.push(queue, head, 0)?;
        }
        Ok(())
    }

    fn receive_waiting(&mut self, n: usize, io: &mut Io<'_>) -> Result<(), Fault> {
        let queue = receive_queue(n);
        let waiting = &mut self.ports[n].waiting;
        while !waiting.is_empty() {
            let Some(head) = io.pop(queue)? else { break };
            let chain = io.chain(queue, head)?;
            let len = waiting.len().min(usize::try_from(chain.writable_len()).unwrap_or(usize::MAX));
            let bytes: Vec<u8> = waiting.drain(..len).collect();
            chain.writer().write(io.memory, &bytes)?;
            io.push(queue, head, len as u32)?;
            // A buffer without room takes nothing for ever.
            if len == 0 {
                break;
            }
        }
        Ok(())
    }

    fn control(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        for _ in 0..io.most(CONTROL_TRANSMIT) {
            let Some(head) = io.pop(CONTROL_TRANSMIT)? else { break };
            let chain = io.chain(CONTROL_TRANSMIT, head)?;
            let [a, b, c, d, e, f, g, h] = chain.reader().take::<8>(io.memory)?;
            let value = u16::from_le_bytes([g, h]);
            self.told(u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]), value);
            io.push(CONTROL_TRANSMIT, head, 0)?;
        }
        for _ in 0..io.most(CONTROL_RECEIVE) {
            if self.messages.is_empty() {
                break;
            }
            let Some(head) = io.pop(CONTROL_RECEIVE)? else { break };
            let chain = io.chain(CONTROL_RECEIVE, head)?;
            let Some(message) = self.messages.pop_front() else { break };
            let written = chain.writer().write(io.memory, &message)?;
            io.push(CONTROL_RECEIVE, head, written as u32)?;
        }
        Ok(())
    }

    /// The driver says something about a port.
    fn told(&mut self, id: u32, event: u16, value: u16) {
        if event == event::DEVICE_READY && value == 1 {
            for n in 0..self.ports.len() {
                self.say(n as u32, event::DEVICE_ADD, 1, &[]);
            }
            return;
        }
        let Some(port) = usize::try_from(id).ok().and_then(|id| self.ports.get(id)) else { return };
        if event == event::PORT_READY && value == 1 {
            let config = port.config.clone();
            if config.console {
                self.say(id, event::CONSOLE_PORT, 1, &[]);
            }
            self.say(id, event::PORT_NAME, 1, config.name.as_bytes());
            self.say(id, event::PORT_OPEN, 1, &[]);
        }
    }

    fn say(&mut self, id: u32, event: u16, value: u16, more: &[u8]) {
        if self.messages.len() < MOST_MESSAGES {
            let mut message = id.to_le_bytes().to_vec();
            message.extend(event.to_le_bytes());
            message.extend(value.to_le_bytes());
            message.extend(more);
            self.messages.push_back(message);
        }
    }
}

impl Device for Console {
    fn id(&self) -> u16 {
        VIRTIO_ID_CONSOLE as u16
    }

    fn class(&self) -> u32 {
        // Simple communication controller, other.
        0x07_8000
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; 2 + 2 * self.ports.len().max(1)]
    }

    fn features(&self) -> u64 {
        1 << F_MULTIPORT
    }

    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; 12];
        config[4..8].copy_from_slice(&(self.ports.len() as u32).to_le_bytes());
        config
    }

    /// What waits for a port goes on waiting: the next driver reads it.
    fn reset(&mut self) {
        self.messages.clear();
    }

    fn serve(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        let multiport = io.features >> F_MULTIPORT & 1 != 0;
        if multiport {
            self.control(io)?;
        }
        let ports = if multiport { self.ports.len() } else { self.ports.len().min(1) };
        for n in 0..ports {
            self.send(n, io)?;
            self.receive_waiting(n, io)?;
        }
        Ok(())
    }

    fn receive(&mut self, input: &Input, _driven: bool) -> bool {
        match input {
            Input::Console { port, bytes } => {
                let found = self.ports.iter_mut().find(|own| own.config.number == *port);
                found.map(|own| own.waiting.extend(bytes)).is_some()
            }
            Input::Serial { .. }
            | Input::Key { .. }
            | Input::WallClock { .. }
            | Input::PowerButton
            | Input::Time { .. }
            | Input::State { .. }
            | Input::Flags { .. }
            | Input::Frame { .. }
            | Input::Pointer(_) => false,
        }
    }

    fn backlog(&self, of: Backlog) -> usize {
        match of {
            Backlog::Console(number) => {
                let own = self.ports.iter().find(|port| port.config.number == number);
                own.map_or(0, |port| port.waiting.len())
            }
            Backlog::Nic(_) => 0,
        }
    }
}
