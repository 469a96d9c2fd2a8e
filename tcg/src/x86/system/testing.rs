//! A CPU over flat memory and a bus with nothing on it, for unit tests.

use crate::{Bus, Width, phys::PhysMap, x86::Cpu};
use vm_memory::{GuestAddress, GuestMemoryMmap};

/// A CPU after RESET with 1 MiB of RAM at 0.
pub fn cpu() -> Cpu {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
    Cpu::new(PhysMap::new(memory, Vec::new()))
}

/// Writes physical memory.
pub fn put(cpu: &mut Cpu, at: u64, size: usize, value: u64) {
    assert!(cpu.core.phys.write(at, size, value));
}

/// Reads physical memory.
#[allow(dead_code)]
pub fn get(cpu: &Cpu, at: u64, size: usize) -> u64 {
    cpu.core.phys.read(at, size).unwrap()
}

/// Remembers what the CPU wrote.
#[derive(Default)]
pub struct TestBus {
    pub ports: Vec<(u16, Width, u32)>,
    pub apic_base: u64,
    pub deadline: u64,
    pub tpr: u8,
}

impl Bus for TestBus {
    fn port_read(&mut self, _at: u64, port: u16, _width: Width) -> u32 {
        u32::from(port) + 1
    }
    fn port_write(&mut self, _at: u64, port: u16, width: Width, value: u32) {
        self.ports.push((port, width, value));
    }
    fn mmio_read(&mut self, _at: u64, _addr: u64, _width: Width) -> u64 {
        0
    }
    fn mmio_write(&mut self, _at: u64, _addr: u64, _width: Width, _value: u64) {}
    fn attention(&mut self) -> bool {
        false
    }
    fn tsc(&self, at: u64) -> u64 {
        at
    }
    fn apic_base(&self) -> u64 {
        self.apic_base
    }
    fn set_apic_base(&mut self, _at: u64, value: u64) -> bool {
        self.apic_base = value;
        true
    }
    fn tsc_deadline(&self, _at: u64) -> u64 {
        self.deadline
    }
    fn set_tsc_deadline(&mut self, _at: u64, value: u64) {
        self.deadline = value;
    }
    fn tpr(&self) -> u8 {
        self.tpr
    }
    fn set_tpr(&mut self, _at: u64, value: u8) {
        self.tpr = value;
    }
}
