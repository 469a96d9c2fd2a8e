use std::time::Duration;

use rrvmm_devices::{Input, Output};
use rrvmm_replay::seam::Due;
use rrvmm_replay::timeline::{DriveError, Step, jump, place, step_on};
use rrvmm_replay::{EndReason, Position, Seam, Steppable, VirtualTime};

use super::attendant::{Aides, Wish};
use super::host::{Host, Polled};
use super::machine::Machine;
use super::outcome::{Finish, Outcome};
use super::slice::Slice;
use super::{Options, SessionError};
use crate::host::Pace;

/// Least host time between two looks at the host while the machine runs or jumps from timer to timer.
const POLL_DISTANCE: Duration = Duration::from_millis(1);

/// Most host time between two flushes of a recording. A killed one lacks no more than this and what writing that much takes
/// (`writing/queue.rs`).
const FLUSH_DISTANCE: Duration = Duration::from_secs(1);

/// Most host time between two looks of an attendant while the machine sleeps or stands.
const ATTENDANCE: Duration = Duration::from_millis(20);

/// Shortest sleep of a paced machine that the host sleeps too. Shorter ones, such as that for a disk's request, are put together: the host would
/// oversleep each of them several times.
const SHORTEST_SLEEP: Duration = Duration::from_micros(500);

/// Runs the machine until the run or the session ends: the one loop under `run`, `record`, `replay` and `verify`.
///
/// Host time decides only when the host is looked at and when inputs come; where they come is recorded.
pub(super) fn drive<M, S, H>(
    machine: &mut M,
    seam: &mut S,
    host: &mut H,
    options: &Options,
    aides: Aides<'_, M>,
) -> Result<Outcome, SessionError>
where
    M: Machine,
    M::Error: std::error::Error + Send + Sync + 'static,
    S: Seam<Input = Input>,
    H: Host<Offer = S::Offer>,
{
    let mut session = Session {
        machine,
        seam,
        host,
        options,
        at_arrival: false,
        aides,
        is_standing: false,
        slice: Slice::new(),
        busy: Duration::ZERO,
        outputs: Vec::new(),
        last_poll: None,
        last_flush: Duration::ZERO,
        last_state: Duration::ZERO,
        owed: Duration::ZERO,
    };
    let finish = session.run();
    session.show()?;
    session.outcome(finish?)
}

/// Flushes a recording, with the digest that this may need, and waits until others can read it.
fn save<M, S>(machine: &mut M, seam: &mut S) -> Result<(), SessionError>
where
    M: Machine,
    S: Seam<Input = Input>,
{
    seam.flush(machine.now())?;
    if let Due::Digest = seam.due(machine.now())? {
        place(machine, seam)?;
        seam.digest(machine.now(), &machine.digest())?;
    }
    Ok(seam.sync()?)
}

struct Session<'a, 'b, M: Steppable, S, H> {
    machine: &'a mut M,
    seam: &'a mut S,
    host: &'a mut H,
    options: &'a Options,
    /// Whether the machine has just come to where it is: no input and no sleep there has gone before.
    at_arrival: bool,
    aides: Aides<'b, M>,
    /// Whether the attendant wants the machine to stand.
    is_standing: bool,
    slice: Slice,
    /// Host time that the guest ran and that the machine has not been told of.
    busy: Duration,
    outputs: Vec<Output>,
    last_poll: Option<Duration>,
    last_flush: Duration,
    last_state: Duration,
    /// What a paced machine has slept and the host has not.
    owed: Duration,
}

impl<M, S, H> Session<'_, '_, M, S, H>
where
    M: Machine,
    M::Error: std::error::Error + Send + Sync + 'static,
    S: Seam<Input = Input>,
    H: Host<Offer = S::Offer>,
{
    fn run(&mut self) -> Result<Finish, SessionError> {
        loop {
            if let Some(reason) = self.look_at_host()? {
                return self.stop(reason);
            }
            if self.is_standing {
                self.wait(ATTENDANCE)?;
                continue;
            }
            let here = self.machine.now().position;
            let until = self.options.until.unwrap_or(Position::from_count(u64::MAX));
            if here >= until {
                return self.stop(EndReason::Until);
            }
            let slice = Position::from_count(here.count().saturating_add(self.slice.instructions()));
            let started = self.host.elapsed();
            let at_arrival = std::mem::take(&mut self.at_arrival);
            let step = step_on(self.machine, self.seam, slice.min(until), at_arrival)
                .map_err(|error| self.close(error))?;
            self.show()?;
            let took = self.host.elapsed().saturating_sub(started);
            self.busy += took;
            match step {
                Step::Reached => {
                    self.at_arrival = true;
                    self.slice.took(took);
                    self.tell_time()?;
                }
                Step::Ended(reason) => return Ok(Finish::Ended(reason)),
                Step::Cut(cut) => return Ok(Finish::Cut(cut)),
                Step::Digested { at_arrival } => {
                    if at_arrival {
                        self.keep_state();
                    }
                }
                Step::Hit(hit) => unreachable!("no session asks for {hit:?}"),
                Step::Idle { until } => {
                    if let Some(finish) = self.idle(until)? {
                        return Ok(finish);
                    }
                }
            }
        }
    }

    /// The machine has just come to a digest, which is the last event: a good place for a checkpoint.
    fn keep_state(&mut self) {
        let (now, events) = (self.machine.now(), self.seam.events());
        if let Some(shelf) = &mut self.aides.shelf
            && events != u64::MAX
            && shelf.wants(now)
        {
            shelf.put(now, self.machine.save(), events.saturating_sub(1));
        }
    }

    /// Records the machine's state, for a replay that loses the run before.
    fn record_state(&mut self) -> Result<(), SessionError> {
        place(self.machine, self.seam)?;
        self.at_arrival = false;
        self.seam.digest(self.machine.now(), &self.machine.digest())?;
        for part in self.machine.state_parts().map_err(DriveError::Machine)? {
            self.seam.state(self.machine.now(), part)?;
        }
        Ok(())
    }

    /// Takes what the host has; gives the reason if the session is to stop.
    fn look_at_host(&mut self) -> Result<Option<EndReason>, SessionError> {
        let now = self.host.elapsed();
        if self.last_poll.is_some_and(|last| now.saturating_sub(last) < POLL_DISTANCE) {
            return Ok(None);
        }
        self.last_poll = Some(now);
        self.host.reached(self.machine.now().position);
        if let Some(reason) = self.attend()? {
            return Ok(Some(reason));
        }
        if self.options.timeout.is_some_and(|timeout| now >= timeout) {
            return Ok(Some(EndReason::Timeout));
        }
        if now.saturating_sub(self.last_flush) >= FLUSH_DISTANCE {
            if self.is_standing {
                save(self.machine, self.seam)?;
            } else {
                self.seam.flush(self.machine.now())?;
            }
            self.last_flush = now;
        }
        if self.options.states.is_some_and(|every| now.saturating_sub(self.last_state) >= every) {
            self.record_state()?;
            self.last_state = self.host.elapsed();
        }
        loop {
            match self.host.poll(self.machine.full_ports())? {
                Polled::Nothing => return Ok(None),
                Polled::Stop(reason) => return Ok(Some(reason)),
                Polled::Input(offer) => {
                    self.at_arrival = false;
                    self.admit(offer)?;
                }
            }
        }
    }

    /// Tells a machine that does not know it by its instructions how much time has passed.
    fn tell_time(&mut self) -> Result<(), SessionError> {
        if let Some(input) = self.machine.time_passed(std::mem::take(&mut self.busy))
            && let Some(offer) = S::offer(input)
        {
            self.at_arrival = false;
            self.admit(offer)?;
        }
        Ok(())
    }

    /// Lets an input of the host's in.
    fn admit(&mut self, offer: S::Offer) -> Result<(), SessionError> {
        place(self.machine, self.seam)?;
        let input = self.seam.admit(offer, self.machine.now())?;
        Ok(self.machine.admit(input).map_err(DriveError::Machine)?)
    }

    /// Lets the attendant look in; gives the reason if the session is to stop.
    fn attend(&mut self) -> Result<Option<EndReason>, SessionError> {
        let Some(attendant) = &mut self.aides.attendant else { return Ok(None) };
        let seam = &mut *self.seam;
        let mut save = |machine: &mut M| save(machine, seam);
        let wish = attendant.attend(self.machine, &mut save);
        self.is_standing = wish == Wish::Stand;
        Ok(match wish {
            Wish::GoOn | Wish::Stand => None,
            Wish::End(reason) => Some(reason),
        })
    }

    /// The machine sleeps until `until`, or until something comes from outside.
    fn idle(&mut self, until: Option<VirtualTime>) -> Result<Option<Finish>, SessionError> {
        let now = self.machine.now().time;
        match (until, self.options.pace) {
            (Some(_), Pace::Free) => jump(self.machine, self.seam, until)?,
            (Some(time), Pace::Host) => {
                let sleep = self.owed + Duration::from_nanos(time.since(now));
                if sleep < SHORTEST_SLEEP {
                    self.owed = sleep;
                    return Ok(jump(self.machine, self.seam, until).map(|()| None)?);
                }
                let slept = Duration::from_nanos(self.wait(sleep)?);
                let slept_now = slept.saturating_sub(self.owed).as_nanos() as u64;
                self.owed = self.owed.saturating_sub(slept);
                jump(self.machine, self.seam, Some(now.after(slept_now).min(time)))?;
            }
            // A recording that goes on here is not the run that sleeps here for good.
            (None, _) if !self.host.may_offer() => {
                jump(self.machine, self.seam, None)?;
                return self.stop(EndReason::HaltedForever).map(Some);
            }
            // Only an input can wake it. Time passes, or else the guest would sleep between two keys for no time at all.
            (None, _) => {
                let slept = self.wait(FLUSH_DISTANCE)?;
                jump(self.machine, self.seam, Some(now.after(slept)))?;
            }
        }
        Ok(None)
    }

    /// Waits for the host, at most `limit` and never past a flush or the timeout; gives the nanoseconds that passed.
    fn wait(&mut self, limit: Duration) -> Result<u64, SessionError> {
        let started = self.host.elapsed();
        let left = self.options.timeout.map_or(FLUSH_DISTANCE, |timeout| timeout.saturating_sub(started));
        let attended = if self.aides.attendant.is_some() { ATTENDANCE } else { FLUSH_DISTANCE };
        // What was full when the host was looked at may have been read since.
        self.host.wait(limit.min(attended).min(left), self.machine.full_ports())?;
        self.last_poll = None;
        Ok(self.host.elapsed().saturating_sub(started).as_nanos() as u64)
    }

    fn stop(&mut self, reason: EndReason) -> Result<Finish, SessionError> {
        place(self.machine, self.seam)?;
        let digest = self.machine.digest();
        self.seam.stop(self.machine.now(), reason, &digest)?;
        Ok(Finish::Stopped(reason))
    }

    /// Ends the recording where the machine failed, so that it is complete up to there.
    fn close(&mut self, error: DriveError<M::Error>) -> SessionError {
        if let DriveError::Machine(_) = error {
            // The first error is the one to report.
            let _ = place(self.machine, self.seam);
            let digest = self.machine.digest();
            let _ = self.seam.stop(self.machine.now(), EndReason::EngineFault, &digest);
        }
        error.into()
    }

    fn show(&mut self) -> Result<(), SessionError> {
        self.machine.take_outputs(&mut self.outputs);
        if !self.outputs.is_empty() {
            self.host.show(&self.outputs)?;
            self.outputs.clear();
        }
        Ok(())
    }

    fn outcome(&mut self, finish: Finish) -> Result<Outcome, SessionError> {
        let cpus = match &finish {
            Finish::Ended(reason) | Finish::Stopped(reason) => match reason {
                EndReason::TripleFault | EndReason::HaltedForever | EndReason::EngineFault => {
                    Some(self.machine.describe_cpus())
                }
                EndReason::PowerOff
                | EndReason::Reset
                | EndReason::DebugExit { .. }
                | EndReason::Quit
                | EndReason::Signal
                | EndReason::Timeout
                | EndReason::Until => None,
            },
            Finish::Cut(_) => None,
        };
        Ok(Outcome { finish, at: self.machine.now(), digest: self.machine.digest(), cpus })
    }
}
