//! A simulated counter over a simulated guest, with the faults that counters are known to have. Nothing here reads the host.
//!
//! The guest is a loop of a few instructions, some of which retire and some do not. A long run costs no more than a step, so a million
//! places take seconds.

use super::counter::{Counter, Left, MIN_PERIOD, PmuError, Rearming, Vcpu};
use super::quality::Rig;
use std::cell::{RefCell, RefMut};
use std::rc::Rc;

/// A step of the simulated guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Causes an event.
    Counts,
    /// Causes none: an iteration of a string instruction, or what the host's kernel completes (CPUID).
    Silent,
    /// Leaves the guest and is completed by the VMM, which notes it.
    Leaves,
}

/// The simulated guest: `steps` over and over.
#[derive(Clone, Debug)]
pub struct Program {
    /// One round; at least one step counts.
    pub steps: Vec<Step>,
    /// The guest's state is the same every so many rounds; 0: never.
    pub repeats: u64,
    /// Steps until the stretch ends.
    pub length: u64,
}

/// How late a simulated overflow interrupts, in steps: `usual` at most, but out of 1000 times `rarely` times up to `tail`.
#[derive(Clone, Copy, Debug)]
pub struct Skid {
    /// Most usually.
    pub usual: u64,
    /// Times of 1000.
    pub rarely: u64,
    /// Most then.
    pub tail: u64,
}

/// A host's faults.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// How late overflows come.
    pub skid: Skid,
    /// Of 1000 overflows, how many never interrupt.
    pub lost: u64,
    /// Of 1000 runs, how many another signal cuts short.
    pub kicked: u64,
    /// Of 1000 runs, in how many an interrupt of the host counts as an event.
    pub overcount: u64,
    /// Most events counted too many in a stretch.
    pub most_overcount: u64,
    /// Each entry to the guest counts.
    pub counts_entries: bool,
    /// A new period only begins after the next overflow of the old one.
    pub period_bug: bool,
    /// Steps after which the watchdog interrupts.
    pub watchdog: u64,
}

impl Faults {
    /// A counter that is never wrong and stops at once.
    pub const NONE: Self = Self {
        skid: Skid { usual: 0, rarely: 0, tail: 0 },
        lost: 0,
        kicked: 0,
        overcount: 0,
        most_overcount: 0,
        counts_entries: false,
        period_bug: false,
        watchdog: 1 << 40,
    };
}

/// Shared by a counter and its vCPU.
#[derive(Debug)]
struct Sim {
    program: Program,
    faults: Faults,
    random: u64,
    /// Steps done since the stretch began: what is true.
    at: u64,
    /// The step at which `arrived` is true.
    place: u64,
    /// Position in a round of each step that counts.
    counting: Vec<u64>,
    /// Events of a round before each of its steps.
    before: Vec<u64>,
    overcounted: u64,
    unretired: u64,
    rearming: Rearming,
    /// Count of the hardware at the next overflow, and the period after it.
    overflow: Option<(u64, u64)>,
    /// The period asked for while the bug keeps the old one.
    later: Option<u64>,
    /// Step at which the guest stops for an overflow that has happened.
    stop: Option<u64>,
}

impl Sim {
    /// xorshift64* (Marsaglia, Vigna).
    fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.random() % bound }
    }

    fn happens(&mut self, of_1000: u64) -> bool {
        of_1000 > 0 && self.below(1000) < of_1000
    }

    fn round(&self) -> u64 {
        self.program.steps.len() as u64
    }

    /// Events that truly retired before step `at`.
    fn events(&self, at: u64) -> u64 {
        at / self.round() * self.counting.len() as u64 + self.before[(at % self.round()) as usize]
    }

    /// The least step before which `events` have retired.
    fn step_of(&self, events: u64) -> u64 {
        let Some(last) = events.checked_sub(1) else { return 0 };
        let of_round = self.counting.len() as u64;
        last / of_round * self.round() + self.counting[(last % of_round) as usize] + 1
    }

    /// What the hardware says.
    fn hardware(&self) -> u64 {
        self.events(self.at) + self.overcounted
    }

    fn state(&self, at: u64) -> (u64, u64) {
        let rounds = at / self.round();
        (at % self.round(), rounds.checked_rem(self.program.repeats).unwrap_or(rounds))
    }

    fn enter(&mut self, stepping: bool) {
        let faults = self.faults;
        if faults.counts_entries {
            self.overcounted += 1;
        }
        if !stepping && self.overcounted < faults.most_overcount && self.happens(faults.overcount) {
            self.overcounted += 1;
        }
    }

    /// The next step from `at` on that leaves the guest.
    fn leaves(&self) -> Option<u64> {
        let round = self.round();
        (self.at..self.at + round).find(|step| self.program.steps[(step % round) as usize] == Step::Leaves)
    }

    /// Overflows that happen on the way to step `to` become stops; lost ones do not.
    fn overflow_until(&mut self, to: u64) {
        while let Some((at, period)) = self.overflow {
            let step = self.step_of(at.saturating_sub(self.overcounted)).max(self.at);
            if step > to || self.stop.is_some() {
                return;
            }
            let period = self.later.take().unwrap_or(period);
            self.overflow = Some((at + period, period));
            if !self.happens(self.faults.lost) {
                let Skid { usual, rarely, tail } = self.faults.skid;
                let most = if self.happens(rarely) { tail } else { usual };
                self.stop = Some(step + self.below(most + 1));
            }
        }
    }

    fn run(&mut self) -> Left<()> {
        self.enter(false);
        let kick = if self.happens(self.faults.kicked) { 5_000 } else { self.faults.watchdog };
        let mut goal = self.program.length.min(self.at + 1 + self.below(kick));
        let leaves = self.leaves().filter(|&step| step < goal);
        goal = leaves.map_or(goal, |step| step + 1);
        self.overflow_until(goal);
        if let Some(stop) = self.stop.filter(|&stop| stop < goal) {
            self.stop = None;
            self.at = stop.max(self.at);
            return Left::Interrupted;
        }
        self.at = goal;
        match leaves {
            _ if goal == self.program.length => Left::Exit(()),
            Some(_) => Left::Emulated(1),
            None => Left::Interrupted,
        }
    }

    fn step(&mut self) -> Left<()> {
        if self.stop.is_some_and(|stop| stop <= self.at) || self.happens(self.faults.kicked) {
            self.stop = None;
            return Left::Interrupted;
        }
        self.enter(true);
        let step = self.program.steps[(self.at % self.round()) as usize];
        self.overflow_until(self.at + 1);
        self.at += 1;
        match step {
            _ if self.at == self.program.length => Left::Exit(()),
            Step::Leaves => Left::Emulated(1),
            Step::Counts | Step::Silent => Left::Stepped,
        }
    }
}

/// The counter of a simulated host.
#[derive(Debug)]
pub struct SimCounter(Rc<RefCell<Sim>>);

/// The vCPU of a simulated host.
#[derive(Debug)]
pub struct SimVcpu(Rc<RefCell<Sim>>);

/// A simulated host with one vCPU.
#[derive(Debug)]
pub struct SimHost {
    /// The vCPU's counter.
    pub counter: SimCounter,
    /// The vCPU.
    pub vcpu: SimVcpu,
}

impl SimHost {
    /// A host with these faults; what is by chance follows from `seed`.
    ///
    /// # Panics
    ///
    /// If no step of the program counts.
    pub fn new(program: Program, faults: Faults, seed: u64) -> Self {
        let sim = Sim {
            program: Program { steps: Vec::new(), repeats: 0, length: 0 },
            faults,
            random: seed | 1,
            at: 0,
            place: 0,
            counting: Vec::new(),
            before: Vec::new(),
            overcounted: 0,
            unretired: 0,
            rearming: Rearming::Period,
            overflow: None,
            later: None,
            stop: None,
        };
        let sim = Rc::new(RefCell::new(sim));
        let mut host = Self { counter: SimCounter(sim.clone()), vcpu: SimVcpu(sim) };
        host.load(program);
        host
    }

    fn sim(&mut self) -> RefMut<'_, Sim> {
        self.vcpu.0.borrow_mut()
    }

    /// Has the guest stand before another program, and restarts the counter.
    ///
    /// # Panics
    ///
    /// If no step of the program counts.
    pub fn load(&mut self, program: Program) {
        let mut sim = self.sim();
        let counts = |(at, step): (usize, &Step)| (*step == Step::Counts).then_some(at as u64);
        sim.counting = program.steps.iter().enumerate().filter_map(counts).collect();
        assert!(!sim.counting.is_empty(), "a program in which nothing counts");
        let before =
            (0..program.steps.len() as u64).map(|at| sim.counting.iter().filter(|c| **c < at).count());
        sim.before = before.map(|count| count as u64).collect();
        sim.program = program;
        drop(sim);
        self.begin_stretch();
    }

    /// Has the guest stand at the beginning of the stretch, as a restored checkpoint does.
    pub fn begin_stretch(&mut self) {
        let mut sim = self.sim();
        sim.at = 0;
        sim.stop = None;
        sim.restart();
    }

    /// Steps done since the stretch began: what no counter says.
    pub fn truth(&mut self) -> u64 {
        self.sim().at
    }

    /// Has [`Vcpu::arrived`] be true in the state that the guest has after `steps` steps.
    pub fn set_place(&mut self, steps: u64) {
        self.sim().place = steps;
    }
}

impl Sim {
    fn restart(&mut self) {
        // The program begins with the stretch, so that the true count is 0 there.
        debug_assert_eq!(self.at, 0);
        (self.overcounted, self.unretired, self.overflow, self.later) = (0, 0, None, None);
    }
}

impl Counter for SimCounter {
    fn restart(&mut self) -> Result<(), PmuError> {
        self.0.borrow_mut().restart();
        Ok(())
    }

    fn count(&mut self) -> Result<u64, PmuError> {
        let sim = self.0.borrow();
        Ok(sim.hardware() + sim.unretired)
    }

    fn arm(&mut self, events: u64) -> Result<(), PmuError> {
        if events < MIN_PERIOD {
            return Err(PmuError::PeriodTooShort(events));
        }
        let mut sim = self.0.borrow_mut();
        if sim.faults.period_bug && sim.rearming == Rearming::Period && sim.overflow.is_some() {
            sim.later = Some(events);
        } else {
            sim.overflow = Some((sim.hardware() + events, events));
        }
        Ok(())
    }

    fn disarm(&mut self) -> Result<(), PmuError> {
        self.0.borrow_mut().overflow = None;
        Ok(())
    }

    fn set_rearming(&mut self, how: Rearming) {
        self.0.borrow_mut().rearming = how;
    }

    fn note_unretired(&mut self, events: u64) {
        self.0.borrow_mut().unretired += events;
    }
}

impl Vcpu for SimVcpu {
    type Exit = ();

    fn run(&mut self) -> Result<Left<()>, PmuError> {
        Ok(self.0.borrow_mut().run())
    }

    fn step(&mut self) -> Result<Left<()>, PmuError> {
        Ok(self.0.borrow_mut().step())
    }

    fn arrived(&mut self) -> Result<bool, PmuError> {
        let sim = self.0.borrow();
        Ok(sim.state(sim.at) == sim.state(sim.place))
    }
}

impl Rig for SimHost {
    type Counter = SimCounter;
    type Vcpu = SimVcpu;

    fn begin(&mut self, events: u64) -> Result<(), PmuError> {
        self.load(Program { steps: vec![Step::Counts; 3], repeats: 0, length: events });
        Ok(())
    }

    fn parts(&mut self) -> (&mut SimCounter, &mut SimVcpu) {
        (&mut self.counter, &mut self.vcpu)
    }
}
