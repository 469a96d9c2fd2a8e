//! The CPU's only way out: ports, device memory, time and the interrupt controller.

/// Size of one bus access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Width {
    /// One byte.
    B1 = 1,
    /// Two bytes.
    B2 = 2,
    /// Four bytes.
    B4 = 4,
    /// Eight bytes.
    B8 = 8,
}

impl Width {
    /// Number of bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self as usize
    }

    /// The width of `bytes`, if a bus access can have it.
    #[must_use]
    pub const fn of(bytes: usize) -> Option<Width> {
        match bytes {
            1 => Some(Width::B1),
            2 => Some(Width::B2),
            4 => Some(Width::B4),
            8 => Some(Width::B8),
            _ => None,
        }
    }
}

/// What the CPU can ask of the rest of the machine. `at` is always the number of instructions completed so far.
pub trait Bus {
    /// Reads an I/O port (1, 2 or 4 bytes; upper bits of the result are zero).
    fn port_read(&mut self, at: u64, port: u16, width: Width) -> u32;
    /// Writes an I/O port.
    fn port_write(&mut self, at: u64, port: u16, width: Width, value: u32);
    /// Reads physical memory that is not RAM; the access does not cross an aligned eight-byte word.
    fn mmio_read(&mut self, at: u64, addr: u64, width: Width) -> u64;
    /// Writes physical memory that is not RAM.
    fn mmio_write(&mut self, at: u64, addr: u64, width: Width, value: u64);
    /// Whether a device asks that the engine return at the end of this instruction; asking clears it.
    fn attention(&mut self) -> bool;
    /// The time-stamp counter's base value (before the guest's own TSC offset): virtual nanoseconds.
    fn tsc(&self, at: u64) -> u64;
    /// IA32_APIC_BASE.
    fn apic_base(&self) -> u64;
    /// Writes IA32_APIC_BASE; `false` when the value sets a reserved bit (#GP).
    fn set_apic_base(&mut self, at: u64, value: u64) -> bool;
    /// IA32_TSC_DEADLINE, in units of [`Bus::tsc`].
    fn tsc_deadline(&self, at: u64) -> u64;
    /// Writes IA32_TSC_DEADLINE.
    fn set_tsc_deadline(&mut self, at: u64, value: u64);
    /// The local APIC's task-priority register (CR8 is its upper four bits).
    fn tpr(&self) -> u8;
    /// Writes the task-priority register.
    fn set_tpr(&mut self, at: u64, value: u8);
}
