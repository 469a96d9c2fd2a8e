//! The local APIC of a processor in xAPIC mode (Intel SDM volume 3, chapter 11).

use crate::chips::lapic_timer::{LapicTimer, TimerMode};
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// How an interrupt message is delivered (SDM 11.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryMode {
    /// To the vector.
    Fixed,
    /// To the vector, at the processor that does the least important work.
    LowestPriority,
    /// System management interrupt.
    Smi,
    /// Reserved encoding 3.
    Reserved,
    /// Non-maskable interrupt.
    Nmi,
    /// INIT.
    Init,
    /// Start-up.
    StartUp,
    /// As if the 8259's INTR pin were wired to the processor.
    ExtInt,
}

impl DeliveryMode {
    /// From the lowest three bits.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => DeliveryMode::Fixed,
            1 => DeliveryMode::LowestPriority,
            2 => DeliveryMode::Smi,
            3 => DeliveryMode::Reserved,
            4 => DeliveryMode::Nmi,
            5 => DeliveryMode::Init,
            6 => DeliveryMode::StartUp,
            _ => DeliveryMode::ExtInt,
        }
    }
}

/// What an I/O APIC or another local APIC sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptMessage {
    /// Interrupt vector.
    pub vector: u8,
    /// How it is delivered.
    pub mode: DeliveryMode,
    /// Level triggered: its end is broadcast to the I/O APICs.
    pub level: bool,
    /// The destination is a logical one.
    pub logical: bool,
    /// For whom it is.
    pub destination: u8,
}

const VERSION: u32 = 0x0005_0014;
const BASE_BSP: u64 = 1 << 8;
const BASE_ENABLE: u64 = 1 << 11;
/// The bits of IA32_APIC_BASE that exist: 40 address bits, enable, BSP. There is no x2APIC mode.
const BASE_WRITABLE: u64 = 0xff_ffff_f000 | BASE_ENABLE | BASE_BSP;
const SVR_ENABLE: u32 = 1 << 8;
const LVT_MASKED: u32 = 1 << 16;
/// The bits of each local vector table entry that can be written.
const LVT_WRITABLE: [u32; LVT_COUNT] = [0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff];
const LVT_COUNT: usize = 6;
const LVT_TIMER: usize = 0;
const LVT_LINT0: usize = 3;
const LVT_ERROR: usize = 5;
const ESR_SEND_ILLEGAL_VECTOR: u32 = 1 << 5;
const ESR_RECEIVE_ILLEGAL_VECTOR: u32 = 1 << 6;
const ESR_ILLEGAL_REGISTER: u32 = 1 << 7;
/// Vectors below are reserved for exceptions; sending or receiving them is an error.
const FIRST_VECTOR: u8 = 16;

/// 256 bits, one a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Vectors([u64; 4]);

impl Vectors {
    fn set(&mut self, vector: u8, value: bool) {
        let word = &mut self.0[usize::from(vector >> 6)];
        let bit = 1 << (vector & 63);
        *word = if value { *word | bit } else { *word & !bit };
    }

    fn contains(&self, vector: u8) -> bool {
        self.0[usize::from(vector >> 6)] >> (vector & 63) & 1 != 0
    }

    fn highest(&self) -> Option<u8> {
        let word = (0..4).rev().find(|n| self.0[*n] != 0)?;
        Some((word * 64 + 63 - self.0[word].leading_zeros() as usize) as u8)
    }

    /// The 32 vectors from `n * 32` on.
    fn dword(&self, n: u64) -> u32 {
        (self.0[((n / 2) & 3) as usize] >> (n % 2 * 32)) as u32
    }
}

/// The local APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lapic {
    base: u64,
    id: u8,
    tpr: u8,
    ldr: u32,
    dfr: u32,
    svr: u32,
    irr: Vectors,
    isr: Vectors,
    tmr: Vectors,
    esr: u32,
    esr_collecting: u32,
    icr: u64,
    lvt: [u32; LVT_COUNT],
    timer: LapicTimer,
    lint0: bool,
    nmi: bool,
}

impl Lapic {
    /// The local APIC of processor `id`, after power-on. Processor 0 is the bootstrap processor.
    #[must_use]
    pub fn new(id: u8) -> Self {
        let mut lvt = [LVT_MASKED; LVT_COUNT];
        if id == 0 {
            // Virtual wire mode, as the MultiProcessor Specification (3.6.2.2) has it after power-on.
            lvt[LVT_LINT0] = 0x700;
        }
        Self {
            base: crate::pc::LAPIC_BASE | BASE_ENABLE | if id == 0 { BASE_BSP } else { 0 },
            id,
            tpr: 0,
            ldr: 0,
            dfr: 0xffff_ffff,
            svr: 0xff,
            irr: Vectors::default(),
            isr: Vectors::default(),
            tmr: Vectors::default(),
            esr: 0,
            esr_collecting: 0,
            icr: 0,
            lvt,
            timer: LapicTimer::default(),
            lint0: false,
            nmi: false,
        }
    }

    /// IA32_APIC_BASE.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Writes IA32_APIC_BASE. False, and nothing changes, when reserved bits are set.
    #[must_use]
    pub fn set_base(&mut self, value: u64) -> bool {
        if value & !BASE_WRITABLE != 0 {
            return false;
        }
        if self.base & !value & BASE_ENABLE != 0 {
            // Disabling it is like a reset (SDM 11.4.3).
            *self = Self { lint0: self.lint0, ..Self::new(self.id) };
        }
        self.base = value;
        true
    }

    /// Whether its registers answer at all.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.base & BASE_ENABLE != 0
    }

    /// Where its registers are.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.base & 0xff_ffff_f000
    }

    /// The task priority register.
    #[must_use]
    pub fn tpr(&self) -> u8 {
        self.tpr
    }

    /// Writes the task priority register.
    pub fn set_tpr(&mut self, value: u8) {
        self.tpr = value;
    }

    /// IA32_TSC_DEADLINE, in nanoseconds.
    #[must_use]
    pub fn tsc_deadline(&self) -> u64 {
        self.timer.tsc_deadline()
    }

    /// Writes IA32_TSC_DEADLINE.
    pub fn set_tsc_deadline(&mut self, now: VirtualTime, value: u64) {
        self.advance(now);
        self.timer.set_tsc_deadline(value);
        self.advance(now);
    }

    /// Brings the timer to `now`.
    pub fn advance(&mut self, now: VirtualTime) {
        if self.timer.advance(now) && self.lvt[LVT_TIMER] & LVT_MASKED == 0 {
            self.request(self.lvt[LVT_TIMER] as u8, false);
        }
    }

    /// When the timer requests an interrupt that is not requested already.
    #[must_use]
    pub fn deadline(&self) -> Option<VirtualTime> {
        let entry = self.lvt[LVT_TIMER];
        if entry & LVT_MASKED != 0 || self.irr.contains(entry as u8) { None } else { self.timer.expiry() }
    }

    /// The vector the processor should take now, if there is one above its priority.
    #[must_use]
    pub fn pending(&self) -> Option<u8> {
        if self.svr & SVR_ENABLE == 0 || !self.enabled() {
            return None;
        }
        self.irr.highest().filter(|vector| vector >> 4 > self.ppr() >> 4)
    }

    /// The processor takes the pending interrupt.
    pub fn acknowledge(&mut self) -> Option<u8> {
        let vector = self.pending()?;
        self.irr.set(vector, false);
        self.isr.set(vector, true);
        Some(vector)
    }

    /// Whether the processor takes vectors from the 8259: LINT0 is open in ExtINT mode, or there is no APIC in between.
    #[must_use]
    pub fn accepts_extint(&self) -> bool {
        !self.enabled() || self.lvt[LVT_LINT0] & (LVT_MASKED | 0x700) == 0x700
    }

    /// Whether anything comes of a change on the LINT0 pin.
    #[must_use]
    pub fn lint0_open(&self) -> bool {
        !self.enabled() || self.lvt[LVT_LINT0] & LVT_MASKED == 0
    }

    /// Sets the LINT0 pin, which is wired to the 8259's INTR. ExtINT mode is [`Self::accepts_extint`].
    pub fn set_lint0(&mut self, level: bool) {
        let rises = level && !self.lint0;
        self.lint0 = level;
        let entry = self.lvt[LVT_LINT0];
        if rises && entry & LVT_MASKED == 0 && self.enabled() {
            match DeliveryMode::from_bits((entry >> 8) as u8) {
                DeliveryMode::Fixed => self.request(entry as u8, false),
                DeliveryMode::Nmi => self.nmi = true,
                DeliveryMode::LowestPriority
                | DeliveryMode::Smi
                | DeliveryMode::Reserved
                | DeliveryMode::Init
                | DeliveryMode::StartUp
                | DeliveryMode::ExtInt => {}
            }
        }
    }

    /// Whether an NMI waits for the processor.
    #[must_use]
    pub fn nmi_pending(&self) -> bool {
        self.nmi
    }

    /// The processor takes the NMI. False when there is none.
    pub fn take_nmi(&mut self) -> bool {
        std::mem::take(&mut self.nmi)
    }

    /// A message arrives. Ignored when it is for others.
    pub fn accept(&mut self, message: InterruptMessage) {
        if !self.enabled() || !self.addressed(message.destination, message.logical) {
            return;
        }
        match message.mode {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority => self.request(message.vector, message.level),
            DeliveryMode::Nmi => self.nmi = true,
            // There is no system management mode; INIT and start-up matter with more than one processor only; and the
            // 8259 is wired to LINT0, not to an I/O APIC.
            DeliveryMode::Smi
            | DeliveryMode::Reserved
            | DeliveryMode::Init
            | DeliveryMode::StartUp
            | DeliveryMode::ExtInt => {}
        }
    }

    /// The guest reads the 32-bit register at `offset` from the base.
    pub fn read(&mut self, now: VirtualTime, offset: u64) -> u32 {
        self.advance(now);
        match offset {
            0x020 => u32::from(self.id) << 24,
            0x030 => VERSION,
            0x080 => u32::from(self.tpr),
            // Arbitration priority; with one processor nothing is arbitrated.
            0x090 => u32::from(self.ppr()),
            0x0a0 => u32::from(self.ppr()),
            // End of interrupt is for writing; remote read has nobody to ask.
            0x0b0 | 0x0c0 => 0,
            0x0d0 => self.ldr,
            0x0e0 => self.dfr,
            0x0f0 => self.svr,
            0x100..=0x170 if offset & 15 == 0 => self.isr.dword(offset >> 4 & 7),
            0x180..=0x1f0 if offset & 15 == 0 => self.tmr.dword(offset >> 4 & 7),
            0x200..=0x270 if offset & 15 == 0 => self.irr.dword(offset >> 4 & 7),
            0x280 => self.esr,
            0x300 => self.icr as u32,
            0x310 => (self.icr >> 32) as u32,
            0x320..=0x370 if offset & 15 == 0 => self.lvt[(offset as usize - 0x320) / 16],
            0x380 => self.timer.initial_count(),
            0x390 => self.timer.current_count(now),
            0x3e0 => self.timer.divide_configuration(),
            _ => {
                self.illegal_register(offset);
                0
            }
        }
    }

    /// The guest writes the 32-bit register at `offset`. Returns the vector whose end is broadcast to the I/O APICs.
    pub fn write(&mut self, now: VirtualTime, offset: u64, value: u32) -> Option<u8> {
        self.advance(now);
        match offset {
            0x020 => self.id = (value >> 24) as u8,
            0x080 => self.tpr = value as u8,
            0x0b0 => return self.end_of_interrupt(),
            0x0d0 => self.ldr = value & 0xff00_0000,
            0x0e0 => self.dfr = value | 0x0fff_ffff,
            0x0f0 => self.write_spurious_vector(value),
            0x280 => self.esr = std::mem::take(&mut self.esr_collecting),
            0x300 => self.write_interrupt_command(value),
            0x310 => self.icr = self.icr & 0xffff_ffff | u64::from(value & 0xff00_0000) << 32,
            0x320..=0x370 if offset & 15 == 0 => self.write_lvt((offset as usize - 0x320) / 16, value),
            0x380 => self.timer.set_initial_count(now, value),
            0x3e0 => self.timer.set_divide_configuration(now, value),
            // For reading only.
            0x030 | 0x090 | 0x0a0 | 0x0c0 | 0x100..=0x270 | 0x390 => {}
            _ => self.illegal_register(offset),
        }
        None
    }

    /// The processor priority register (SDM 11.8.3.1).
    fn ppr(&self) -> u8 {
        let in_service = self.isr.highest().unwrap_or(0);
        if self.tpr >> 4 >= in_service >> 4 { self.tpr } else { in_service & 0xf0 }
    }

    fn request(&mut self, vector: u8, level: bool) {
        if vector < FIRST_VECTOR {
            self.report_error(ESR_RECEIVE_ILLEGAL_VECTOR);
        } else if self.svr & SVR_ENABLE != 0 && !self.irr.contains(vector) {
            self.irr.set(vector, true);
            self.tmr.set(vector, level);
        }
    }

    fn report_error(&mut self, error: u32) {
        let news = self.esr_collecting & error == 0;
        self.esr_collecting |= error;
        let entry = self.lvt[LVT_ERROR];
        // An error about the error vector itself must not report itself again.
        if news && entry & LVT_MASKED == 0 && entry as u8 >= FIRST_VECTOR {
            self.request(entry as u8, false);
        }
    }

    /// Only the first bytes of each 16 are registers; the rest of the page is reserved.
    fn illegal_register(&mut self, offset: u64) {
        if offset & 15 == 0 {
            self.report_error(ESR_ILLEGAL_REGISTER);
        }
    }

    fn end_of_interrupt(&mut self) -> Option<u8> {
        let vector = self.isr.highest()?;
        self.isr.set(vector, false);
        self.tmr.contains(vector).then_some(vector)
    }

    fn write_spurious_vector(&mut self, value: u32) {
        let disables = self.svr & !value & SVR_ENABLE != 0;
        self.svr = value & 0x3ff;
        if disables {
            self.lvt.iter_mut().for_each(|entry| *entry |= LVT_MASKED);
        }
    }

    fn write_lvt(&mut self, n: usize, value: u32) {
        let mut entry = value & LVT_WRITABLE[n];
        // While the APIC is disabled by software, mask bits cannot be cleared (SDM 11.4.7.2).
        if self.svr & SVR_ENABLE == 0 {
            entry |= LVT_MASKED;
        }
        self.lvt[n] = entry;
        if n == LVT_TIMER {
            self.timer.set_mode(TimerMode::from_lvt(entry));
        }
    }

    /// Sends an inter-processor interrupt. There is one processor, so it reaches this one or nobody.
    fn write_interrupt_command(&mut self, value: u32) {
        // Delivery is immediate: its status bit is never seen set.
        self.icr = self.icr & !0xffff_ffff | u64::from(value & 0xc_cfff);
        let destination = match value >> 18 & 3 {
            0 => (self.icr >> 56) as u8,
            1 | 2 => self.id,
            _ => return,
        };
        let logical = value & 1 << 11 != 0 && value >> 18 & 3 == 0;
        let mode = DeliveryMode::from_bits((value >> 8) as u8);
        let vector = value as u8;
        if vector < FIRST_VECTOR && matches!(mode, DeliveryMode::Fixed | DeliveryMode::LowestPriority) {
            self.report_error(ESR_SEND_ILLEGAL_VECTOR);
            return;
        }
        self.accept(InterruptMessage { vector, mode, level: false, logical, destination });
    }

    fn addressed(&self, destination: u8, logical: bool) -> bool {
        let own = (self.ldr >> 24) as u8;
        if !logical {
            destination == self.id || destination == 0xff
        } else if self.dfr >> 28 == 0xf {
            destination & own != 0
        } else {
            destination == 0xff || destination >> 4 == own >> 4 && destination & own & 0xf != 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: VirtualTime = VirtualTime::ZERO;

    fn enabled() -> Lapic {
        let mut apic = Lapic::new(0);
        apic.write(T, 0xf0, 0x1ff);
        apic
    }

    fn message(vector: u8, level: bool) -> InterruptMessage {
        InterruptMessage { vector, mode: DeliveryMode::Fixed, level, logical: false, destination: 0 }
    }

    #[test]
    fn interrupts_come_by_priority_and_wait_for_their_class() {
        let mut apic = enabled();
        apic.accept(message(0x31, false));
        apic.accept(message(0x52, false));
        apic.accept(message(0x55, false));
        assert_eq!(apic.acknowledge(), Some(0x55));
        assert_eq!(apic.pending(), None, "the same class waits");
        assert_eq!(apic.read(T, 0xa0), 0x50);
        apic.write(T, 0xb0, 0);
        assert_eq!(apic.acknowledge(), Some(0x52));
        apic.write(T, 0xb0, 0);
        apic.set_tpr(0x30);
        assert_eq!(apic.pending(), None);
        apic.set_tpr(0x2f);
        assert_eq!(apic.acknowledge(), Some(0x31));
    }

    #[test]
    fn only_level_interrupts_broadcast_their_end() {
        let mut apic = enabled();
        apic.accept(message(0x40, true));
        assert_eq!(apic.read(T, 0x1a0), 1);
        apic.acknowledge();
        assert_eq!(apic.write(T, 0xb0, 0), Some(0x40));
        apic.accept(message(0x40, false));
        apic.acknowledge();
        assert_eq!(apic.write(T, 0xb0, 0), None);
    }

    #[test]
    fn logical_destinations_flat_and_clustered() {
        let mut apic = enabled();
        apic.write(T, 0xd0, 0x0200_0000);
        assert!(apic.addressed(0x03, true) && !apic.addressed(0x01, true));
        apic.write(T, 0xe0, 0x0000_0000);
        apic.write(T, 0xd0, 0x1200_0000);
        assert!(apic.addressed(0x13, true) && apic.addressed(0xff, true) && !apic.addressed(0x23, true));
        assert!(apic.addressed(0, false) && apic.addressed(0xff, false) && !apic.addressed(1, false));
    }

    #[test]
    fn virtual_wire_works_before_software_enables_the_apic() {
        let mut apic = Lapic::new(0);
        assert!(apic.accepts_extint());
        apic.write(T, 0x350, 0x0000_0700);
        assert!(!apic.accepts_extint(), "while disabled the mask cannot be cleared");
        apic.write(T, 0xf0, 0x1ff);
        apic.write(T, 0x350, 0x0000_0700);
        assert!(apic.accepts_extint());
        apic.write(T, 0xf0, 0xff);
        assert_eq!(apic.read(T, 0x350), 0x1_0700);
        assert!(apic.set_base(crate::pc::LAPIC_BASE | BASE_BSP));
        assert!(apic.accepts_extint(), "without an APIC the wire is direct");
    }

    #[test]
    fn lint0_in_fixed_mode_delivers_its_vector_on_the_edge() {
        let mut apic = enabled();
        apic.write(T, 0x350, 0x61);
        apic.set_lint0(true);
        apic.set_lint0(true);
        assert_eq!(apic.acknowledge(), Some(0x61));
        assert_eq!(apic.read(T, 0x230), 0);
    }

    #[test]
    fn self_ipi_and_nmi() {
        let mut apic = enabled();
        apic.write(T, 0x300, 0x4_00f2);
        assert_eq!(apic.acknowledge(), Some(0xf2));
        apic.write(T, 0x310, 0x0500_0000);
        apic.write(T, 0x300, 0x00f3);
        assert_eq!(apic.irr, Vectors::default(), "for processor 5");
        apic.write(T, 0x300, 0x4_0400);
        assert!(apic.take_nmi() && !apic.take_nmi());
    }

    #[test]
    fn errors_are_latched_by_writing_and_interrupt() {
        let mut apic = enabled();
        apic.write(T, 0x370, 0xfe);
        apic.write(T, 0x300, 0x4_0003);
        assert_eq!(apic.read(T, 0x280), 0);
        apic.write(T, 0x280, 0);
        assert_eq!(apic.read(T, 0x280), ESR_SEND_ILLEGAL_VECTOR);
        assert_eq!(apic.pending(), Some(0xfe));
        apic.read(T, 0x3f0);
        apic.write(T, 0x280, 0);
        assert_eq!(apic.read(T, 0x280), ESR_ILLEGAL_REGISTER);
    }

    #[test]
    fn a_masked_timer_has_no_deadline_but_counts() {
        let mut apic = enabled();
        apic.write(T, 0x3e0, 0xb);
        apic.write(T, 0x380, 1000);
        assert_eq!(apic.deadline(), None);
        assert_eq!(apic.read(VirtualTime::from_ns(400), 0x390), 600);
        apic.write(VirtualTime::from_ns(400), 0x320, 0x30);
        assert_eq!(apic.deadline(), Some(VirtualTime::from_ns(1000)));
        apic.advance(VirtualTime::from_ns(1000));
        assert_eq!(apic.pending(), Some(0x30));
    }

    #[test]
    fn reserved_bits_of_the_base_are_refused() {
        let mut apic = Lapic::new(0);
        assert!(!apic.set_base(crate::pc::LAPIC_BASE | 0xd00));
        assert!(!apic.set_base(1 << 40));
        assert!(apic.set_base(0x1_0000_0000 | 0x900));
        assert_eq!(apic.address(), 0x1_0000_0000);
    }
}
