//! The board's wiring: what one chip does to another.

use super::*;
use crate::bus::Width::{B1, B2, B4, B8};
use crate::key::Key;
use crate::pci::bus::tests::probe;

fn at(ns: u64) -> VirtualTime {
    VirtualTime::from_ns(ns)
}

fn board(firmware: bool) -> Pc {
    let mut pc = Pc::new(&PcConfig::new(512 << 20, firmware));
    pc.attention();
    pc
}

/// Programs the 8259s for vectors 0x20 and 0x28 with `mask` for the master and the slave masked.
fn with_pic(pc: &mut Pc, mask: u8) {
    for (port, base, wiring) in [(0x20, 0x20, 4), (0xa0, 0x28, 2)] {
        for (port, value) in [(port, 0x11), (port + 1, base), (port + 1, wiring), (port + 1, 1)] {
            pc.port_write(at(0), port, B1, value);
        }
    }
    pc.port_write(at(0), 0x21, B1, u32::from(mask));
    pc.port_write(at(0), 0xa1, B1, 0xff);
}

fn with_timer(pc: &mut Pc, divisor: u16) {
    pc.port_write(at(0), 0x43, B1, 0x34);
    pc.port_write(at(0), 0x40, B1, u32::from(divisor & 0xff));
    pc.port_write(at(0), 0x40, B1, u32::from(divisor >> 8));
}

/// Enables the local APIC and gives an I/O APIC input a redirection entry.
fn with_apics(pc: &mut Pc, pin: u64, entry: u32) {
    pc.mmio_write(at(0), LAPIC_BASE + 0xf0, B4, 0x1ff);
    pc.mmio_write(at(0), LAPIC_BASE + 0x350, B4, 0x1_0000);
    pc.mmio_write(at(0), IOAPIC_BASE, B4, 0x10 + pin * 2);
    pc.mmio_write(at(0), IOAPIC_BASE + 0x10, B4, u64::from(entry));
}

#[test]
fn the_timer_interrupts_through_the_8259_by_virtual_wire() {
    let mut pc = board(true);
    with_pic(&mut pc, 0xfe);
    assert_eq!(pc.next_deadline(), None);
    with_timer(&mut pc, 1193);
    assert!(pc.attention());
    let due = pc.next_deadline().unwrap();
    assert_eq!(due.ns(), 999_848);
    pc.advance(due);
    assert!(pc.interrupt_pending() && pc.attention());
    assert_eq!(pc.next_deadline(), None, "latched already: another edge would be no news");
    assert_eq!(pc.acknowledge_interrupt(due), Some(0x20));
    assert!(pc.next_deadline() > Some(due));
    assert!(!pc.interrupt_pending());
}

#[test]
fn a_masked_timer_costs_nothing_and_is_found_when_unmasked() {
    let mut pc = board(true);
    with_pic(&mut pc, 0xff);
    with_timer(&mut pc, 1193);
    assert_eq!(pc.next_deadline(), None);
    pc.port_write(at(5_000_000), 0x21, B1, 0xfe);
    assert!(pc.interrupt_pending());
}

#[test]
fn the_timer_is_on_input_2_of_the_ioapic_and_edges_while_masked_are_lost() {
    let mut pc = board(false);
    with_apics(&mut pc, 2, 0x30);
    with_timer(&mut pc, 1193);
    let due = pc.next_deadline().unwrap();
    pc.advance(due);
    assert_eq!(pc.acknowledge_interrupt(due), Some(0x30));
    pc.mmio_write(due, LAPIC_BASE + 0xb0, B4, 0);
    pc.mmio_write(due, IOAPIC_BASE + 0x10, B4, 0x1_0030);
    assert_eq!(pc.next_deadline(), None);
    pc.mmio_write(at(50_000_000), IOAPIC_BASE + 0x10, B4, 0x30);
    assert!(!pc.interrupt_pending());
    assert!(pc.next_deadline() > Some(at(50_000_000)));
}

#[test]
fn hpet_replaces_the_timer_in_legacy_mode() {
    let mut pc = board(false);
    with_apics(&mut pc, 2, 0x30);
    with_timer(&mut pc, 1193);
    pc.mmio_write(at(0), HPET_BASE + 0x10, B4, 3);
    assert_eq!(pc.next_deadline(), None);
    pc.mmio_write(at(0), HPET_BASE + 0x100, B4, 0x4);
    pc.mmio_write(at(0), HPET_BASE + 0x108, B4, 1000);
    pc.mmio_write(at(0), HPET_BASE + 0x10c, B4, 0);
    assert_eq!(pc.next_deadline(), Some(at(10_000)));
    pc.advance(at(10_000));
    assert_eq!(pc.acknowledge_interrupt(at(10_000)), Some(0x30));
    assert_eq!(pc.mmio_read(at(10_000), HPET_BASE + 0xf0, B8), 1000);
    assert_eq!(pc.mmio_read(at(10_000), HPET_BASE + 4, B4), 10_000_000);
}

#[test]
fn tsc_deadline_interrupts_and_moves_the_deadline() {
    let mut pc = board(false);
    with_apics(&mut pc, 2, 0x1_0000);
    pc.mmio_write(at(0), LAPIC_BASE + 0x320, B4, 0x4_00ec);
    pc.attention();
    pc.set_tsc_deadline(at(100), 5_000);
    assert!(pc.attention());
    assert_eq!(pc.next_deadline(), Some(at(5_000)));
    pc.advance(at(5_000));
    assert_eq!(pc.acknowledge_interrupt(at(5_000)), Some(0xec));
    assert_eq!(pc.tsc_deadline(at(5_000)), 0);
    pc.set_tpr(at(5_000), 0xf0);
    pc.set_tsc_deadline(at(5_000), 1);
    assert!(!pc.interrupt_pending(), "below the task priority");
    pc.mmio_write(at(5_000), LAPIC_BASE + 0xb0, B4, 0);
    pc.set_tpr(at(5_000), 0);
    assert!(pc.interrupt_pending());
}

#[test]
fn serial_input_interrupts_and_output_needs_no_stop() {
    let mut pc = board(true);
    with_pic(&mut pc, 0xef);
    pc.port_write(at(0), 0x3f9, B1, 1);
    pc.port_write(at(0), 0x3fc, B1, 8);
    pc.attention();
    pc.port_write(at(10), 0x3f8, B1, u32::from(b'!'));
    assert!(!pc.attention(), "a console byte is no reason to stop");
    assert_eq!(pc.take_outputs(), [Output::Serial { port: 0, byte: b'!' }]);
    pc.accept(at(20), Input::Serial { port: 0, bytes: b"ab".to_vec() });
    assert_eq!(pc.acknowledge_interrupt(at(20)), Some(0x24));
    assert_eq!(pc.port_read(at(20), 0x3f8, B1), u32::from(b'a'));
    assert_eq!(pc.serial_backlog(0), 1);
    let due = pc.next_deadline().unwrap();
    pc.port_write(due, 0x20, B1, 0x20);
    pc.advance(due);
    assert!(pc.interrupt_pending());
    assert_eq!(pc.port_read(due, 0x3f8, B1), u32::from(b'b'));
}

#[test]
fn keys_interrupt_once_a_byte() {
    let mut pc = board(true);
    with_pic(&mut pc, 0xfd);
    pc.accept(at(0), Input::Key { key: Key::ArrowUp, down: true });
    for byte in [0xe0, 0x48] {
        assert_eq!(pc.acknowledge_interrupt(at(0)), Some(0x21));
        assert_eq!(pc.port_read(at(0), 0x60, B1), byte);
        pc.port_write(at(0), 0x20, B1, 0x20);
    }
    assert!(!pc.interrupt_pending());
}

#[test]
fn alarm_interrupts_after_the_wall_clock_was_given() {
    let mut pc = board(false);
    with_apics(&mut pc, 8, 0x38);
    pc.accept(at(0), Input::WallClock { unix_seconds: 1_000_000_000 });
    let write = |pc: &mut Pc, index, value| {
        pc.port_write(at(0), 0x70, B1, index);
        pc.port_write(at(0), 0x71, B1, value);
    };
    // 01:46:40 UTC.
    for (index, value) in [(1, 0x45), (3, 0x46), (5, 0x01), (0x0b, 0x22)] {
        write(&mut pc, index, value);
    }
    assert_eq!(pc.next_deadline(), Some(at(5_000_000_000)));
    pc.advance(at(5_000_000_000));
    assert_eq!(pc.acknowledge_interrupt(at(5_000_000_000)), Some(0x38));
}

#[test]
fn the_power_button_raises_a_level_interrupt_that_comes_again_until_served() {
    let mut pc = board(false);
    with_apics(&mut pc, 9, 0x8039);
    pc.port_write(at(0), 0x602, B2, 0x100);
    pc.accept(at(0), Input::PowerButton);
    for _ in 0..2 {
        assert_eq!(pc.acknowledge_interrupt(at(0)), Some(0x39));
        pc.mmio_write(at(0), LAPIC_BASE + 0xb0, B4, 0);
    }
    assert_eq!(pc.port_read(at(0), 0x600, B2), 0x100);
    assert_eq!(pc.acknowledge_interrupt(at(0)), Some(0x39));
    pc.port_write(at(0), 0x600, B2, 0x100);
    pc.mmio_write(at(0), LAPIC_BASE + 0xb0, B4, 0);
    assert!(!pc.interrupt_pending());
}

/// A board whose I/O APIC delivers `input` as vector 0x50, with a PCI function in slot 3 that interrupts.
fn interrupting_probe(input: u64) -> Pc {
    let mut pc = board(false);
    pc.state.pci.plug(3 << 3, probe());
    with_apics(&mut pc, input, 0x8050);
    pc.port_write(at(0), 0xcf8, B4, 0x8000_1810);
    pc.port_write(at(0), 0xcfc, B4, 0xfe00_0000);
    pc.port_write(at(0), 0xcf8, B4, 0x8000_1804);
    pc.port_write(at(0), 0xcfc, B2, 2);
    pc.mmio_write(at(0), 0xfe00_0000, B4, 1);
    pc
}

#[test]
fn pci_interrupts_reach_the_ioapic_and_the_routed_isa_interrupt() {
    let mut pc = interrupting_probe(18);
    assert_eq!(pc.acknowledge_interrupt(at(0)), Some(0x50));
    pc.port_write(at(0), 0xa0, B1, 0x0a);
    assert_eq!(pc.port_read(at(0), 0xa0, B1), 0x08, "link C is routed to interrupt 11");
    assert_eq!(pc.mmio_read(at(0), 0xfe00_0004, B4), 5);
    pc.mmio_write(at(0), 0xfe00_0000, B4, 0);
    pc.mmio_write(at(0), LAPIC_BASE + 0xb0, B4, 0);
    assert!(!pc.interrupt_pending());
    assert_eq!(pc.unclaimed(), Unclaimed::default());
}

/// The tables of a firmware may name the interrupt that a link is routed to, and not the link's own input.
#[test]
fn a_routed_pci_interrupt_reaches_the_ioapic_at_its_isa_input() {
    let mut pc = interrupting_probe(11);
    assert_eq!(pc.acknowledge_interrupt(at(0)), Some(0x50));
}

#[test]
fn outputs_that_end_the_run_ask_for_attention() {
    for (port, width, value, output) in [
        (0xf4, B1, 0x10, Output::DebugExit { value: 0x10 }),
        (0xf4, B4, 0x1234, Output::DebugExit { value: 0x1234 }),
        (0xcf9, B1, 0x06, Output::Reset),
        (0x64, B1, 0xfe, Output::Reset),
        (0x92, B1, 0x03, Output::Reset),
        (0x604, B2, 0x2000, Output::PowerOff),
    ] {
        let mut pc = board(false);
        pc.port_write(at(0), port, width, value);
        assert_eq!(pc.take_outputs(), [output]);
        assert!(pc.attention());
    }
}

#[test]
fn debug_consoles_say_they_are_there() {
    let mut pc = board(true);
    for port in [0xe9, 0x402] {
        assert_eq!(pc.port_read(at(0), port, B1), 0xe9);
        pc.port_write(at(0), port, B1, u32::from(b'x'));
    }
    assert_eq!(pc.take_outputs(), vec![Output::DebugConsole(b'x'); 2]);
    assert!(!pc.attention());
}

#[test]
fn a20_and_shadowing_ask_for_attention() {
    let mut pc = board(true);
    assert!(pc.a20_enabled());
    pc.port_write(at(0), 0x92, B1, 0);
    assert!(!pc.a20_enabled() && pc.attention());
    pc.port_write(at(0), 0x64, B1, 0xd1);
    pc.port_write(at(0), 0x60, B1, 0xdf);
    assert!(pc.a20_enabled() && pc.attention());
    assert!(!pc.pam()[12].read_ram);
    pc.port_write(at(0), 0xcf8, B4, 0x8000_0058);
    pc.port_write(at(0), 0xcfd, B1, 0x30);
    assert!(pc.pam()[12].read_ram && pc.attention());
}

#[test]
fn nobody_answers_with_ones_and_is_counted() {
    let mut pc = board(true);
    assert_eq!(pc.port_read(at(0), 0x5658, B4), 0xffff_ffff);
    assert_eq!(pc.mmio_read(at(0), 0xd000_0000, B8), u64::MAX);
    pc.mmio_write(at(0), 0xd000_0000, B8, 0);
    assert_eq!(pc.unclaimed(), Unclaimed { ports: 4, memory: 2 });
    assert_eq!(pc.port_read(at(0), 0x1f7, B1), 0xff);
    assert_eq!(pc.unclaimed().ports, 4, "an absent disk controller is no surprise");
}

#[test]
fn reset_keeps_the_time_and_the_cmos_memory_only() {
    let mut pc = board(true);
    pc.accept(at(0), Input::WallClock { unix_seconds: 1_000_000_000 });
    with_pic(&mut pc, 0);
    with_timer(&mut pc, 100);
    pc.reset(at(3_000_000_000));
    assert_eq!((pc.next_deadline(), pc.interrupt_pending()), (None, false));
    let mut read = |index| {
        pc.port_write(at(3_000_000_000), 0x70, B1, index);
        pc.port_read(at(3_000_000_000), 0x71, B1)
    };
    assert_eq!((read(0), read(0x34), read(0x35)), (0x43, 0x00, 0x1f));
}

#[test]
fn the_apic_can_be_moved_and_switched_off() {
    let mut pc = board(true);
    with_pic(&mut pc, 0xfe);
    assert!(pc.set_apic_base(at(0), 0xfee0_0d00).is_err());
    pc.set_apic_base(at(0), 0xfee1_0900).unwrap();
    assert_eq!(pc.mmio_read(at(0), 0xfee1_0030, B4), 0x0005_0014);
    assert_eq!(pc.mmio_read(at(0), 0xfee0_0030, B4), 0xffff_ffff);
    pc.set_apic_base(at(0), 0xfee0_0100).unwrap();
    with_timer(&mut pc, 1193);
    pc.advance(at(1_000_000));
    assert_eq!(pc.acknowledge_interrupt(at(1_000_000)), Some(0x20), "INTR goes to the processor directly");
}

#[test]
fn a_state_of_another_board_is_refused() {
    let mut pc = board(true);
    let state = board(false).save();
    assert!(pc.load(&state).is_err());
}
