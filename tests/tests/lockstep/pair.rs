//! Both machines side by side.

use crate::kind::RAM;
use crate::program::Program;
use crate::side::{Side, entry};
use rrvmm_tcg::{
    interp::Interp,
    jit::Jit,
    x86::{State, engine::Stop},
};
use rrvmm_tests::run::Luck;
use std::fmt::Write as _;

/// Stretches in a run of one program.
const STRETCHES: u32 = 160;

/// The reference and what is tested.
pub struct Pair {
    pub reference: Side<Interp>,
    pub tested: Side<Jit>,
    blank: State,
}

/// How a run of both ended.
pub enum Outcome {
    /// They agreed for so many instructions.
    Same(u64),
    /// They differ when so many are complete.
    Different { count: u64, what: String },
}

impl Pair {
    pub fn new(jit: Jit) -> Self {
        let reference = Side::new(Interp);
        let blank = reference.engine.cpu.save();
        Self { reference, tested: Side::new(jit), blank }
    }

    /// Runs `program` with everything that `seed` decides (lengths of stretches, interrupts, registers), at most until
    /// `until` instructions are complete; there everything is compared.
    pub fn run(&mut self, program: &Program, seed: u64, until: u64) -> Outcome {
        let mut luck = Luck::seeded(seed);
        self.reference.load(program);
        self.tested.load(program);
        let mut count = 0;
        self.enter(program, count, &mut luck);
        for _ in 0..STRETCHES {
            let length = luck.of(&[1, 2, 3, 7, 50, 50, 200, 1000, 1000, 5000]);
            let limit = (count + length).min(until);
            let interrupt = luck.once_in(6);
            let stops = (self.reference.run(limit, interrupt), self.tested.run(limit, interrupt));
            count = self.reference.engine.cpu.core.count;
            if stops.0 == Stop::Attention && stops.1 == Stop::Attention {
                // In the middle of a REP that does not end; how far it got is nobody's business.
                break;
            }
            let mut what = self.registers(stops);
            let last = count >= until || stops.0 == Stop::Shutdown;
            if what.is_none() && (last || luck.once_in(12)) {
                what = self.memory();
            }
            if let Some(what) = what {
                return Outcome::Different { count, what };
            }
            if last {
                break;
            }
            match stops.0 {
                Stop::InterruptWindow => {
                    self.reference.interrupt();
                    self.tested.interrupt();
                }
                Stop::Halt => self.enter(program, count, &mut luck),
                Stop::Limit | Stop::Attention | Stop::Shutdown | Stop::Hit => {
                    if luck.once_in(8) {
                        self.enter(program, count, &mut luck);
                    }
                }
            }
        }
        match self.memory() {
            Some(what) => Outcome::Different { count, what },
            None => Outcome::Same(count),
        }
    }

    fn enter(&mut self, program: &Program, count: u64, luck: &mut Luck) {
        let state = entry(&self.blank, program, count, luck);
        self.reference.enter(&state);
        self.tested.enter(&state);
    }

    /// What differs in registers, stops, and what the devices saw.
    fn registers(&mut self, stops: (Stop, Stop)) -> Option<String> {
        let (a, b) = (self.reference.engine.cpu.save(), self.tested.engine.cpu.save());
        let devices = (&self.reference.devices, &self.tested.devices);
        let same = stops.0 == stops.1 && a == b && devices.0.log == devices.1.log && devices.1.late.is_none();
        if same {
            return None;
        }
        let mut text = String::new();
        if stops.0 != stops.1 {
            let _ = write!(text, " stop {:?} (tested {:?})", stops.0, stops.1);
        }
        states(&mut text, &a, &b);
        if devices.0.log != devices.1.log {
            let _ =
                write!(text, " devices saw {} accesses (tested {})", devices.0.accesses, devices.1.accesses);
        }
        if let Some(late) = devices.1.late {
            let _ = write!(text, " a device access at {late} came after one that asked to stop");
        }
        Some(text)
    }

    /// What differs in memory: its bytes (page tables among them), and which pages were written since the last look.
    fn memory(&mut self) -> Option<String> {
        let mut text = String::new();
        for page in 0..(RAM >> 12) as usize {
            let (a, b) = (self.reference.page(page), self.tested.page(page));
            if a == b {
                continue;
            }
            for (n, (a, b)) in a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b).take(8) {
                let _ = write!(text, " [{:#x}] {a:02x} (tested {b:02x})", page * 4096 + n);
            }
        }
        let dirty = (self.reference.take_dirty(), self.tested.take_dirty());
        if dirty.0 != dirty.1 {
            let _ = write!(text, " pages written {:x?} (tested {:x?})", dirty.0, dirty.1);
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Names what differs between two states.
fn states(text: &mut String, a: &State, b: &State) {
    const NAMES: [&str; 16] = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    let mut line = |name: &str, a: u128, b: u128| {
        if a != b {
            let _ = write!(text, " {name} {a:#x} (tested {b:#x})");
        }
    };
    line("count", a.count.into(), b.count.into());
    line("rip", a.rip.into(), b.rip.into());
    line("flags", a.rflags.into(), b.rflags.into());
    for (n, name) in NAMES.iter().enumerate() {
        line(name, a.regs[n].into(), b.regs[n].into());
    }
    for (n, (a, b)) in a.xmm.iter().zip(&b.xmm).enumerate() {
        line(&format!("xmm{n}"), *a, *b);
    }
    line("mxcsr", a.mxcsr.into(), b.mxcsr.into());
    line("cr2", a.system.cr2.into(), b.system.cr2.into());
    if a.system != b.system {
        text.push_str(" system registers");
    }
    if a.x87 != b.x87 {
        let _ = write!(text, " x87 {:x?} (tested {:x?})", a.x87, b.x87);
    }
}
