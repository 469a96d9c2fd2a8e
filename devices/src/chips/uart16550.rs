//! PC16550D UART (National Semiconductor datasheet, section 8, "Registers").
//!
//! Transmission takes no time: the transmitter is always empty, as with a chip whose peer is infinitely fast. Reception
//! takes the time the divisor says, and never overruns: what does not fit waits in a backlog on the peer's side.

use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Bytes the receiver FIFO holds.
const FIFO_SIZE: usize = 16;
/// The input clock over 16: bits per second at divisor 1.
const BAUD_BASE: u64 = 115_200;

const IER_RECEIVED: u8 = 0x01;
const IER_TRANSMITTER_EMPTY: u8 = 0x02;
const IER_LINE_STATUS: u8 = 0x04;
const IER_MODEM_STATUS: u8 = 0x08;
const FCR_ENABLE: u8 = 0x01;
const FCR_CLEAR_RECEIVER: u8 = 0x02;
const LCR_DLAB: u8 = 0x80;
const MCR_OUT2: u8 = 0x08;
const MCR_LOOP: u8 = 0x10;
const LSR_DATA_READY: u8 = 0x01;
const LSR_OVERRUN: u8 = 0x02;
const LSR_TRANSMITTER_EMPTY: u8 = 0x60;
/// The peer is there and ready: CTS, DSR, DCD.
const MSR_CONNECTED: u8 = 0xb0;

/// What the interrupt identification register reports, by priority (table II).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    LineStatus,
    Received,
    Timeout,
    TransmitterEmpty,
    ModemStatus,
}

/// The chip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uart16550 {
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scratch: u8,
    divisor: u16,
    overrun: bool,
    modem_delta: u8,
    /// Interrupt "transmitter holding register empty" has not been acknowledged yet.
    transmitter_empty: bool,
    fifo: VecDeque<u8>,
    /// The FIFO has been left alone below its trigger level for four characters' time.
    timed_out: bool,
    /// When a byte was last put into or taken out of the FIFO.
    fifo_touched: VirtualTime,
    backlog: VecDeque<u8>,
    /// When the backlog's first byte has wholly arrived.
    next_arrival: VirtualTime,
}

impl Default for Uart16550 {
    fn default() -> Self {
        Self {
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: 0,
            scratch: 0,
            divisor: 1,
            overrun: false,
            modem_delta: 0,
            transmitter_empty: false,
            fifo: VecDeque::new(),
            timed_out: false,
            fifo_touched: VirtualTime::ZERO,
            backlog: VecDeque::new(),
            next_arrival: VirtualTime::ZERO,
        }
    }
}

impl Uart16550 {
    /// The master reset pin. The peer keeps what it has not sent yet.
    pub fn reset(&mut self) {
        let backlog = std::mem::take(&mut self.backlog);
        *self = Self { backlog, next_arrival: self.next_arrival, ..Self::default() };
    }

    /// The INTR pin.
    #[must_use]
    pub fn intr(&self) -> bool {
        self.cause().is_some()
    }

    /// The OUT2 pin; a PC lets the interrupt through only while it is set.
    #[must_use]
    pub fn out2(&self) -> bool {
        self.mcr & (MCR_OUT2 | MCR_LOOP) == MCR_OUT2
    }

    /// Bytes that the peer has still to send.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// The peer sends `bytes` after everything it has sent before.
    pub fn receive(&mut self, now: VirtualTime, bytes: &[u8]) {
        self.advance(now);
        if self.backlog.is_empty() {
            self.next_arrival = self.next_arrival.max(now);
        }
        self.backlog.extend(bytes);
        self.advance(now);
    }

    /// Lets the bytes arrive that are due by `now`.
    pub fn advance(&mut self, now: VirtualTime) {
        while self.next_arrival <= now && self.can_receive() {
            self.check_timeout(self.next_arrival);
            let Some(byte) = self.backlog.pop_front() else { break };
            self.fifo.push_back(byte);
            self.fifo_touched = self.next_arrival;
            self.next_arrival = self.next_arrival.after(self.character_ns());
        }
        self.check_timeout(now);
    }

    /// When the INTR pin rises unless the guest does something before.
    #[must_use]
    pub fn deadline(&self) -> Option<VirtualTime> {
        if self.ier & IER_RECEIVED == 0 || self.timed_out || self.fifo.len() >= self.trigger() {
            return None;
        }
        let arriving = if self.mcr & MCR_LOOP != 0 { 0 } else { self.backlog.len() };
        let missing = self.trigger() - self.fifo.len();
        if arriving >= missing {
            return Some(self.next_arrival.after((missing as u64 - 1).saturating_mul(self.character_ns())));
        }
        let last = match arriving {
            0 if self.fifo.is_empty() => return None,
            0 => self.fifo_touched,
            _ => self.next_arrival.after((arriving as u64 - 1).saturating_mul(self.character_ns())),
        };
        Some(last.after(4 * self.character_ns()))
    }

    /// The guest reads register `reg` (0 to 7).
    pub fn read(&mut self, now: VirtualTime, reg: u8) -> u8 {
        self.advance(now);
        match reg & 7 {
            0 if self.lcr & LCR_DLAB != 0 => self.divisor as u8,
            0 => self.read_data(now),
            1 if self.lcr & LCR_DLAB != 0 => (self.divisor >> 8) as u8,
            1 => self.ier,
            2 => self.read_interrupt_identification(),
            3 => self.lcr,
            4 => self.mcr,
            5 => self.read_line_status(),
            6 => {
                let status = self.modem_lines() | self.modem_delta;
                self.modem_delta = 0;
                status
            }
            _ => self.scratch,
        }
    }

    /// The guest writes register `reg` (0 to 7). Returns the byte that leaves the transmitter, if one does.
    pub fn write(&mut self, now: VirtualTime, reg: u8, value: u8) -> Option<u8> {
        self.advance(now);
        let sent = self.write_register(now, reg, value);
        // A new line format can make bytes late that were not.
        self.advance(now);
        sent
    }

    fn write_register(&mut self, now: VirtualTime, reg: u8, value: u8) -> Option<u8> {
        match reg & 7 {
            0 if self.lcr & LCR_DLAB != 0 => self.divisor = self.divisor & 0xff00 | u16::from(value),
            0 => return self.transmit(now, value),
            1 if self.lcr & LCR_DLAB != 0 => self.divisor = self.divisor & 0x00ff | u16::from(value) << 8,
            1 => {
                let enabled = value & !self.ier;
                self.ier = value & 0x0f;
                self.transmitter_empty |= enabled & IER_TRANSMITTER_EMPTY != 0;
            }
            2 => self.write_fifo_control(now, value),
            3 => self.lcr = value,
            4 => self.write_modem_control(value),
            // The line and modem status registers are for reading only.
            5 | 6 => {}
            _ => self.scratch = value,
        }
        None
    }

    fn cause(&self) -> Option<Cause> {
        let enabled = |bit| self.ier & bit != 0;
        if enabled(IER_LINE_STATUS) && self.overrun {
            Some(Cause::LineStatus)
        } else if enabled(IER_RECEIVED) && self.fifo.len() >= self.trigger() {
            Some(Cause::Received)
        } else if enabled(IER_RECEIVED) && self.timed_out {
            Some(Cause::Timeout)
        } else if enabled(IER_TRANSMITTER_EMPTY) && self.transmitter_empty {
            Some(Cause::TransmitterEmpty)
        } else if enabled(IER_MODEM_STATUS) && self.modem_delta != 0 {
            Some(Cause::ModemStatus)
        } else {
            None
        }
    }

    fn read_interrupt_identification(&mut self) -> u8 {
        let cause = self.cause();
        if cause == Some(Cause::TransmitterEmpty) {
            self.transmitter_empty = false;
        }
        let fifos = if self.fifos_enabled() { 0xc0 } else { 0 };
        fifos
            | match cause {
                None => 0x01,
                Some(Cause::ModemStatus) => 0x00,
                Some(Cause::TransmitterEmpty) => 0x02,
                Some(Cause::Received) => 0x04,
                Some(Cause::LineStatus) => 0x06,
                Some(Cause::Timeout) => 0x0c,
            }
    }

    fn read_data(&mut self, now: VirtualTime) -> u8 {
        let was_full = self.fifo.len() >= self.capacity();
        let byte = self.fifo.pop_front().unwrap_or(0);
        self.timed_out = false;
        self.fifo_touched = now;
        self.made_room(now, was_full);
        byte
    }

    fn read_line_status(&mut self) -> u8 {
        let ready = if self.fifo.is_empty() { 0 } else { LSR_DATA_READY };
        let overrun = if std::mem::take(&mut self.overrun) { LSR_OVERRUN } else { 0 };
        LSR_TRANSMITTER_EMPTY | ready | overrun
    }

    fn transmit(&mut self, now: VirtualTime, byte: u8) -> Option<u8> {
        self.transmitter_empty = true;
        if self.mcr & MCR_LOOP == 0 {
            return Some(byte);
        }
        if self.fifo.len() < self.capacity() {
            self.fifo.push_back(byte);
            self.fifo_touched = now;
        } else {
            self.overrun = true;
            // Without FIFOs the new character destroys the one in the buffer register; with them it is lost itself.
            if self.capacity() == 1 {
                self.fifo.clear();
                self.fifo.push_back(byte);
            }
        }
        None
    }

    fn write_fifo_control(&mut self, now: VirtualTime, value: u8) {
        let switched = (value ^ self.fcr) & FCR_ENABLE != 0;
        let was_full = self.fifo.len() >= self.capacity();
        self.fcr = if value & FCR_ENABLE != 0 { value & 0xc9 } else { 0 };
        if switched || value & FCR_CLEAR_RECEIVER != 0 {
            self.fifo.clear();
            self.timed_out = false;
            self.made_room(now, was_full);
        }
    }

    fn write_modem_control(&mut self, value: u8) {
        let before = self.modem_lines();
        self.mcr = value & 0x1f;
        let after = self.modem_lines();
        // RI reports only its trailing edge.
        let ring = before & !after & 0x40;
        self.modem_delta |= ((before ^ after) & 0xb0 | ring) >> 4;
    }

    /// The upper half of the modem status register. In loop mode the outputs are tied to the inputs.
    fn modem_lines(&self) -> u8 {
        if self.mcr & MCR_LOOP == 0 {
            return MSR_CONNECTED;
        }
        let [dtr, rts, out1, out2] = [0, 1, 2, 3].map(|n| self.mcr >> n & 1);
        rts << 4 | dtr << 5 | out1 << 6 | out2 << 7
    }

    fn fifos_enabled(&self) -> bool {
        self.fcr & FCR_ENABLE != 0
    }

    fn capacity(&self) -> usize {
        if self.fifos_enabled() { FIFO_SIZE } else { 1 }
    }

    fn trigger(&self) -> usize {
        if self.fifos_enabled() { [1, 4, 8, 14][usize::from(self.fcr >> 6)] } else { 1 }
    }

    fn can_receive(&self) -> bool {
        !self.backlog.is_empty() && self.mcr & MCR_LOOP == 0 && self.fifo.len() < self.capacity()
    }

    /// A peer that had to wait begins to send its next byte only now.
    fn made_room(&mut self, now: VirtualTime, was_full: bool) {
        if was_full && !self.backlog.is_empty() {
            self.next_arrival = self.next_arrival.max(now.after(self.character_ns()));
        }
    }

    fn check_timeout(&mut self, now: VirtualTime) {
        if self.fifos_enabled()
            && !self.fifo.is_empty()
            && self.fifo.len() < self.trigger()
            && now >= self.fifo_touched.after(4 * self.character_ns())
        {
            self.timed_out = true;
        }
    }

    /// How long one character is on the line: start bit, data, parity, stop bits.
    fn character_ns(&self) -> u64 {
        let data = u64::from(self.lcr & 3) + 5;
        let parity = u64::from(self.lcr >> 3 & 1);
        let stop = u64::from(self.lcr >> 2 & 1) + 1;
        (1 + data + parity + stop) * u64::from(self.divisor.max(1)) * 1_000_000_000 / BAUD_BASE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: u8 = 0;
    const IER: u8 = 1;
    const IIR: u8 = 2;
    const LCR: u8 = 3;
    const MCR: u8 = 4;
    const LSR: u8 = 5;
    const MSR: u8 = 6;
    const CHARACTER: u64 = 10 * 1_000_000_000 / 115_200;

    fn at(ns: u64) -> VirtualTime {
        VirtualTime::from_ns(ns)
    }

    /// 8 data bits, FIFOs on, trigger level 8, receive interrupt on.
    fn ready() -> Uart16550 {
        let mut uart = Uart16550::default();
        uart.write(at(0), LCR, 0x03);
        uart.write(at(0), IIR, 0x81);
        uart.write(at(0), IER, 0x01);
        uart
    }

    #[test]
    fn a_lone_byte_interrupts_by_timeout_after_four_characters() {
        let mut uart = ready();
        uart.receive(at(100), b"x");
        assert_eq!(uart.read(at(100), LSR), 0x61);
        assert!(!uart.intr());
        assert_eq!(uart.deadline(), Some(at(100 + 4 * CHARACTER)));
        uart.advance(at(100 + 4 * CHARACTER));
        assert!(uart.intr());
        assert_eq!(uart.read(at(1_000_000), IIR), 0xcc);
        assert_eq!(uart.read(at(1_000_000), DATA), b'x');
        assert_eq!(uart.read(at(1_000_000), IIR), 0xc1);
        assert_eq!(uart.deadline(), None);
    }

    #[test]
    fn the_trigger_level_interrupts_when_its_last_byte_arrives() {
        let mut uart = ready();
        uart.receive(at(0), &[7; 20]);
        let due = at(7 * CHARACTER);
        assert_eq!(uart.deadline(), Some(due));
        uart.advance(at(due.ns() - 1));
        assert!(!uart.intr());
        assert_eq!(uart.read(due, IIR), 0xc4);
    }

    #[test]
    fn a_full_fifo_holds_the_peer_back_and_loses_nothing() {
        let mut uart = ready();
        let sent: Vec<u8> = (0..100).collect();
        uart.receive(at(0), &sent);
        let mut now = 50_000_000;
        let mut got = Vec::new();
        while got.len() < sent.len() {
            if uart.read(at(now), LSR) & 1 != 0 {
                got.push(uart.read(at(now), DATA));
            } else {
                now += CHARACTER;
            }
            assert!(uart.fifo.len() <= FIFO_SIZE);
        }
        assert_eq!(got, sent);
        assert_eq!(uart.read(at(now), LSR), 0x60);
    }

    #[test]
    fn transmitter_empty_interrupts_on_enabling_and_after_each_byte_until_identified() {
        let mut uart = Uart16550::default();
        uart.write(at(0), IER, 0x02);
        assert!(uart.intr());
        assert_eq!(uart.read(at(0), IIR), 0x02);
        assert!(!uart.intr());
        assert_eq!(uart.write(at(0), DATA, b'a'), Some(b'a'));
        assert!(uart.intr());
        uart.write(at(0), IER, 0x00);
        assert!(!uart.intr());
    }

    #[test]
    fn loop_mode_ties_outputs_to_inputs() {
        let mut uart = Uart16550::default();
        assert_eq!(uart.read(at(0), MSR), 0xb0);
        uart.write(at(0), MCR, 0x1a);
        assert_eq!(uart.read(at(0), MSR) & 0xf0, 0x90);
        assert_eq!(uart.write(at(0), DATA, 0x5a), None);
        assert_eq!(uart.read(at(0), DATA), 0x5a);
        assert!(!uart.out2());
    }

    #[test]
    fn overrun_in_loop_mode_is_a_line_status_interrupt_and_reading_clears_it() {
        let mut uart = Uart16550::default();
        uart.write(at(0), MCR, 0x10);
        uart.write(at(0), IER, 0x05);
        uart.write(at(0), DATA, 1);
        uart.write(at(0), DATA, 2);
        assert_eq!(uart.read(at(0), IIR), 0x06);
        assert_eq!(uart.read(at(0), LSR), 0x63);
        assert_eq!(uart.read(at(0), IIR), 0x04);
    }

    #[test]
    fn the_divisor_hides_behind_its_access_bit() {
        let mut uart = Uart16550::default();
        uart.write(at(0), LCR, 0x83);
        uart.write(at(0), DATA, 0x0c);
        uart.write(at(0), IER, 0x01);
        assert_eq!(uart.divisor, 0x10c);
        uart.write(at(0), LCR, 0x03);
        assert_eq!(uart.read(at(0), IER), 0);
    }
}
