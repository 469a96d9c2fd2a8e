//! Exceptions by their SDM names (volume 3, chapter 6).

/// A synchronous exception that an instruction raised; not yet delivered, nothing of the instruction is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Exception {
    /// #DE
    DivideError,
    /// #DB; the DR6 bits to set. A fault (instruction breakpoint, general detect) or, from the run loop, a trap.
    Debug { dr6: u64 },
    /// #BP by INT3: a trap, delivered with the address after the instruction.
    Breakpoint { next: u64 },
    /// #OF by INTO: a trap.
    Overflow { next: u64 },
    /// #BR
    BoundRange,
    /// #UD
    InvalidOpcode,
    /// #NM
    DeviceNotAvailable,
    /// #DF
    DoubleFault,
    /// #TS
    InvalidTss(u16),
    /// #NP
    SegmentNotPresent(u16),
    /// #SS
    StackFault(u16),
    /// #GP
    GeneralProtection(u16),
    /// #GP(0) for a non-canonical address, or #SS(0) where the instruction meant the stack segment: the run loop knows.
    NonCanonical { addr: u64 },
    /// #PF; `addr` goes to CR2.
    PageFault { addr: u64, code: u16 },
    /// #MF
    FloatingPoint,
    /// #AC
    AlignmentCheck,
    /// #XM
    SimdFloatingPoint,
}

impl Exception {
    /// #GP(0)
    pub const GP0: Exception = Exception::GeneralProtection(0);
    /// #SS(0)
    pub const SS0: Exception = Exception::StackFault(0);

    /// Interrupt vector.
    #[must_use]
    pub const fn vector(self) -> u8 {
        match self {
            Exception::DivideError => 0,
            Exception::Debug { .. } => 1,
            Exception::Breakpoint { .. } => 3,
            Exception::Overflow { .. } => 4,
            Exception::BoundRange => 5,
            Exception::InvalidOpcode => 6,
            Exception::DeviceNotAvailable => 7,
            Exception::DoubleFault => 8,
            Exception::InvalidTss(_) => 10,
            Exception::SegmentNotPresent(_) => 11,
            Exception::StackFault(_) => 12,
            Exception::GeneralProtection(_) | Exception::NonCanonical { .. } => 13,
            Exception::PageFault { .. } => 14,
            Exception::FloatingPoint => 16,
            Exception::AlignmentCheck => 17,
            Exception::SimdFloatingPoint => 19,
        }
    }

    /// Error code, for the exceptions that push one.
    #[must_use]
    pub const fn error_code(self) -> Option<u16> {
        match self {
            Exception::DoubleFault | Exception::AlignmentCheck | Exception::NonCanonical { .. } => Some(0),
            Exception::InvalidTss(c)
            | Exception::SegmentNotPresent(c)
            | Exception::StackFault(c)
            | Exception::GeneralProtection(c)
            | Exception::PageFault { code: c, .. } => Some(c),
            Exception::DivideError
            | Exception::Debug { .. }
            | Exception::Breakpoint { .. }
            | Exception::Overflow { .. }
            | Exception::BoundRange
            | Exception::InvalidOpcode
            | Exception::DeviceNotAvailable
            | Exception::FloatingPoint
            | Exception::SimdFloatingPoint => None,
        }
    }
}
