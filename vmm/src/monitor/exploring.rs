//! A recording that is explored, as a monitor sees it.

use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rrvmm_devices::Input;
use rrvmm_devices::vga::Frame;
use rrvmm_replay::Position;
use rrvmm_tcg::stops::Stops;

use super::events::Events;
use super::subject::{EventFilter, Mode, Place, Refused, Status, Subject};
use crate::explore::{Explorer, HELP, Halt, Handle};
use crate::session::Event;
use crate::tell;

/// Instructions that the machine runs before others may ask something: some ten milliseconds.
const SLICE: u64 = 1 << 23;

/// How long a question about the position waits for a motion to end.
const PATIENCE: Duration = Duration::from_millis(50);

/// What to do when someone asks to go live; gives what to say. It ends the exploration.
type GoLive = dyn Fn(Option<PathBuf>) -> Result<String, Refused> + Send + Sync;

/// A recording that is explored. Clones are the same one.
///
/// Running, the machine does a slice at a time, so that questions are answered between slices. If somebody else (gdb)
/// moves it between two slices, it stops running.
#[derive(Clone)]
pub struct Exploring(Arc<Shared>);

struct Shared {
    handle: Handle,
    recording: PathBuf,
    end: Position,
    events: Arc<Events>,
    go_live: Box<GoLive>,
    state: Mutex<State>,
}

struct State {
    status: Status,
    /// Number of the last run: slices of earlier ones no longer count.
    run: u64,
    stop_at: Option<Position>,
}

impl Exploring {
    /// `handle`'s recording, which is in the file `recording` and ends at `end`; the machine stands. Whatever it does is told
    /// to `events`. `go_live` is called to go live, and ends the exploration.
    pub fn new(
        handle: Handle,
        recording: PathBuf,
        end: Position,
        events: Arc<Events>,
        go_live: impl Fn(Option<PathBuf>) -> Result<String, Refused> + Send + Sync + 'static,
    ) -> Self {
        let state = Mutex::new(State { status: Status::Paused, run: 0, stop_at: None });
        Self(Arc::new(Shared { handle, recording, end, events, go_live: Box::new(go_live), state }))
    }

    /// As [`Subject::cont`], without waiting for anything.
    pub fn run(&self) {
        let number = {
            let mut state = self.state();
            if state.status == Status::Running {
                return;
            }
            state.status = Status::Running;
            state.run += 1;
            state.run
        };
        self.0.events.resumed();
        self.next_slice(number, None);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the next slice done when its turn comes; `from` is where the last one ended.
    fn next_slice(&self, run: u64, from: Option<Position>) {
        let this = self.clone();
        // If the session is over, so is this run.
        let _ = self.0.handle.begin(move |explorer| this.slice(explorer, run, from));
    }

    fn slice(&self, explorer: &mut Explorer, run: u64, from: Option<Position>) {
        let here = explorer.position();
        let stop_at = {
            let state = self.state();
            if state.status != Status::Running || state.run != run {
                return;
            }
            state.stop_at.filter(|at| *at > here)
        };
        if from.is_some_and(|from| from != here) {
            return self.halt(run, Status::Paused);
        }
        let slice = Position::from_count(here.count().saturating_add(SLICE));
        let limit = stop_at.map_or(slice, |at| at.min(slice));
        match explorer.run(Some(limit), &Stops::default()) {
            Ok(Halt::Reached) if stop_at == Some(explorer.position()) => {
                self.state().stop_at = None;
                self.halt(run, Status::Debug);
            }
            Ok(Halt::Reached) => self.next_slice(run, Some(explorer.position())),
            Ok(Halt::Ended(reason)) => {
                self.0.events.ended(reason);
                self.halt(run, Status::Shutdown);
            }
            Ok(Halt::Cut(_)) => self.halt(run, Status::Shutdown),
            Ok(Halt::Interrupted | Halt::Hit(_) | Halt::Start | Halt::Returned) => {
                self.halt(run, Status::Paused);
            }
            Err(error) => {
                tell!("rrvmm: the replay cannot go on: {}", Refused::because(&error));
                self.halt(run, Status::InternalError);
            }
        }
    }

    /// The machine stands, if it was this run that moved it.
    fn halt(&self, run: u64, status: Status) {
        {
            let mut state = self.state();
            if state.status != Status::Running || state.run != run {
                return;
            }
            state.status = status;
        }
        self.0.events.stopped();
    }

    /// Has a motion done that begins wherever the machine is and ends with it standing.
    fn move_it(
        &self,
        motion: impl FnOnce(&mut Explorer) -> Result<(), Refused> + Send + 'static,
    ) -> Result<(), Refused> {
        let run = {
            let mut state = self.state();
            let was_running = std::mem::replace(&mut state.status, Status::Running) == Status::Running;
            state.run += 1;
            (state.run, was_running)
        };
        if !run.1 {
            self.0.events.resumed();
        }
        let moved = self.0.handle.ask(motion);
        self.halt(run.0, Status::Paused);
        moved?
    }

    fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Explorer) -> R + Send + 'static,
    ) -> Result<R, Refused> {
        Ok(self.0.handle.ask(work)?)
    }
}

impl Subject for Exploring {
    fn status(&self) -> Status {
        self.state().status
    }

    fn place(&self) -> Place {
        let (tell, told) = channel();
        // If the session is over, or somebody else is in the middle of a motion, its last word must do.
        let asked = self.0.handle.begin(move |explorer| {
            // Whoever asked may have lost patience.
            let _ = tell.send(explorer.position());
        });
        let position = asked.ok().and_then(|_| told.recv_timeout(PATIENCE).ok());
        Place {
            mode: Mode::Play,
            recording: Some(self.0.recording.clone()),
            position: position.unwrap_or_else(|| self.0.handle.position()),
            end: Some(self.0.end),
        }
    }

    fn stop(&self) -> Result<(), Refused> {
        let run = {
            let state = self.state();
            (state.status == Status::Running).then_some(state.run)
        };
        if let Some(run) = run {
            self.halt(run, Status::Paused);
        }
        self.0.handle.interrupt();
        self.ask(|_| ())
    }

    fn cont(&self) -> Result<(), Refused> {
        let (is_at_end, position) = self.ask(|explorer| {
            let place = explorer.place();
            (place.diverged_at.is_none() && place.now >= place.end, place.now.position)
        })?;
        if is_at_end {
            return Err(Refused(format!(
                "the recording ends here, at position {position}; replay_seek goes back, live goes on"
            )));
        }
        self.run();
        Ok(())
    }

    fn seek(&self, to: Position) -> Result<(), Refused> {
        self.move_it(move |explorer| {
            let halt = explorer.go_to(to).map_err(|error| Refused::because(&error))?;
            let now = explorer.position();
            match halt {
                Halt::Reached | Halt::Hit(_) | Halt::Start | Halt::Returned => Ok(()),
                Halt::Ended(_) if now == to => Ok(()),
                Halt::Ended(reason) => {
                    Err(Refused(format!("the recording ends before that, at position {now}: {reason}")))
                }
                Halt::Cut(cut) => Err(Refused(format!("{cut}; the machine is at position {now}"))),
                Halt::Interrupted => Err(Refused(format!("interrupted at position {now}"))),
            }
        })
    }

    fn stop_at(&self, at: Option<Position>) -> Result<(), Refused> {
        self.state().stop_at = at;
        Ok(())
    }

    fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, Refused> {
        let filter = filter.clone();
        let listed = self.ask(move |explorer| {
            explorer.events_of(filter.from..=filter.to, filter.device.as_deref(), filter.most)
        })?;
        listed.map_err(|error| Refused::because(&error))
    }

    fn registers(&self) -> Result<String, Refused> {
        self.command("registers")
    }

    fn input(&self, _input: Input) -> Result<(), Refused> {
        Err(Refused(
            "this is a replay, which no key and no pointer of this host reaches; `live` goes on from here with them".to_owned(),
        ))
    }

    fn frame(&self) -> Result<Frame, Refused> {
        self.ask(|explorer| explorer.frame())
    }

    fn checkpoint(&self) -> Result<String, Refused> {
        self.ask(|explorer| {
            let position = explorer.position();
            let Some(timeline) = explorer.timeline() else {
                return Err(Refused("this is a diversion; replay_seek leads back to the recording".to_owned()));
            };
            if !timeline.is_at_arrival() {
                let text = "in the middle of what happens at this position there can be no checkpoint; replay_seek to it first";
                return Err(Refused(text.to_owned()));
            }
            timeline.checkpoint();
            Ok(format!("checkpoint at position {position}\n"))
        })?
    }

    fn live(&self, output: Option<PathBuf>) -> Result<String, Refused> {
        self.stop()?;
        (self.0.go_live)(output)
    }

    fn command(&self, line: &str) -> Result<String, Refused> {
        let line = line.to_owned();
        let (answer, notices) = self.ask(move |explorer| {
            let answer = explorer.command(&line);
            (answer, explorer.take_notices())
        })?;
        if answer.failed {
            return Err(Refused(answer.text.trim_end().to_owned()));
        }
        let notices: String = notices.iter().map(|notice| format!("{notice}\n")).collect();
        Ok(notices + &answer.text)
    }

    fn help(&self) -> &'static str {
        HELP
    }

    fn quit(&self) {
        self.0.handle.quit();
    }
}
