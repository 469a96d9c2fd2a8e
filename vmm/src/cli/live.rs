//! `rrvmm run`, `rrvmm record` and `rrvmm replay --live`: a machine with the host's consoles.

use super::args::{MachineArgs, PaceArg, RecordArgs, ReplayArgs, RunArgs, check_output};
use super::disks::OpenDisks;
use super::output::grouped;
use super::values::Every;
use super::{boot, display, open_file, report, tell_trouble, virtio};
use anyhow::Context;
use rrvmm::accel::CpuChoice;
use rrvmm::accel::{Auto, KVM};
use rrvmm::checkpoints::{Checkpoints, directory_of, discard};
use rrvmm::explore::Explorer;
use rrvmm::host::vnc::VncServer;
use rrvmm::host::{
    Appended, ConsoleSpec, Deadline, HostError, InputSender, Live, Pace, PaceChoice, Signals, Stopwatch,
    inputs, wall_clock,
};
use rrvmm::loader;
use rrvmm::machine::{BuildError, Onlooker, PcMachine};
use rrvmm::monitor::{self, Attending};
use rrvmm::session::{self, Aides, Attendant, Finish, Host, LiveConsoles, Options, Outcome, Setup, Start};
use rrvmm::tell;
use rrvmm_devices::{PcConfig, pc::DisplayConfig};
use rrvmm_replay::{JournalReader, Position, Steppable as _, timeline::Shelf};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    LiveSession::open(&args.machine, None)?.run()
}

pub(super) fn record(args: &RecordArgs) -> anyhow::Result<ExitCode> {
    check_output(&args.output, args.force)?;
    let mut session = LiveSession::open(&args.machine, Some(!args.no_embed))?;
    // Where instructions are not counted, checkpoints would have the wrong positions.
    let (mut checkpoints, mut states) = (args.checkpoint_every, Every(None));
    if session.machine.engine() == KVM {
        (checkpoints, states) = (Every(None), args.state_every);
    }
    session.options.states = states.0;
    session.record(NewRecording::create(&args.output, args.force, checkpoints)?)
}

/// How consoles are opened.
type Open = fn(&[ConsoleSpec], &Signals, Deadline) -> Result<Live, HostError>;

/// What a run needs to go on live from where an explorer is.
pub(super) struct Parting<'a> {
    pub args: &'a ReplayArgs,
    pub specs: &'a [ConsoleSpec],
    pub signals: Signals,
    /// Where it is recorded, if it is.
    pub recording: Option<NewRecording>,
    pub monitor: Option<monitor::Bound>,
    pub vnc: Option<VncServer>,
    /// Whether the consoles have had output of the recording before.
    pub again: bool,
}

/// Goes live from where `explorer` is. `ready` is called once the monitor shows the new session.
pub(super) fn go_live(
    explorer: Explorer,
    parting: Parting<'_>,
    ready: impl FnOnce(),
) -> anyhow::Result<ExitCode> {
    let Parting { args, specs, signals, recording, monitor, vnc, again } = parting;
    let here = explorer.position();
    let departure = explorer.depart()?;
    let open: Open = if again { Live::open_again } else { Live::open };
    let mut live = open(specs, &signals, Deadline::after(args.timeout))?;
    let inputs = take_inputs(&mut live, monitor.is_some(), vnc.as_ref())?;
    let mut host = LiveConsoles::new(live);
    host.show(&departure.outputs)?;
    let pace = PaceChoice::from(args.pace).resolve();
    // Where the monitor was to stop is no end of the live run.
    let until = args.session.engine.until.filter(|until: &Position| *until > here);
    let options = Options { until, timeout: args.timeout, pace, states: None };
    let start = Start::Midway(departure.past);
    let mut session = LiveSession {
        setup: departure.setup,
        machine: departure.machine,
        disks: OpenDisks::default(),
        signals,
        host,
        options,
        clock: Stopwatch::start(),
        wall_clock: departure.wall_clock,
        start,
        stats: false,
        monitor,
        vnc,
        auto: None,
        inputs,
        attendants: Vec::new(),
    };
    session.attend(recording.as_ref().map(|recording| recording.path.clone()));
    ready();
    match recording {
        Some(recording) => session.record(recording),
        None => session.run(),
    }
}

/// A recording that is to be made.
pub(super) struct NewRecording {
    path: PathBuf,
    file: File,
    every: Every,
}

impl NewRecording {
    /// Makes its file.
    pub(super) fn create(path: &Path, force: bool, every: Every) -> anyhow::Result<Self> {
        check_output(path, force)?;
        let file = if force { File::create(path) } else { File::create_new(path) };
        let file = file.with_context(|| {
            let path = path.display();
            format!("cannot make the recording {path}; choose a place with -o that can be written")
        })?;
        Ok(Self { path: path.to_owned(), file, every })
    }
}

/// What can be done with a recording that could not be finished.
fn saved(path: &Path) -> String {
    // Not a pipe or device, which would not give back what was written, or keep us waiting.
    match path.is_file().then(|| anyhow::Ok(JournalReader::open(open_file(path)?)?)) {
        Some(Ok(journal)) => format!(
            "what was saved of it can be replayed, up to instruction {}",
            grouped(journal.summary().last.position.count())
        ),
        Some(Err(_)) | None => {
            "nothing of it can be replayed; make room or choose another place with -o".to_owned()
        }
    }
}

/// Builds the machine; what cannot be booted is named by its file.
fn build(setup: &Setup, args: &MachineArgs, cpu: CpuChoice) -> anyhow::Result<PcMachine> {
    setup.build(cpu).map_err(|error| match (&error, &args.kernel, &args.bios) {
        (BuildError::Load(_), Some(path), None) | (BuildError::Load(_), None, Some(path)) => {
            let what = format!("cannot start {}", path.display());
            anyhow::Error::from(error).context(what)
        }
        _ => error.into(),
    })
}

/// A machine and what it is to run with.
struct LiveSession {
    setup: Setup,
    machine: PcMachine,
    disks: OpenDisks,
    signals: Signals,
    host: LiveConsoles,
    options: Options,
    clock: Stopwatch,
    wall_clock: i64,
    start: Start,
    stats: bool,
    monitor: Option<monitor::Bound>,
    vnc: Option<VncServer>,
    /// What the CPU was picked by, until that is said.
    auto: Option<Auto>,
    /// The way into the session for the monitor's keys and pointer.
    inputs: Option<InputSender>,
    attendants: Vec<Box<dyn Attendant<PcMachine>>>,
}

impl LiveSession {
    /// Checks and builds everything; the terminal comes last, so that errors find it as it was.
    ///
    /// `embed` says whether a recording is to have what is read of the disks, if one is to be made.
    fn open(args: &MachineArgs, embed: Option<bool>) -> anyhow::Result<Self> {
        args.check()?;
        let source = boot::read(args)?;
        let rom_bytes = source.vga_bios.as_ref().map_or(0, |rom| rom.len() as u32);
        let mode = loader::video_mode(&source)?;
        let display = DisplayConfig { rom_bytes, mode, ..DisplayConfig::pci() };
        let all: Vec<_> = args.disks.iter().chain(&args.cdroms).cloned().collect();
        let disks = OpenDisks::open(&all, embed.unwrap_or(true))?;
        let mut devices = disks.devices()?;
        let networks = args.networks();
        devices.extend(virtio::nics(&networks));
        devices.extend(virtio::devices(&args.virtio, &args.virtio_consoles)?);
        devices.extend(virtio::in_memory(&args.virtio_mmio)?);
        let board = PcConfig::new(args.memory, source.bios.is_some());
        let pc = PcConfig { cpus: args.cpus, devices, display, ..board };
        let (cpu, auto) = args.engine.cpu();
        let setup = Setup { pc, source, disks: disks.infos.clone(), cpu: cpu.model };
        let mut machine = build(&setup, args, cpu)?;
        machine.attach(disks.contents(embed.is_some()));
        if args.stats {
            machine.measure();
        }
        let monitor = args.monitor.as_deref().map(monitor::Bound::new).transpose()?;
        let signals = Signals::watch()?;
        let specs = args.consoles()?;
        let cards = virtio::cards(&networks)?;
        let vnc = display::open(&args.display)?;
        let mut live = Live::open(&specs, &signals, Deadline::after(args.timeout))?;
        live.attach(cards);
        let inputs = take_inputs(&mut live, monitor.is_some(), vnc.as_ref())?;
        let pace = match args.pace {
            // A network answers in the host's time; a guest whose time runs ahead would give up on it.
            PaceArg::Auto if !networks.is_empty() => Pace::Host,
            pace => PaceChoice::from(pace).resolve(),
        };
        let options = Options { until: args.engine.until, timeout: args.timeout, pace, states: None };
        let wall_clock = wall_clock();
        Ok(Self {
            setup,
            machine,
            disks,
            signals,
            host: LiveConsoles::new(live),
            options,
            clock: Stopwatch::start(),
            wall_clock,
            start: Start::PowerOn { wall_clock },
            stats: args.stats,
            monitor,
            vnc,
            auto,
            inputs,
            attendants: Vec::new(),
        })
    }

    /// Says who runs the guest, if nobody has said who is to.
    fn tell_engine(&mut self) {
        if let Some(auto) = self.auto.take() {
            tell!("rrvmm: {auto} (--accel auto)");
        }
    }

    /// Shows the session, recorded into `recording` if given, to the clients of its monitor and of its display, if it has them.
    fn attend(&mut self, recording: Option<PathBuf>) {
        if !self.attendants.is_empty() {
            return;
        }
        if let (Some(monitor), Some(inputs)) = (&mut self.monitor, &self.inputs) {
            let position = self.machine.now().position;
            let (attending, attendance) =
                Attending::new(position, recording, monitor.events(), inputs.clone());
            monitor.serve(Arc::new(attending));
            self.attendants.push(Box::new(attendance));
        }
        if let Some(vnc) = &self.vnc {
            self.attendants.push(Box::new(Onlooker(vnc.screen())));
        }
    }

    fn run(mut self) -> anyhow::Result<ExitCode> {
        self.tell_engine();
        self.attend(None);
        let aides = Aides { shelf: None, attendant: as_attendant(&mut self.attendants) };
        let ran = session::run_from(&mut self.machine, self.start, &mut self.host, &self.options, aides);
        let finished = self.host.finish();
        drop(self.attendants);
        let outcome = ran?;
        finished?;
        tell_clients(self.monitor.as_ref(), &outcome);
        let end = report::End { outcome: &outcome, signals: &self.signals, clock: self.clock };
        end.tell_unless_usual();
        end.tell_stats(self.stats, &self.machine);
        let status = end.status();
        self.disks.commit(self.machine.disks())?;
        // The process ends here; taking the machine apart first would only take time.
        std::mem::forget(self.machine);
        Ok(status)
    }

    fn record(mut self, recording: NewRecording) -> anyhow::Result<ExitCode> {
        let NewRecording { path: output, file, every } = recording;
        let path = output.display();
        self.tell_engine();
        self.attend(Some(output.clone()));
        let engine = self.machine.engine();
        // Those of a recording that was overwritten are of no use any more.
        let directory = directory_of(&output);
        discard(&directory);
        let checkpoints = every
            .0
            .filter(|_| output.is_file())
            .map(|every| Checkpoints::open(directory, &self.setup, self.wall_clock, Some(every)));
        let mut shelf = checkpoints.as_ref().map(Checkpoints::shelf);
        let aides = Aides {
            shelf: shelf.as_mut().map(|shelf| shelf as &mut dyn Shelf<_>),
            attendant: as_attendant(&mut self.attendants),
        };
        let recorded = session::record_from(
            &mut self.machine,
            &self.setup,
            engine,
            Appended::new(file),
            self.start,
            &mut self.host,
            &self.options,
            aides,
        );
        let finished = self.host.finish();
        drop(self.attendants);
        let trouble = checkpoints.and_then(Checkpoints::finish);
        let (outcome, out) =
            recorded.with_context(|| format!("the recording {path} stops here; {}", saved(&output)))?;
        out.finish()
            .and_then(|file| file.sync_all())
            .with_context(|| format!("cannot finish the recording {path}; {}", saved(&output)))?;
        finished?;
        tell_clients(self.monitor.as_ref(), &outcome);
        let end = report::End { outcome: &outcome, signals: &self.signals, clock: self.clock };
        end.tell(&format!("recorded in {path}"));
        tell_trouble(trouble);
        end.tell_stats(self.stats, &self.machine);
        let status = end.status();
        self.disks.commit(self.machine.disks())?;
        // The process ends here; taking the machine apart first would only take time.
        std::mem::forget(self.machine);
        Ok(status)
    }
}

fn as_attendant(
    attendants: &mut Vec<Box<dyn Attendant<PcMachine>>>,
) -> Option<&mut dyn Attendant<PcMachine>> {
    if attendants.is_empty() { None } else { Some(attendants) }
}

/// Lets keys and pointer of a monitor and of a display into a session, if it has either.
fn take_inputs(
    live: &mut Live,
    has_monitor: bool,
    vnc: Option<&VncServer>,
) -> Result<Option<InputSender>, HostError> {
    if !has_monitor && vnc.is_none() {
        return Ok(None);
    }
    // A guest that sleeps for good may still be woken by who sits before its screen.
    let (sender, receiver) = inputs(vnc.is_some()).map_err(HostError::Inputs)?;
    live.listen(receiver);
    if let Some(vnc) = vnc {
        vnc.seat(sender.clone());
    }
    Ok(Some(sender))
}

/// Tells the clients of the monitor, if there is one, how the run ended.
fn tell_clients(monitor: Option<&monitor::Bound>, outcome: &Outcome) {
    if let (Some(monitor), Finish::Ended(reason) | Finish::Stopped(reason)) = (monitor, &outcome.finish) {
        monitor.events().ended(*reason);
    }
}
