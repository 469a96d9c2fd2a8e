//! The machine: a CPU, a board, a clock. Steps to exact positions; everything it does follows from its state.

mod build;
mod bus;
mod clock;
mod describe;
mod digest;
mod dma;
mod inspect;
mod landmarks;
mod observe;
mod parts;
mod screen;
mod session;
mod snapshot;
mod trace;

pub use build::BuildError;
pub use clock::NS_PER_INSTRUCTION;

pub use crate::pages::{PAGES_IN_CHUNK, Page, Pages};
use crate::{
    accel::{Accelerator, KvmError, Stop as CpuStop},
    disk::{DiskError, Disks},
};
use bus::BoardBus;
use clock::{Clock, Measure};
pub use describe::describe;
use digest::{MemoryDigest, OutputDigest};
pub use landmarks::{Arrival, Missed};
pub use parts::{Part, parts};
use rrvmm_devices::{
    Input, Output, Pc, PcState,
    pc::{PamSegment, VideoWindows},
};
use rrvmm_replay::{
    Admitted, Digest, EndReason, MachineDigest, Position, Stamp, Steppable, VirtualTime, timeline::Stop,
};
use rrvmm_tcg::{
    stops::{Hit, Stops},
    x86,
};
pub use screen::Onlooker;
use serde::Serialize;
use snapshot::Memory;
pub use snapshot::{CoreState, Snapshot};
pub use trace::Trace;

/// A `pc` with one CPU.
pub struct PcMachine {
    accel: Box<dyn Accelerator>,
    board: Pc,
    disks: Disks,
    clock: Clock,
    /// An NMI that the CPU has not taken yet.
    nmi: bool,
    ended: Option<EndReason>,
    outputs: Vec<Output>,
    /// The outputs with their times, if anybody wants those; no state.
    log: Option<Vec<(VirtualTime, Output)>>,
    output_digest: OutputDigest,
    memory_digest: MemoryDigest,
    /// What is known of RAM for saving and restoring; derived, not state.
    memory: Memory,
    /// What the accelerator was last told of the chipset's windows; derived, not state.
    windows: Option<([PamSegment; 13], VideoWindows)>,
    firmware_len: usize,
    /// The entries into user mode, and whether user code came next, when a run began that ends at a crossing.
    crossing: Option<(u64, bool)>,
    /// Up to when the machine has been told of the host's time.
    told: VirtualTime,
    /// Instructions completed at the last landmark.
    marked_at: u64,
    /// Whether positions are not counted, and landmarks say where it is.
    marks: bool,
    /// Whether a landmark's place is looked for from the beginning, by the translator alone.
    is_sure: bool,
    /// The state that was last given away in parts.
    kept: Option<Snapshot>,
}

/// What can go wrong below the guest.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The digest's encoder refused.
    #[error("the machine's state cannot be encoded")]
    Encode(#[from] rrvmm_replay::codec::CodecError),
    /// The CPU's state is lost.
    #[error(transparent)]
    Kvm(#[from] KvmError),
    /// A disk has not what the run needs.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A state that a recording gives the machine is not one of its own.
    #[error("{0}; the recording is damaged")]
    State(String),
}

#[derive(Serialize)]
struct DeviceState<'a> {
    board: &'a PcState,
    clock: Clock,
    nmi: bool,
}

impl PcMachine {
    /// Name of the engine that runs the guest.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        self.accel.name()
    }

    /// The CPU's state.
    #[must_use]
    pub fn cpu(&self) -> x86::State {
        self.accel.save()
    }

    /// Measures how long translation takes, from now on: [`PcMachine::stats`] then says so.
    pub fn measure(&mut self) {
        self.accel.measure(crate::host::nanoseconds);
    }

    /// What `--stats` says of the machine: name and value of each line.
    #[must_use]
    pub fn stats(&self) -> Vec<(&'static str, String)> {
        let unclaimed = self.board.unclaimed();
        let mut lines = self.accel.stats();
        lines.push(("unclaimed ports", unclaimed.ports.to_string()));
        lines.push(("unclaimed memory", unclaimed.memory.to_string()));
        lines
    }

    /// Moves outputs since the last call to the end of `to`.
    pub fn drain_outputs(&mut self, to: &mut Vec<Output>) {
        to.append(&mut self.outputs);
    }

    /// Keeps outputs with their times from now on, for [`PcMachine::take_log`].
    pub fn log_outputs(&mut self) {
        self.log.get_or_insert_default();
    }

    /// The outputs since the last call with the times at which the machine first looked at them: never later than the next
    /// timer, input or sleep of the guest.
    pub fn take_log(&mut self) -> Vec<(VirtualTime, Output)> {
        self.log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Changes a byte behind everybody's back.
    #[cfg(test)]
    pub(crate) fn tamper_memory(&mut self, page: usize, offset: usize, value: u8) {
        let mut bytes = *self.accel.page(page);
        bytes[offset] = value;
        self.accel.set_page(page, &bytes);
    }

    /// Changes a page behind everybody's back.
    #[cfg(test)]
    pub(crate) fn overwrite(&mut self, page: usize, bytes: &[u8; 4096]) {
        self.accel.set_page(page, bytes);
    }

    /// Changes a general register behind everybody's back.
    #[cfg(test)]
    pub(crate) fn tamper_register(&mut self, number: usize, value: u64) {
        let mut state = self.accel.save();
        state.regs[number] = value;
        self.accel.load(&state);
    }

    fn position(&self) -> Position {
        self.accel.position()
    }

    fn time(&self) -> VirtualTime {
        self.clock.at(self.position().count())
    }

    /// As [`Steppable::run_until`], which also says that the caller has seen where it ended.
    ///
    /// Whatever stops the CPU, the present comes first: an interrupt that is taken at a breakpoint is delivered before
    /// anybody looks at the breakpoint, which then counts when the interrupted program goes on.
    fn run_to(&mut self, target: Position) -> Stop<Hit> {
        loop {
            self.settle();
            if let Some(hit) = self.accel.take_access() {
                return Stop::Hit(hit);
            }
            if let Some(reason) = self.ended {
                return Stop::Ended(reason);
            }
            if self.has_crossed() {
                return Stop::Paused;
            }
            if self.halted() {
                return Stop::Idle;
            }
            if let Some(hit) = self.accel.breakpoint() {
                return Stop::Hit(hit);
            }
            let now = self.position();
            if now >= target {
                return Stop::Reached;
            }
            let stop = match self.board.next_deadline() {
                Some(deadline) => self.clock.position_of(deadline, now).map_or(target, |due| due.min(target)),
                None => target,
            };
            // An NMI that waits is taken as soon as it can be, which no line says: after IRET, whatever IF is.
            let stop = if self.nmi { stop.min(Position::from_count(now.count() + 1)) } else { stop };
            let interrupt = self.board.interrupt_pending();
            let mut bus = BoardBus { board: &mut self.board, clock: &mut self.clock };
            match self.accel.run_until(&mut bus, stop, interrupt) {
                CpuStop::Shutdown => {
                    self.collect_outputs();
                    self.ended = self.ended.or(Some(self.reason_of_shutdown()));
                }
                CpuStop::Paused => {
                    self.settle();
                    return Stop::Paused;
                }
                CpuStop::Reached
                | CpuStop::InterruptWindow
                | CpuStop::Attention
                | CpuStop::Halted
                | CpuStop::Hit => {}
            }
        }
    }

    /// Whether the CPU has come from user code to the kernel or back in a run that ends at that.
    fn has_crossed(&self) -> bool {
        self.crossing.is_some_and(|before| {
            let rings = self.accel.rings();
            rings.entries >= rings.stop && (rings.entries, self.accel.is_in_user_mode()) != before
        })
    }

    /// Brings everything up to the present: timers, outputs, chipset switches, interrupts.
    fn settle(&mut self) {
        let now = self.time();
        self.board.advance(now);
        self.serve_masters(now);
        self.collect_outputs();
        self.follow_chipset();
        self.nmi |= self.board.take_nmi();
        let mut bus = BoardBus { board: &mut self.board, clock: &mut self.clock };
        if self.nmi && self.accel.nmi(&mut bus) {
            self.nmi = false;
        }
        if bus.board.interrupt_pending()
            && self.accel.interruptible()
            && let Some(vector) = bus.board.acknowledge_interrupt(now)
        {
            self.accel.interrupt(&mut bus, vector);
        }
        let _ = self.board.attention();
    }

    fn collect_outputs(&mut self) {
        if !self.board.has_outputs() {
            return;
        }
        let now = self.time();
        for output in self.board.take_outputs() {
            self.output_digest.add(&output);
            let end = match output {
                Output::PowerOff => Some(EndReason::PowerOff),
                Output::Reset => Some(EndReason::Reset),
                Output::DebugExit { value } => {
                    Some(EndReason::DebugExit { status: value.wrapping_mul(2).wrapping_add(1) })
                }
                Output::Serial { .. }
                | Output::DebugConsole(_)
                | Output::Frame { .. }
                | Output::Console { .. } => None,
            };
            self.ended = self.ended.or(end);
            if let Some(log) = &mut self.log {
                log.push((now, output.clone()));
            }
            self.outputs.push(output);
        }
    }

    /// Tells the accelerator of the A20 gate, of shadow RAM and of the display adapter's windows.
    fn follow_chipset(&mut self) {
        self.accel.set_a20(self.board.a20_enabled());
        let (pam, video) = (self.board.pam(), self.board.video_windows());
        if self.windows != Some((pam, video)) {
            self.accel.set_windows(build::windows(&pam, video, self.firmware_len));
            self.windows = Some((pam, video));
        }
    }

    fn halted(&self) -> bool {
        self.accel.is_halted()
    }

    /// A PC resets when its CPU shuts down, and guests use that to reboot (Linux with `reboot=t`): they load an IDT without
    /// room for a single gate first. With any other IDT the shutdown is an accident.
    fn reason_of_shutdown(&self) -> EndReason {
        let smallest_gate = 4;
        if self.accel.save().system.idtr.limit < smallest_gate - 1 {
            EndReason::Reset
        } else {
            EndReason::TripleFault
        }
    }

    /// Gives the machine its disks, before it runs.
    pub fn attach(&mut self, disks: Disks) {
        self.disks = disks;
    }

    /// The disks' contents.
    #[must_use]
    pub fn disks(&self) -> &Disks {
        &self.disks
    }

    /// The disks' contents, to take from them what is no part of the state.
    pub fn disks_mut(&mut self) -> &mut Disks {
        &mut self.disks
    }

    fn check_disks(&mut self) -> Result<(), MachineError> {
        self.disks.take_fault().map_or(Ok(()), |fault| Err(fault.into()))
    }

    fn encode(&self) -> Result<(Digest, Digest), MachineError> {
        let mut cpu = self.accel.save();
        if self.clock.measure() == Measure::Accesses {
            // Whoever recorded did not count.
            cpu.count = 0;
        }
        let cpu = Digest::of_state(&cpu)?;
        let board = self.board.save();
        let devices = DeviceState { board: &board, clock: self.clock, nmi: self.nmi };
        let devices = match self.disks.digest() {
            Some(disks) => Digest::of_state(&(devices, disks))?,
            None => Digest::of_state(&devices)?,
        };
        Ok((cpu, devices))
    }
}

impl Steppable for PcMachine {
    type Input = Input;
    type Snapshot = Snapshot;
    type Error = MachineError;
    type Stops = Stops;
    type Hit = Hit;
    type Trace = Trace;

    fn now(&self) -> Stamp {
        Stamp::new(self.position(), self.time())
    }

    fn landmark(&mut self) -> Option<Vec<u8>> {
        self.marks.then(|| self.mark().encode())
    }

    fn run_until(&mut self, target: Position) -> Result<Stop<Hit>, MachineError> {
        let stop = self.run_to(target);
        // After an access the breakpoint of the instruction that comes next still counts.
        let behind = matches!(&stop, Stop::Hit(hit) if Self::is_behind(hit));
        self.accel.see(!behind);
        self.check_disks()?;
        self.accel.take_loss().map_or(Ok(stop), |loss| Err(loss.into()))
    }

    fn is_idle(&self) -> bool {
        self.halted() && self.ended.is_none()
    }

    /// A CPU halted with interrupts off sleeps for good: the board has no timer that raises an NMI.
    fn next_deadline(&self) -> Option<VirtualTime> {
        if self.halted() && !self.accel.interruptible() && !self.nmi {
            return None;
        }
        self.board.next_deadline()
    }

    fn idle_until(&mut self, time: VirtualTime) -> Result<(), MachineError> {
        self.clock.jump(time, self.position());
        self.settle();
        self.check_disks()
    }

    fn admit(&mut self, input: Admitted<Input>) -> Result<(), MachineError> {
        match input.input() {
            Input::Time { ns } => self.clock.jump(self.time().after(*ns), self.position()),
            Input::Flags { value } => {
                self.accel.set_arithmetic_flags(*value);
                return Ok(());
            }
            // It was taken where nothing was due.
            Input::State { part, .. } => return self.take_part(part),
            Input::Serial { .. }
            | Input::Key { .. }
            | Input::WallClock { .. }
            | Input::PowerButton
            | Input::Frame { .. }
            | Input::Pointer(_)
            | Input::Console { .. } => {}
        }
        let now = self.time();
        self.board.admit(now, input);
        self.settle();
        self.check_disks()
    }

    fn save(&mut self) -> Snapshot {
        self.take_snapshot()
    }

    fn restore(&mut self, state: &Snapshot) {
        self.return_to(state);
    }

    fn digest(&mut self) -> MachineDigest {
        let memory = self.memory_digest.update(&mut *self.accel);
        self.disks.sum_up();
        let (cpu, devices) = self.encode().unwrap_or_default();
        MachineDigest { cpu, devices, memory, outputs: self.output_digest.get() }
    }

    fn set_stops(&mut self, stops: &Stops) {
        self.accel.set_stops(stops);
    }

    fn is_behind(hit: &Hit) -> bool {
        match hit {
            Hit::Breakpoint { .. } | Hit::Event { .. } => false,
            Hit::Watch { .. } => true,
        }
    }

    fn trace(&mut self) -> Trace {
        self.take_trace()
    }

    fn may_hit(&self, trace: &Trace, stops: &Stops) -> bool {
        self.may_have_hit(trace, stops)
    }

    fn weight(state: &Snapshot, beside: Option<&Snapshot>) -> usize {
        state.weight(beside)
    }
}
