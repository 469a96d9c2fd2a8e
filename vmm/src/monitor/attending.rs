//! A session that is live, recorded or not, as a monitor sees it.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rrvmm_devices::Input;
use rrvmm_devices::vga::Frame;
use rrvmm_replay::{EndReason, JournalReader, Position, Steppable as _};

use super::events::Events;
use super::subject::{EventFilter, Mode, Place, Refused, Status, Subject};
use crate::diverge::Inspect as _;
use crate::host::InputSender;
use crate::machine::PcMachine;
use crate::session::{Attendant, Event, Save, Wish, some_events};

/// A live session, from the monitor's threads.
pub struct Attending {
    orders: Sender<Order>,
    shared: Arc<Shared>,
    recording: Option<PathBuf>,
    events: Arc<Events>,
    inputs: InputSender,
}

/// The monitor in the session, on the machine's thread.
pub struct Attendance {
    orders: Receiver<Order>,
    shared: Arc<Shared>,
}

struct Shared {
    position: AtomicU64,
    state: Mutex<State>,
}

struct State {
    status: Status,
    quit: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Order = Box<dyn FnOnce(&mut PcMachine, Save<'_, PcMachine>) + Send>;

impl Attending {
    /// The two ends of a monitor on a session that runs from `position` on, recorded into the file `recording` if there is
    /// one. Keys and pointer reach it through `inputs`.
    #[must_use]
    pub fn new(
        position: Position,
        recording: Option<PathBuf>,
        events: Arc<Events>,
        inputs: InputSender,
    ) -> (Self, Attendance) {
        let (sender, orders) = channel();
        let state = Mutex::new(State { status: Status::Running, quit: false });
        let shared = Arc::new(Shared { position: AtomicU64::new(position.count()), state });
        let attendance = Attendance { orders, shared: Arc::clone(&shared) };
        (Self { orders: sender, shared, recording, events, inputs }, attendance)
    }

    /// Has `work` done on the machine's thread, and waits for what it gives.
    fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut PcMachine, Save<'_, PcMachine>) -> R + Send + 'static,
    ) -> Result<R, Refused> {
        let over = || Refused("the session is over".to_owned());
        let (tell, told) = channel();
        let order: Order = Box::new(move |machine, save| {
            // Whoever asked may have gone.
            let _ = tell.send(work(machine, save));
        });
        self.orders.send(order).map_err(|_| over())?;
        told.recv().map_err(|_| over())
    }

    /// Makes what is recorded so far safe, and opens it.
    fn saved(&self) -> Result<JournalReader<BufReader<File>>, Refused> {
        let Some(path) = &self.recording else { return Err(Refused("this run is not recorded".to_owned())) };
        self.ask(|machine, save| save(machine))?.map_err(|error| Refused::because(&error))?;
        open(path)
    }
}

fn open(path: &Path) -> Result<JournalReader<BufReader<File>>, Refused> {
    let file = File::open(path)
        .map_err(|error| Refused(format!("cannot read the recording {}: {error}", path.display())))?;
    JournalReader::open(BufReader::new(file)).map_err(|error| Refused::because(&error))
}

impl Attendant<PcMachine> for Attendance {
    fn attend(&mut self, machine: &mut PcMachine, save: Save<'_, PcMachine>) -> Wish {
        self.shared.position.store(machine.now().position.count(), Ordering::Relaxed);
        while let Ok(order) = self.orders.try_recv() {
            order(machine, save);
        }
        let state = self.shared.state();
        match (state.quit, state.status) {
            (true, _) => Wish::End(EndReason::Quit),
            (false, Status::Running) => Wish::GoOn,
            (false, Status::Paused | Status::Debug | Status::Shutdown | Status::InternalError) => Wish::Stand,
        }
    }
}

impl Subject for Attending {
    fn status(&self) -> Status {
        self.shared.state().status
    }

    fn place(&self) -> Place {
        Place {
            mode: if self.recording.is_some() { Mode::Record } else { Mode::None },
            recording: self.recording.clone(),
            position: Position::from_count(self.shared.position.load(Ordering::Relaxed)),
            end: None,
        }
    }

    fn stop(&self) -> Result<(), Refused> {
        let before = std::mem::replace(&mut self.shared.state().status, Status::Paused);
        // When the order's turn has come, the machine stands.
        self.ask(|_, _| ())?;
        if before == Status::Running {
            self.events.stopped();
        }
        Ok(())
    }

    fn cont(&self) -> Result<(), Refused> {
        let before = std::mem::replace(&mut self.shared.state().status, Status::Running);
        if before != Status::Running {
            self.events.resumed();
        }
        Ok(())
    }

    fn seek(&self, _to: Position) -> Result<(), Refused> {
        Err(Refused(
            "this run is live and has no future yet; rrvmm replay its recording to go to and fro".to_owned(),
        ))
    }

    fn stop_at(&self, _at: Option<Position>) -> Result<(), Refused> {
        Err(Refused("this run is live; rrvmm replay its recording to stop at positions".to_owned()))
    }

    fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, Refused> {
        let mut journal = self.saved()?;
        let range = filter.from..=filter.to;
        some_events(&mut journal, range, filter.device.as_deref(), filter.most)
            .map_err(|error| Refused::because(&error))
    }

    fn registers(&self) -> Result<String, Refused> {
        self.ask(|machine, _| {
            let line = |(name, value): &(String, String)| format!("{name:<12}{value}\n");
            machine.registers().iter().map(line).collect()
        })
    }

    fn input(&self, input: Input) -> Result<(), Refused> {
        self.inputs.send(input).map_err(|over| Refused::because(&over))
    }

    fn frame(&self) -> Result<Frame, Refused> {
        self.ask(|machine, _| machine.frame())
    }

    fn checkpoint(&self) -> Result<String, Refused> {
        let journal = self.saved()?;
        Ok(format!("the recording is safe up to position {}\n", journal.summary().last.position))
    }

    fn live(&self, _output: Option<PathBuf>) -> Result<String, Refused> {
        Err(Refused("this run is live already".to_owned()))
    }

    fn command(&self, line: &str) -> Result<String, Refused> {
        match line.trim() {
            "where" => self.ask(|machine, _| {
                let now = machine.now();
                format!("position {}, {}\n{}\n", now.position, now.time, machine.instruction())
            }),
            _ => Err(Refused(format!("{line:?} is no command of a live session; `help` lists them"))),
        }
    }

    fn help(&self) -> &'static str {
        "where                       position, guest time, next instruction\n"
    }

    fn quit(&self) {
        self.shared.state().quit = true;
    }
}
