//! One chip per file. A chip knows its registers, FIFOs and pins; the board decides where they are wired.
//!
//! Every chip is plain data and follows one rule: `advance(now)` brings it to `now`, and calling it more often in between
//! changes nothing. So a saved state depends on what the guest did and when, never on how often the engine stopped.

pub mod hpet;
pub mod i8042;
pub mod ioapic;
pub mod keyboard;
pub mod lapic;
pub mod lapic_timer;
pub mod mc146818;
pub mod mouse;
pub mod pic8259;
pub mod pit8254;
pub mod pit_counter;
pub mod pm;
pub mod rtc_calendar;
pub mod ticks;
pub mod uart16550;
