//! Two cascaded 8259A interrupt controllers with edge/level control, as in a PC (Intel 8259A datasheet; the ELCR is
//! described in the 82371SB PIIX3 datasheet).
//!
//! An edge is latched until it is acknowledged, even if the line falls before; only level inputs and masking make the
//! request vanish, and then the acknowledge yields the spurious vector 7.

use serde::{Deserialize, Serialize};

/// What the next write to the odd port means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Expect {
    #[default]
    Mask,
    Icw2,
    Icw3,
    Icw4,
}

/// One chip.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pic {
    irr: u8,
    isr: u8,
    imr: u8,
    lines: u8,
    /// Inputs that are level triggered.
    elcr: u8,
    /// ICW1 made all inputs level triggered.
    all_level: bool,
    vector_base: u8,
    /// The input that has the lowest priority.
    lowest: u8,
    expect: Expect,
    single: bool,
    icw4_needed: bool,
    auto_eoi: bool,
    rotate_on_auto_eoi: bool,
    special_mask: bool,
    special_fully_nested: bool,
    read_isr: bool,
    poll: bool,
}

impl Pic {
    fn level_triggered(&self) -> u8 {
        if self.all_level { 0xff } else { self.elcr }
    }

    fn set_line(&mut self, input: u8, level: bool) {
        let bit = 1 << input;
        let rises = level && self.lines & bit == 0;
        self.lines = if level { self.lines | bit } else { self.lines & !bit };
        if self.level_triggered() & bit != 0 {
            self.irr = self.irr & !bit | self.lines & bit;
        } else if rises {
            self.irr |= bit;
        }
    }

    /// The first input of `set` in order of priority.
    fn highest(&self, set: u8) -> Option<u8> {
        if set == 0 {
            return None;
        }
        let first = self.lowest.wrapping_add(1) & 7;
        let distance = set.rotate_right(u32::from(first)).trailing_zeros() as u8;
        Some((first + distance) & 7)
    }

    /// Distance from the highest priority; 8 for none.
    fn rank(&self, input: Option<u8>) -> u8 {
        input.map_or(8, |n| n.wrapping_sub(self.lowest).wrapping_sub(1) & 7)
    }

    /// The request that would be acknowledged now. `cascade` is the input that a slave is wired to.
    fn request(&self, cascade: Option<u8>) -> Option<u8> {
        let request = self.highest(self.irr & !self.imr)?;
        let mut in_service = self.isr;
        if self.special_mask {
            in_service &= !self.imr;
        }
        let (wanted, busy) = (self.rank(Some(request)), self.rank(self.highest(in_service)));
        // A slave's more urgent request passes while one of its others is in service.
        let nested = self.special_fully_nested && cascade == Some(request) && wanted == busy;
        (wanted < busy || nested).then_some(request)
    }

    /// Moves the request into service.
    fn acknowledge(&mut self, input: u8) {
        let bit = 1 << input;
        if self.level_triggered() & bit == 0 {
            self.irr &= !bit;
        }
        if !self.auto_eoi {
            self.isr |= bit;
        } else if self.rotate_on_auto_eoi {
            self.lowest = input;
        }
    }

    fn write_command(&mut self, value: u8) {
        if value & 0x10 != 0 {
            self.write_icw1(value);
        } else if value & 0x08 != 0 {
            self.write_ocw3(value);
        } else {
            self.write_ocw2(value);
        }
    }

    fn write_icw1(&mut self, value: u8) {
        *self = Pic {
            lines: self.lines,
            elcr: self.elcr,
            vector_base: self.vector_base,
            all_level: value & 0x08 != 0,
            single: value & 0x02 != 0,
            icw4_needed: value & 0x01 != 0,
            lowest: 7,
            expect: Expect::Icw2,
            ..Pic::default()
        };
        self.irr = self.lines & self.level_triggered();
    }

    fn write_ocw2(&mut self, value: u8) {
        let named = value & 7;
        match value >> 5 {
            0b000 => self.rotate_on_auto_eoi = false,
            0b100 => self.rotate_on_auto_eoi = true,
            command @ (0b001 | 0b101) => {
                let in_service = if self.special_mask { self.isr & !self.imr } else { self.isr };
                if let Some(input) = self.highest(in_service) {
                    self.isr &= !(1 << input);
                    if command == 0b101 {
                        self.lowest = input;
                    }
                }
            }
            0b011 => self.isr &= !(1 << named),
            0b110 => self.lowest = named,
            0b111 => {
                self.isr &= !(1 << named);
                self.lowest = named;
            }
            // 0b010 is "no operation".
            _ => {}
        }
    }

    fn write_ocw3(&mut self, value: u8) {
        if value & 0x40 != 0 {
            self.special_mask = value & 0x20 != 0;
        }
        self.poll = value & 0x04 != 0;
        if value & 0x02 != 0 {
            self.read_isr = value & 0x01 != 0;
        }
    }

    fn write_data(&mut self, value: u8) {
        let last = if self.icw4_needed { Expect::Icw4 } else { Expect::Mask };
        match self.expect {
            Expect::Mask => self.imr = value,
            Expect::Icw2 => {
                self.vector_base = value & 0xf8;
                self.expect = if self.single { last } else { Expect::Icw3 };
            }
            // A PC's slave is wired to input 2, whatever the guest says.
            Expect::Icw3 => self.expect = last,
            Expect::Icw4 => {
                self.special_fully_nested = value & 0x10 != 0;
                self.auto_eoi = value & 0x02 != 0;
                self.expect = Expect::Mask;
            }
        }
    }
}

/// The master's input the slave is wired to.
const CASCADE: u8 = 2;

/// The pair: inputs 0 to 7 are the master's, 8 to 15 the slave's; input 2 carries the slave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pic8259 {
    master: Pic,
    slave: Pic,
}

impl Default for Pic8259 {
    fn default() -> Self {
        let pic = Pic { lowest: 7, ..Pic::default() };
        Self { master: pic.clone(), slave: pic }
    }
}

impl Pic8259 {
    /// The pair as a BIOS hands it over: vectors 0x08 and 0x70, everything masked, `level` inputs level triggered.
    #[must_use]
    pub fn initialised(level: u16) -> Self {
        let mut pair = Self::default();
        for (chip, base, elcr) in
            [(&mut pair.master, 0x08, level as u8), (&mut pair.slave, 0x70, (level >> 8) as u8)]
        {
            chip.vector_base = base;
            chip.imr = 0xff;
            chip.elcr = elcr;
        }
        pair
    }

    /// Sets an input's level.
    pub fn set_line(&mut self, irq: u8, level: bool) {
        if irq < 8 {
            self.master.set_line(irq, level);
        } else {
            self.slave.set_line(irq & 7, level);
            self.update_cascade();
        }
    }

    /// Raises and lowers an input.
    pub fn pulse(&mut self, irq: u8) {
        self.set_line(irq, true);
        self.set_line(irq, false);
    }

    /// The master's INT pin.
    #[must_use]
    pub fn intr(&self) -> bool {
        self.master.request(Some(CASCADE)).is_some()
    }

    /// Whether a rising edge on the input would be news: it is not masked and not latched already.
    #[must_use]
    pub fn listens_to(&self, irq: u8) -> bool {
        let open = |pic: &Pic, input: u8| (pic.imr | pic.irr) & 1 << input == 0;
        if irq < 8 {
            open(&self.master, irq)
        } else {
            open(&self.slave, irq & 7) && self.master.imr & 1 << CASCADE == 0
        }
    }

    /// The processor's interrupt acknowledge cycle. Returns the vector; a spurious one if the request has gone.
    pub fn acknowledge(&mut self) -> u8 {
        let Some(input) = self.master.request(Some(CASCADE)) else { return self.master.vector_base | 7 };
        self.master.acknowledge(input);
        if input != CASCADE {
            return self.master.vector_base | input;
        }
        let slave_input = self.slave.request(None);
        if let Some(input) = slave_input {
            self.slave.acknowledge(input);
        }
        self.update_cascade();
        self.slave.vector_base | slave_input.unwrap_or(7)
    }

    /// The guest reads port 0x20, 0x21, 0xA0, 0xA1, 0x4D0 or 0x4D1.
    pub fn read(&mut self, port: u16) -> u8 {
        let value = match port {
            0x4d0 => return self.master.elcr,
            0x4d1 => return self.slave.elcr,
            0x20 | 0x21 if self.master.poll => self.poll_master(),
            0xa0 | 0xa1 if self.slave.poll => self.poll_slave(),
            0x20 if self.master.read_isr => self.master.isr,
            0x20 => self.master.irr,
            0x21 => self.master.imr,
            0xa0 if self.slave.read_isr => self.slave.isr,
            0xa0 => self.slave.irr,
            _ => self.slave.imr,
        };
        self.update_cascade();
        value
    }

    /// The guest writes one of these ports.
    pub fn write(&mut self, port: u16, value: u8) {
        match port {
            0x20 => self.master.write_command(value),
            0x21 => self.master.write_data(value),
            0xa0 => self.slave.write_command(value),
            0xa1 => self.slave.write_data(value),
            // The timer, the keyboard, the cascade, the clock and the FPU error are always edge triggered.
            0x4d0 => self.master.elcr = value & 0xf8,
            _ => self.slave.elcr = value & 0xde,
        }
        self.update_cascade();
    }

    fn poll_master(&mut self) -> u8 {
        self.master.poll = false;
        match self.master.request(Some(CASCADE)) {
            Some(input) => {
                self.master.acknowledge(input);
                0x80 | input
            }
            None => 0,
        }
    }

    fn poll_slave(&mut self) -> u8 {
        self.slave.poll = false;
        match self.slave.request(None) {
            Some(input) => {
                self.slave.acknowledge(input);
                0x80 | input
            }
            None => 0,
        }
    }

    /// The cascade input follows the slave's INT pin.
    fn update_cascade(&mut self) {
        let bit = 1 << CASCADE;
        let request = if self.slave.request(None).is_some() { bit } else { 0 };
        self.master.lines = self.master.lines & !bit | request;
        self.master.irr = self.master.irr & !bit | request;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors 0x20 and 0x28, nothing masked.
    fn ready() -> Pic8259 {
        let mut pic = Pic8259::default();
        for (port, base, icw3) in [(0x20, 0x20, 4), (0xa0, 0x28, 2)] {
            pic.write(port, 0x11);
            pic.write(port + 1, base);
            pic.write(port + 1, icw3);
            pic.write(port + 1, 0x01);
            pic.write(port + 1, 0x00);
        }
        pic
    }

    #[test]
    fn lower_inputs_go_first_and_wait_for_the_end_of_higher_ones() {
        let mut pic = ready();
        pic.pulse(4);
        pic.pulse(1);
        assert_eq!(pic.acknowledge(), 0x21);
        assert!(!pic.intr());
        pic.pulse(0);
        assert_eq!(pic.acknowledge(), 0x20);
        pic.write(0x20, 0x20);
        assert!(!pic.intr(), "input 1 is still in service");
        pic.write(0x20, 0x20);
        assert_eq!(pic.acknowledge(), 0x24);
    }

    #[test]
    fn a_request_that_vanishes_gives_the_spurious_vector_and_nothing_in_service() {
        let mut pic = ready();
        pic.write(0x4d0, 0x20);
        pic.set_line(5, true);
        assert!(pic.intr());
        pic.set_line(5, false);
        assert_eq!(pic.acknowledge(), 0x27);
        pic.write(0x20, 0x0b);
        assert_eq!(pic.read(0x20), 0);
    }

    #[test]
    fn slave_requests_pass_through_input_2() {
        let mut pic = ready();
        pic.pulse(12);
        pic.pulse(3);
        assert_eq!(pic.acknowledge(), 0x2c);
        pic.write(0x20, 0x0b);
        pic.write(0xa0, 0x0b);
        assert_eq!((pic.read(0x20), pic.read(0xa0)), (0x04, 0x10));
        pic.pulse(8);
        assert!(!pic.intr(), "without special fully nested mode the slave waits");
        pic.write(0xa0, 0x20);
        pic.write(0x20, 0x20);
        assert_eq!(pic.acknowledge(), 0x28);
    }

    #[test]
    fn masked_requests_are_kept() {
        let mut pic = ready();
        pic.write(0x21, 0x02);
        pic.pulse(1);
        assert!(!pic.intr());
        assert_eq!(pic.read(0x20), 0x02);
        assert!(!pic.listens_to(1) && pic.listens_to(4));
        pic.write(0x21, 0x00);
        assert_eq!(pic.acknowledge(), 0x21);
    }

    #[test]
    fn level_inputs_come_again_while_the_line_is_up() {
        let mut pic = ready();
        pic.write(0x4d1, 0x0c);
        pic.set_line(10, true);
        assert_eq!(pic.acknowledge(), 0x2a);
        pic.write(0xa0, 0x62);
        pic.write(0x20, 0x62);
        assert_eq!(pic.acknowledge(), 0x2a);
        pic.set_line(10, false);
        pic.write(0xa0, 0x20);
        pic.write(0x20, 0x20);
        assert!(!pic.intr());
    }

    #[test]
    fn rotation_makes_the_served_input_the_last() {
        let mut pic = ready();
        pic.pulse(3);
        pic.acknowledge();
        pic.write(0x20, 0xa0);
        pic.pulse(3);
        pic.pulse(6);
        assert_eq!(pic.acknowledge(), 0x26);
    }

    #[test]
    fn special_mask_mode_lets_lower_priorities_in() {
        let mut pic = ready();
        pic.pulse(1);
        pic.acknowledge();
        pic.write(0x21, 0x02);
        pic.pulse(6);
        assert!(!pic.intr());
        pic.write(0x20, 0x68);
        assert_eq!(pic.acknowledge(), 0x26);
    }

    #[test]
    fn polling_acknowledges() {
        let mut pic = ready();
        pic.pulse(6);
        pic.write(0x20, 0x0c);
        assert_eq!(pic.read(0x20), 0x86);
        assert!(!pic.intr());
    }

    #[test]
    fn automatic_end_of_interrupt_leaves_nothing_in_service() {
        let mut pic = ready();
        pic.write(0x20, 0x11);
        for value in [0x20, 4, 0x03] {
            pic.write(0x21, value);
        }
        pic.pulse(0);
        assert_eq!(pic.acknowledge(), 0x20);
        pic.pulse(7);
        assert_eq!(pic.acknowledge(), 0x27);
    }
}
