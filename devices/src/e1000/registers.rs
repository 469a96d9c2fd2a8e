//! Which register is at which offset (table 13-2).

/// CTRL after a reset: full duplex, speed selected automatically, 1000 Mb/s.
pub(super) const CTRL_AFTER_RESET: u32 = 0x0000_0201 | 1 << 5;

/// STATUS: full duplex, link up, 1000 Mb/s, bus of 32 bits at 33 MHz.
pub(super) const STATUS: u32 = 1 | 1 << 1 | 2 << 6 | 2 << 8;

/// A register, by who has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    Control,
    Status,
    EepromControl,
    EepromRead,
    ExtendedControl,
    Mdi,
    LedControl,
    WakeUpControl,
    Interrupt(InterruptRegister),
    Receive(ReceiveRegister),
    Transmit(TransmitRegister),
    /// By its place in the block of counters.
    Statistic(u8),
}

/// Of interrupts (13.4.17 to 13.4.21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InterruptRegister {
    /// ICR
    Cause,
    /// ITR
    Throttling,
    /// ICS
    CauseSet,
    /// IMS
    MaskSet,
    /// IMC
    MaskClear,
}

/// Of a ring of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RingRegister {
    /// RDBAL, TDBAL
    BaseLow,
    /// RDBAH, TDBAH
    BaseHigh,
    /// RDLEN, TDLEN
    Length,
    /// RDH, TDH
    Head,
    /// RDT, TDT
    Tail,
}

/// Of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReceiveRegister {
    /// RCTL
    Control,
    Ring(RingRegister),
    /// A register that only keeps what is written: RDTR, RXDCTL, RADV, RXCSUM, flow control.
    Kept(u8),
    /// RAL and RAH in turns
    Address(u8),
    /// MTA
    Multicast(u8),
    /// VFTA
    Vlan(u8),
}

/// Of the transmitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransmitRegister {
    /// TCTL
    Control,
    Ring(RingRegister),
    /// A register that only keeps what is written: TIPG, AIT, TIDV, TXDCTL, TADV, TSPMT.
    Kept(u8),
}

impl Register {
    /// The register at `offset`, a multiple of four. None where there is none that a driver needs.
    pub fn at(offset: u32) -> Option<Self> {
        use InterruptRegister as I;
        use ReceiveRegister as R;
        use TransmitRegister as T;
        let number = |first: u32| ((offset - first) / 4) as u8;
        Some(match offset {
            0x0000 | 0x0004 => Register::Control,
            0x0008 => Register::Status,
            0x0010 => Register::EepromControl,
            0x0014 => Register::EepromRead,
            0x0018 => Register::ExtendedControl,
            0x0020 => Register::Mdi,
            0x00c0 => Register::Interrupt(I::Cause),
            0x00c4 => Register::Interrupt(I::Throttling),
            0x00c8 => Register::Interrupt(I::CauseSet),
            0x00d0 => Register::Interrupt(I::MaskSet),
            0x00d8 => Register::Interrupt(I::MaskClear),
            0x0100 => Register::Receive(R::Control),
            // Flow control.
            0x0028 => Register::Receive(R::Kept(0)),
            0x002c => Register::Receive(R::Kept(1)),
            0x0030 => Register::Receive(R::Kept(2)),
            0x0170 => Register::Receive(R::Kept(3)),
            0x2160 => Register::Receive(R::Kept(4)),
            0x2168 => Register::Receive(R::Kept(5)),
            // VLAN type, packet buffer split, PHY configuration words, receive delays and thresholds.
            0x0038 => Register::Receive(R::Kept(6)),
            0x1000 => Register::Receive(R::Kept(7)),
            0x2820 => Register::Receive(R::Kept(8)),
            0x2828 => Register::Receive(R::Kept(9)),
            0x282c => Register::Receive(R::Kept(10)),
            0x2c00 => Register::Receive(R::Kept(11)),
            0x5808 => Register::Receive(R::Kept(12)),
            0x5820 => Register::Receive(R::Kept(13)),
            0x5010 => Register::Receive(R::Kept(14)),
            0x2800 => Register::Receive(R::Ring(RingRegister::BaseLow)),
            0x2804 => Register::Receive(R::Ring(RingRegister::BaseHigh)),
            0x2808 => Register::Receive(R::Ring(RingRegister::Length)),
            0x2810 => Register::Receive(R::Ring(RingRegister::Head)),
            0x2818 => Register::Receive(R::Ring(RingRegister::Tail)),
            0x5000 => Register::Receive(R::Kept(15)),
            0x5200..0x5400 => Register::Receive(R::Multicast(number(0x5200))),
            0x5400..0x5480 => Register::Receive(R::Address(number(0x5400))),
            0x5600..0x5800 => Register::Receive(R::Vlan(number(0x5600))),
            0x0400 => Register::Transmit(T::Control),
            0x0410 => Register::Transmit(T::Kept(0)),
            0x0458 => Register::Transmit(T::Kept(1)),
            0x3820 => Register::Transmit(T::Kept(2)),
            0x3828 => Register::Transmit(T::Kept(3)),
            0x382c => Register::Transmit(T::Kept(4)),
            0x3830 => Register::Transmit(T::Kept(5)),
            0x0178 => Register::Transmit(T::Kept(6)),
            0x3800 => Register::Transmit(T::Ring(RingRegister::BaseLow)),
            0x3804 => Register::Transmit(T::Ring(RingRegister::BaseHigh)),
            0x3808 => Register::Transmit(T::Ring(RingRegister::Length)),
            0x3810 => Register::Transmit(T::Ring(RingRegister::Head)),
            0x3818 => Register::Transmit(T::Ring(RingRegister::Tail)),
            0x0e00 => Register::LedControl,
            0x5800 => Register::WakeUpControl,
            0x4000..0x4100 => Register::Statistic(number(0x4000)),
            _ => return None,
        })
    }
}
