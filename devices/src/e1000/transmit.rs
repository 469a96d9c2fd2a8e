//! The transmitter: descriptors, checksums, and frames cut into segments (3.3 to 3.5).

use super::checksum::{Place, set_u16, sum, u16_at};
use super::interrupts::{TRANSMIT_DONE, TRANSMIT_EMPTY};
use super::registers::TransmitRegister;
use super::ring::{DESCRIPTOR, Ring};
use crate::dma::Memory;
use serde::{Deserialize, Serialize};

/// TCTL: enable.
const ENABLE: u32 = 1 << 1;

/// Descriptors done in one call, and the virtual time until the next if there are more.
const BURST: u32 = 1024;
pub(super) const BURST_NS: u64 = 10_000;

/// Commands of a descriptor: end of packet, insert checksum (legacy), cut into segments (others), report status, not a legacy
/// descriptor, insert a VLAN tag.
const END_OF_PACKET: u8 = 1;
const LEGACY_CHECKSUM: u8 = 1 << 2;
const SEGMENT: u8 = 1 << 2;
const REPORT: u8 = 1 << 3;
const EXTENDED: u8 = 1 << 5;
const VLAN: u8 = 1 << 6;
/// Type of a data descriptor; that of a context descriptor is zero.
const DATA: u8 = 1;
/// Commands of a context descriptor: TCP, not UDP; IPv4, not IPv6.
const TCP: u8 = 1;
const IPV4: u8 = 1 << 1;
/// Options of a data descriptor: insert the IP checksum, that of TCP or UDP.
const IP_CHECKSUM: u8 = 1;
const TRANSPORT_CHECKSUM: u8 = 1 << 1;

/// Bytes that one packet may have before it is cut up: 64 KiB of IP and its headers.
const LONGEST_PACKET: usize = 65535 + 256;
/// Longest frame sent (3.3.2).
const LONGEST_FRAME: usize = 16288;
/// FIN and PSH are for the last segment alone.
const LAST_ONLY: u8 = 0x09;

/// What a context descriptor says (3.3.6, 3.3.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Context {
    ip: Place,
    transport: Place,
    is_tcp: bool,
    is_ipv4: bool,
    header: u8,
    segment: u16,
}

/// A packet of which not all descriptors have come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Packet {
    bytes: Vec<u8>,
    too_long: bool,
    /// The options of its first data descriptor.
    options: u8,
    segmented: bool,
    begun: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transmit {
    control: u32,
    ring: Ring,
    kept: [u32; 8],
    context: Context,
    packet: Packet,
    causes: u32,
}

impl Transmit {
    pub fn read(&self, register: TransmitRegister) -> u32 {
        match register {
            TransmitRegister::Control => self.control,
            TransmitRegister::Ring(register) => self.ring.read(register),
            TransmitRegister::Kept(n) => self.kept[usize::from(n) % self.kept.len()],
        }
    }

    pub fn write(&mut self, register: TransmitRegister, value: u32) {
        match register {
            TransmitRegister::Control => self.control = value,
            TransmitRegister::Ring(register) => self.ring.write(register, value),
            TransmitRegister::Kept(n) => {
                let n = usize::from(n) % self.kept.len();
                self.kept[n] = value;
            }
        }
    }

    /// Whether a descriptor waits to be done.
    pub fn has_work(&self) -> bool {
        self.control & ENABLE != 0 && self.ring.given() != 0
    }

    /// The interrupt causes since the last call.
    pub fn take_causes(&mut self) -> u32 {
        std::mem::take(&mut self.causes)
    }

    /// Does what waits, and hands over the frames that it makes. Whether there is more to do, a little later.
    pub fn run(&mut self, memory: &mut dyn Memory, mut send: impl FnMut(Vec<u8>)) -> bool {
        let mut left = BURST;
        let any = self.has_work();
        while self.has_work() && left != 0 {
            left -= 1;
            let at = self.ring.take();
            let mut descriptor = [0; DESCRIPTOR as usize];
            if memory.read(at, &mut descriptor) {
                self.descriptor(at, descriptor, memory, &mut send);
            }
        }
        let more = self.has_work();
        if any && !more {
            self.causes |= TRANSMIT_EMPTY;
        }
        more
    }

    fn descriptor(
        &mut self,
        at: u64,
        bytes: [u8; 16],
        memory: &mut dyn Memory,
        send: &mut impl FnMut(Vec<u8>),
    ) {
        let command = bytes[11];
        match (command & EXTENDED != 0, bytes[10] >> 4) {
            (false, _) => self.legacy(&bytes, memory, send),
            (true, DATA) => self.data(&bytes, memory, send),
            (true, _) => self.set_context(&bytes),
        }
        if command & REPORT != 0 {
            memory.write(at.wrapping_add(12), &[bytes[12] | 1]);
            self.causes |= TRANSMIT_DONE;
        }
    }

    fn set_context(&mut self, bytes: &[u8; 16]) {
        let place = |n: usize| Place {
            start: bytes[n],
            at: bytes[n + 1],
            end: u16::from_le_bytes([bytes[n + 2], bytes[n + 3]]),
        };
        self.context = Context {
            ip: place(0),
            transport: place(4),
            is_tcp: bytes[11] & TCP != 0,
            is_ipv4: bytes[11] & IPV4 != 0,
            header: bytes[13],
            segment: u16::from_le_bytes([bytes[14], bytes[15]]),
        };
    }

    fn legacy(&mut self, bytes: &[u8; 16], memory: &mut dyn Memory, send: &mut impl FnMut(Vec<u8>)) {
        self.packet.begun = true;
        self.gather(bytes, usize::from(u16::from_le_bytes([bytes[8], bytes[9]])), memory);
        if bytes[11] & END_OF_PACKET == 0 {
            return;
        }
        let mut packet = std::mem::take(&mut self.packet);
        if bytes[11] & LEGACY_CHECKSUM != 0 {
            Place { start: bytes[13], at: bytes[10], end: 0 }.insert(&mut packet.bytes, false);
        }
        finish(packet.bytes, packet.too_long, tag(bytes), send);
    }

    fn data(&mut self, bytes: &[u8; 16], memory: &mut dyn Memory, send: &mut impl FnMut(Vec<u8>)) {
        if !std::mem::replace(&mut self.packet.begun, true) {
            self.packet.options = bytes[13];
            self.packet.segmented = bytes[11] & SEGMENT != 0;
        }
        let len = u32::from_le_bytes([bytes[8], bytes[9], bytes[10] & 15, 0]);
        self.gather(bytes, len as usize, memory);
        if bytes[11] & END_OF_PACKET == 0 {
            return;
        }
        let packet = std::mem::take(&mut self.packet);
        for frame in self.context.frames(packet.bytes, packet.segmented, packet.options) {
            finish(frame, packet.too_long, tag(bytes), send);
        }
    }

    /// Adds a descriptor's buffer to the packet. What lies outside memory reads as zeros.
    fn gather(&mut self, bytes: &[u8; 16], len: usize, memory: &mut dyn Memory) {
        let from = u64::from_le_bytes([
            bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
        ]);
        let begin = self.packet.bytes.len();
        self.packet.too_long |= begin + len > LONGEST_PACKET;
        if self.packet.too_long {
            return;
        }
        self.packet.bytes.resize(begin + len, 0);
        if !memory.read(from, &mut self.packet.bytes[begin..]) {
            self.packet.bytes[begin..].fill(0);
        }
    }
}

/// The VLAN tag that a descriptor wants.
fn tag(bytes: &[u8; 16]) -> Option<[u8; 2]> {
    (bytes[11] & VLAN != 0).then_some([bytes[15], bytes[14]])
}

/// Sends a frame, with a VLAN tag behind its addresses if there is one. One that is no frame is dropped.
fn finish(mut frame: Vec<u8>, too_long: bool, tag: Option<[u8; 2]>, send: &mut impl FnMut(Vec<u8>)) {
    if too_long || frame.len() < 14 || frame.len() > LONGEST_FRAME {
        return;
    }
    if let Some([high, low]) = tag {
        frame.splice(12..12, [0x81, 0x00, high, low]);
    }
    send(frame);
}

impl Context {
    /// The frames that a packet becomes, with their checksums. None where the context makes no sense.
    fn frames(&self, packet: Vec<u8>, segmented: bool, options: u8) -> Vec<Vec<u8>> {
        let mut frames = if segmented { self.segments(&packet, options) } else { vec![packet] };
        for frame in &mut frames {
            if options & IP_CHECKSUM != 0 {
                self.ip.insert(frame, false);
            }
            if options & TRANSPORT_CHECKSUM != 0 {
                self.transport.insert(frame, !self.is_tcp);
            }
        }
        frames
    }

    /// Cuts a packet up: each frame has the header, made right for its part of the payload (3.5.2).
    fn segments(&self, packet: &[u8], options: u8) -> Vec<Vec<u8>> {
        let Some((header, payload)) = packet.split_at_checked(usize::from(self.header)) else {
            return Vec::new();
        };
        if self.segment == 0 || payload.is_empty() {
            return Vec::new();
        }
        let parts = payload.chunks(usize::from(self.segment));
        let last = parts.len() - 1;
        let frame = |(n, part): (usize, &[u8])| {
            let mut frame = [header, part].concat();
            self.adjust(&mut frame, n, n == last);
            if options & TRANSPORT_CHECKSUM != 0 {
                self.add_length(&mut frame);
            }
            frame
        };
        parts.enumerate().map(frame).collect()
    }

    /// Lengths, identification, sequence number and flags of segment `n`.
    fn adjust(&self, frame: &mut [u8], n: usize, last: bool) {
        let (ip, transport) = (usize::from(self.ip.start), usize::from(self.transport.start));
        let len = frame.len();
        if self.is_ipv4 {
            set_u16(frame, ip + 2, len.saturating_sub(ip) as u16);
            if let Some(id) = u16_at(frame, ip + 4) {
                set_u16(frame, ip + 4, id.wrapping_add(n as u16));
            }
        } else {
            const IPV6_HEADER: usize = 40;
            set_u16(frame, ip + 4, len.saturating_sub(ip + IPV6_HEADER) as u16);
        }
        if !self.is_tcp {
            set_u16(frame, transport + 4, len.saturating_sub(transport) as u16);
            return;
        }
        if let Some(sequence) = frame.get_mut(transport + 4..).and_then(|rest| rest.first_chunk_mut()) {
            let offset = n as u32 * u32::from(self.segment);
            *sequence = u32::from_be_bytes(*sequence).wrapping_add(offset).to_be_bytes();
        }
        if let (Some(flags), false) = (frame.get_mut(transport + 13), last) {
            *flags &= !LAST_ONLY;
        }
    }

    /// The driver's sum of the pseudo header has no length, which is another for each segment.
    fn add_length(&self, frame: &mut [u8]) {
        let at = usize::from(self.transport.at);
        let len = frame.len().saturating_sub(usize::from(self.transport.start)) as u16;
        if let Some(pseudo) = u16_at(frame, at) {
            let both = [pseudo.to_be_bytes(), len.to_be_bytes()].concat();
            set_u16(frame, at, sum(&both));
        }
    }
}
