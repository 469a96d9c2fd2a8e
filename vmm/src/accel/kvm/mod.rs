//! User code on the host's CPU, under KVM; the kernel stays in the translator.
//!
//! The kernel's half of a run is exact by construction then: its instructions are counted, RDTSC and MSRs are the
//! translator's, page tables are marked by its walks, devices cost no exit. What user code does between two events is a
//! function of its registers and memory, whoever executes it; only how many instructions it takes is not known. So places
//! in such a stretch are named by what is there ([`crate::landmark`]), and the first replay counts.

mod chance;
mod check;
mod clock;
mod error;
mod hypervisor;
mod kick;
mod near;
mod next;
mod policy;
mod registers;
mod shell;
mod simulated;
mod tables;
mod telltale;
mod written;

pub use check::check;
pub use error::KvmError;
pub use hypervisor::NEEDED;
pub use near::Overshot;

use crate::host::Stopwatch;
use crate::landmark::Least;
use crate::pmu::Event;
use clock::Clock;
use hypervisor::{HostKvm, Hypervisor};
use kick::Kick;
use next::at_string;
use policy::{Failure, Policy};
use rrvmm_tcg::{
    Bus,
    block::Backend,
    x86::{
        Cpu, Exception,
        cpu::view,
        engine::{self, Engine},
        state::bits,
        system::{cpuid, interrupt, paging},
    },
};
use shell::{Left, Shell, takes};
use simulated::Simulated;
use std::time::Duration;
use tables::{Full, Tables};
use written::Written;

/// Pages mapped at a fault.
const AROUND: u64 = 16;
/// Page tables whose pages are remembered.
const MOST_SPACES: usize = 16;
/// Most pages mapped again in new tables.
const MOST_PAGES: usize = 8192;

/// The opcode of INT1.
const INT1: u64 = 0xf1;

/// Why [`UserMode::run`] came back.
pub(super) enum Stop {
    /// As the translator's run does.
    Engine(engine::Stop),
    /// User code has run as long as it may.
    Paused,
}

/// What has ended a [`UserMode::round`].
enum Round {
    /// A signal: user code can go on.
    Kicked,
    /// The translator has done one instruction, and user code can go on. Whether a signal came.
    Emulated(bool),
    /// The same, but not here.
    Kept,
    /// User code is left, or the translator has to be, for this.
    Left(Option<engine::Stop>),
}

/// What was done, for `--stats`.
#[derive(Clone, Copy, Debug, Default)]
struct Stats {
    entries: u64,
    kicks: u64,
    system_calls: u64,
    faults: u64,
    unable: u64,
    kept: u64,
    maps: u64,
    renewals: u64,
    counted: u64,
    inside: Duration,
}

/// Runs user code under KVM where that pays.
pub(super) struct UserMode {
    shell: Shell,
    tables: Tables,
    kick: Kick,
    /// The guest's CR3 that the tables are of.
    space: u64,
    /// Pages that other page tables had mapped, the latest last.
    spaces: Vec<(u64, Vec<u64>)>,
    /// [`rrvmm_tcg::phys::PhysMap::takes`] when the tables were made.
    takes: u64,
    policy: Policy,
    /// What counts user code here, where there is something.
    clock: Option<Clock>,
    /// At least so many events of the clock's were retired here since they were last asked for, in this entry into user mode.
    retired: (u64, u64),
    written: Written,
    /// Whether KVM is to run nothing for now.
    is_off: bool,
    /// The entry into user mode in which KVM has last run.
    ran_in: Option<u64>,
    /// Why it runs nothing any more.
    failure: Option<KvmError>,
    stats: Stats,
}

impl UserMode {
    /// For the RAM of `cpu`, on the thread that will run it.
    pub(super) fn new(cpu: &Cpu) -> Result<Self, KvmError> {
        let policy = Policy::of_process();
        let (hypervisor, counter): (Box<dyn Hypervisor>, _) = match policy.simulated {
            Some((event, seed)) => {
                let (hypervisor, counter) = Simulated::new(event, seed);
                (Box::new(hypervisor), Some((event, counter)))
            }
            None => (Box::new(HostKvm::new()?), None),
        };
        let mut shell = Shell::new(hypervisor, &cpu.core.phys)?;
        let clock = match counter {
            Some((event, counter)) => Some(Clock::simulated(event, counter)),
            None => Clock::of_host(&mut shell)?,
        };
        Ok(Self {
            shell,
            tables: Tables::new(Shell::entry()),
            kick: Kick::new()?,
            space: u64::MAX,
            spaces: Vec::new(),
            takes: 0,
            policy,
            clock,
            retired: (0, 0),
            written: Written::default(),
            is_off: false,
            ran_in: None,
            failure: None,
            stats: Stats::default(),
        })
    }

    /// Runs until `limit` as the engine does, but that user code may run longer.
    pub(super) fn run<B: Backend<Cpu>>(
        &mut self,
        engine: &mut Engine<B>,
        bus: &mut dyn Bus,
        limit: u64,
        interrupt: bool,
    ) -> Stop {
        loop {
            let before = (engine.cpu.core.rings.entries, engine.cpu.core.mmu);
            let piece = self.policy.piece(before.1 == view::USER);
            let end = limit.min(engine.cpu.core.count.saturating_add(piece));
            let stop = if end < limit {
                engine.run_roughly(bus, end, interrupt)
            } else {
                engine.run(bus, end, interrupt)
            };
            let is_done = stop != engine::Stop::Limit || engine.cpu.core.count >= limit;
            if is_done || self.is_off || self.failure.is_some() {
                return Stop::Engine(stop);
            }
            let same = before == (engine.cpu.core.rings.entries, view::USER);
            // Who stops at crossings looks for a place, from this one on.
            let is_near = engine.cpu.core.rings.entries >= engine.cpu.core.rings.stop;
            if !same || interrupt || is_near || !self.may_run(engine) {
                continue;
            }
            let begun = Stopwatch::start();
            self.kick.arm(self.policy.stretch);
            let ran = self.counted_stretch(engine, bus, begun);
            self.kick.disarm();
            let took = begun.elapsed();
            self.stats.inside += took;
            match ran {
                Ok(Some(stop)) => {
                    self.policy.paid();
                    return stop;
                }
                Ok(None) => self.policy.took(took),
                Err(failure @ KvmError::Lost(_)) => {
                    self.failure = Some(failure);
                    return Stop::Paused;
                }
                Err(failure) => {
                    crate::tell!("rrvmm: {failure}; the translator goes on alone");
                    self.failure = Some(failure);
                }
            }
        }
    }

    /// Whether user code may run here as it is.
    fn may_run<B: Backend<Cpu>>(&mut self, engine: &mut Engine<B>) -> bool {
        if engine.cpu.core.mmu != view::USER || !takes(&engine.cpu) {
            return false;
        }
        let may = self.tables.may_run(self.shell.memory(), &mut engine.cpu);
        if !may {
            self.stats.kept += 1;
            self.policy.wait_longer();
        }
        may
    }

    /// As [`UserMode::stretch`], and adds up what was retired in it, as far as that is known.
    fn counted_stretch<B: Backend<Cpu>>(
        &mut self,
        engine: &mut Engine<B>,
        bus: &mut dyn Bus,
        begun: Stopwatch,
    ) -> Result<Option<Stop>, KvmError> {
        let entries = engine.cpu.core.rings.entries;
        if let Some(clock) = &mut self.clock {
            clock.counter.restart()?;
        }
        let ran = self.stretch(engine, bus, begun);
        if let Some(clock) = &mut self.clock {
            let retired = clock.at_least()?;
            self.stats.counted += retired;
            let before = if self.retired.0 == entries { self.retired.1 } else { 0 };
            self.retired = (entries, before + retired);
        }
        ran
    }

    /// User code in one piece, until it is kicked or has left. The CPU is in user mode.
    fn stretch<B: Backend<Cpu>>(
        &mut self,
        engine: &mut Engine<B>,
        bus: &mut dyn Bus,
        begun: Stopwatch,
    ) -> Result<Option<Stop>, KvmError> {
        loop {
            match self.round(engine, bus)? {
                Round::Kicked => return Ok(Some(Stop::Paused)),
                Round::Left(stop) => return Ok(stop.map(Stop::Engine)),
                Round::Kept => return Ok(None),
                Round::Emulated(kicked) => {
                    if kicked || begun.elapsed() > self.policy.stretch {
                        return Ok(Some(Stop::Paused));
                    }
                }
            }
        }
    }

    /// User code until it comes to something that is the translator's to do, and that.
    fn round<B: Backend<Cpu>>(
        &mut self,
        engine: &mut Engine<B>,
        bus: &mut dyn Bus,
    ) -> Result<Round, KvmError> {
        let left = self.enter(engine, bus)?;
        self.serve(engine, bus, left)
    }

    /// User code until it comes to something that is the translator's to do.
    fn enter<B: Backend<Cpu>>(
        &mut self,
        engine: &mut Engine<B>,
        bus: &mut dyn Bus,
    ) -> Result<Left, KvmError> {
        if !self.shell.is_ready() {
            self.shell.set_cpuid(leaves(&engine.cpu, bus))?;
        }
        let entries = engine.cpu.core.rings.entries;
        let root = self.prepare(&mut engine.cpu)?;
        self.shell.load(&engine.cpu, root)?;
        self.stats.entries += 1;
        if self.ran_in != Some(entries) {
            self.ran_in = Some(entries);
            engine.take_lately();
        }
        match self.policy.failure(self.stats.entries) {
            Some(Failure::Exit) => {
                return Err(KvmError::Exit("a failure that a test has asked for".into()));
            }
            Some(Failure::Lost) => return Err(KvmError::Lost("a test has asked for it".into())),
            None => {}
        }
        self.shell.run(&mut engine.cpu)
    }

    /// What user code was left for.
    fn serve<B: Backend<Cpu>>(
        &mut self,
        engine: &mut Engine<B>,
        bus: &mut dyn Bus,
        left: Left,
    ) -> Result<Round, KvmError> {
        let entries = engine.cpu.core.rings.entries;
        match left {
            Left::Kicked => {
                self.stats.kicks += 1;
                // An instruction that the kick found in its middle is finished first.
                if !at_string(&engine.cpu) {
                    return Ok(Round::Kicked);
                }
            }
            Left::SystemCall => self.stats.system_calls += 1,
            Left::Vector(1) => {
                trap(engine, bus);
                return Ok(Round::Left(None));
            }
            Left::Vector(_) => self.stats.faults += 1,
            Left::Unable => self.stats.unable += 1,
        }
        let stop = engine.run(bus, engine.cpu.core.count + 1, false);
        let core = &engine.cpu.core;
        if stop != engine::Stop::Limit
            || core.rings.entries != entries
            || core.mmu != view::USER
            || !takes(&engine.cpu)
        {
            return Ok(Round::Left((stop != engine::Stop::Limit).then_some(stop)));
        }
        // Code that may not run here is the translator's, and so is a page that cannot be mapped.
        if let Left::Vector(14) = left
            && !self.map(&mut engine.cpu, self.shell.fault_address())?
        {
            return Ok(Round::Kept);
        }
        Ok(Round::Emulated(left == Left::Kicked))
    }

    /// Maps the page of `addr`, where user code has faulted, and those behind it, which it may reach next. Whether there
    /// is more in the first than before.
    fn map(&mut self, cpu: &mut Cpu, addr: u64) -> Result<bool, KvmError> {
        let mut more = false;
        for page in 0..AROUND {
            match self.tables.map(self.shell.memory(), cpu, addr.saturating_add(page << 12)) {
                Ok(mapped) => {
                    self.stats.maps += u64::from(mapped);
                    more |= page == 0 && mapped;
                }
                Err(Full) => {
                    self.renew(cpu)?;
                    return Ok(true);
                }
            }
        }
        Ok(more)
    }

    /// Page tables for the state of `cpu`: those there are, unless something in them is not so any more.
    fn prepare(&mut self, cpu: &mut Cpu) -> Result<u64, KvmError> {
        let flushed = cpu.core.flushed.take(|addr| self.tables.has(addr));
        let walked = cpu.core.walked.take();
        let phys = &cpu.core.phys;
        let same = self.space == cpu.sys.cr3 && self.takes == phys.takes;
        let root = match self.tables.root() {
            Some(root) if same && !flushed && self.tables.hold(phys) => root,
            _ => self.renew(cpu)?,
        };
        // What the translator has just reached is what user code goes on with.
        for addr in walked {
            match self.tables.map(self.shell.memory(), cpu, addr) {
                Ok(mapped) => self.stats.maps += u64::from(mapped),
                Err(Full) => return self.renew(cpu),
            }
        }
        // What was mapped just now may be code that was data before.
        if self.tables.hold(&cpu.core.phys) { Ok(root) } else { self.renew(cpu) }
    }

    /// New tables, with the pages that user code of this address space had mapped before.
    fn renew(&mut self, cpu: &mut Cpu) -> Result<u64, KvmError> {
        self.stats.renewals += 1;
        let old = self.tables.pages();
        if self.space != u64::MAX {
            self.spaces.retain(|(space, _)| *space != self.space);
            self.spaces.push((self.space, old));
            if self.spaces.len() > MOST_SPACES {
                self.spaces.remove(0);
            }
        }
        (self.space, self.takes) = (cpu.sys.cr3, cpu.core.phys.takes);
        let _ = cpu.core.flushed.take(|_| false);
        if self.tables.is_full() {
            self.shell.forget_tables()?;
            self.tables.start_over();
        }
        self.tables.renew(self.shell.memory())?;
        let known = self.spaces.iter().find(|(space, _)| *space == self.space);
        let known = known.map(|(_, pages)| pages.clone()).unwrap_or_default();
        self.map_all(cpu, &known);
        // Code that was found late, and mapped as data before: it is known now.
        if !self.tables.hold(&cpu.core.phys) {
            self.tables.renew(self.shell.memory())?;
            self.map_all(cpu, &known);
        }
        self.tables.root().ok_or_else(|| KvmError::Exit("no room for tables".to_owned()))
    }

    fn map_all(&mut self, cpu: &mut Cpu, pages: &[u64]) {
        for &page in pages.iter().take(MOST_PAGES) {
            if self.tables.map(self.shell.memory(), cpu, page).is_err() {
                break;
            }
        }
    }

    /// Why the CPU's state is not what it should be any more.
    pub(super) fn take_loss(&mut self) -> Option<KvmError> {
        self.failure.take_if(|failure| matches!(failure, KvmError::Lost(_)))
    }

    /// What was retired here since the last call or entry into user mode, by number `entry`.
    pub(super) fn take_retired(&mut self, entry: u64) -> Least {
        let (of, retired) = std::mem::take(&mut self.retired);
        match &self.clock {
            Some(clock) if of == entry => clock.says(retired),
            _ => Least::default(),
        }
    }

    /// Has KVM run user code, or nothing.
    pub(super) fn set_on(&mut self, on: bool) {
        self.is_off = !on;
    }

    /// Whether any of the user code since entry number `entry` into user mode has run here.
    pub(super) fn has_run_in(&self, entry: u64) -> bool {
        self.ran_in == Some(entry)
    }

    /// As [`super::Accelerator::take_uncounted_writes`].
    pub(super) fn take_written<B: Backend<Cpu>>(&mut self, engine: &mut Engine<B>) -> Vec<u64> {
        let mut written = std::mem::take(&mut self.written);
        let pages = written.take(|| self.ask_written(engine));
        self.written = written;
        pages
    }

    /// Physical addresses of the pages that user code has written since the last call: here, of those that it can still
    /// write, and in the translator since it first went from there to KVM.
    fn ask_written<B: Backend<Cpu>>(&mut self, engine: &mut Engine<B>) -> Vec<u64> {
        let lately = engine.take_lately();
        let phys = &engine.cpu.core.phys;
        let may = self.tables.writable(phys);
        let mut written: Vec<_> = match self.shell.take_written() {
            Ok(written) => written.into_iter().filter(|page| may.contains(page)).collect(),
            Err(failure) => {
                crate::tell!("rrvmm: {failure}; the translator goes on alone");
                self.failure = Some(failure);
                may.into_iter().collect()
            }
        };
        written.extend(lately.into_iter().map(|page| phys.page_address(page)));
        written.sort_unstable();
        written.dedup();
        written
    }

    /// What `--stats` says of it.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let s = &self.stats;
        let counted = match self.clock.as_ref().map(|clock| clock.event) {
            Some(Event::ConditionalBranches) => "conditional branches counted in them",
            Some(Event::Instructions) | None => "instructions counted in them",
        };
        vec![
            ("stretches of user code under KVM", s.entries.to_string()),
            ("time in them", format!("{:.3} s", s.inside.as_secs_f64())),
            ("kicks", s.kicks.to_string()),
            ("system calls from them", s.system_calls.to_string()),
            ("faults from them", s.faults.to_string()),
            ("instructions KVM could not do", s.unable.to_string()),
            ("times user code was kept from KVM", s.kept.to_string()),
            ("pages mapped for them", s.maps.to_string()),
            ("page tables made for them", s.renewals.to_string()),
            (counted, s.counted.to_string()),
        ]
    }
}

/// Every leaf that the translator's CPUID answers, as `cpu` has it now.
fn leaves(cpu: &Cpu, bus: &dyn Bus) -> Vec<(u32, u32, cpuid::Leaf)> {
    let all = (0..=cpuid::MAX_BASIC).chain(0x8000_0000..=cpuid::MAX_EXTENDED);
    let subleaves = |leaf| 0..if matches!(leaf, 4 | 7 | 0xd) { 4 } else { 1 };
    all.flat_map(|leaf| subleaves(leaf).map(move |sub| (leaf, sub)))
        .map(|(leaf, sub)| (leaf, sub, cpuid::leaf(cpu, bus, leaf, sub)))
        .collect()
}

/// A debug trap: user code has set TF, or this is INT1.
fn trap<B: Backend<Cpu>>(engine: &mut Engine<B>, bus: &mut dyn Bus) {
    let cpu = &mut engine.cpu;
    // Where TF is clear, the instruction may be the one that has cleared it.
    let before = paging::peek(cpu, cpu.core.pc.wrapping_sub(1)).and_then(|phys| cpu.core.phys.read(phys, 1));
    if cpu.sys.eflags & bits::TF != 0 || before != Some(INT1) {
        let single_step = 1 << 14;
        interrupt::raise(cpu, bus, Exception::Debug { dr6: single_step });
    } else {
        cpu.core.pc = cpu.core.pc.wrapping_sub(1);
        engine.run(bus, engine.cpu.core.count + 1, false);
    }
}
