//! Every command and option, once: parser, help and checks.

use super::disks::{DiskArg, cdrom, disk};
use super::values::{Every, Module, every, module, position, timeout};
use super::virtio::{NetArg, VirtioArg, net};
use anyhow::ensure;
use clap::{Args, Parser, Subcommand, ValueEnum};
use rrvmm::accel::{Auto, CpuChoice, auto};
use rrvmm::explore::parse_range;
use rrvmm::gdb::GdbAddress;
use rrvmm::host::vnc::DisplaySpec;
use rrvmm::host::{ConsoleSpec, PaceChoice};
use rrvmm::memory::{MIN_RAM, parse_size};
use rrvmm::session::{MOST_CONSOLE_PORTS, MOST_NICS};
use rrvmm_replay::Position;
use rrvmm_tcg::x86::Model;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Records one run of a whole machine and replays it exactly.
#[derive(Debug, Parser)]
#[command(name = "rrvmm", version, after_help = super::status::HELP)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a machine without recording it
    Run(RunArgs),
    /// Run a machine and record the run
    Record(RecordArgs),
    /// Run a recording again, exactly
    Replay(ReplayArgs),
    /// Debug a recording with gdb, forwards and backwards
    Debug(DebugArgs),
    /// Give a command to a session that has a --monitor socket, and print the answer
    Monitor(MonitorArgs),
    /// Replay a recording and compare every digest in it
    Verify(VerifyArgs),
    /// Tell what a recording is of and how far it goes
    Info(InfoArgs),
    /// List the events in a recording
    Events(EventsArgs),
    /// Find the last instruction before a position that wrote to an address
    LastWrite(LastWriteArgs),
    /// Find the first instruction from a position on that reads from an address
    FirstRead(FirstReadArgs),
    /// List every execution of an instruction, or every access to an address
    Hits(HitsArgs),
    /// Write what a recording has in the formats of other programs
    Export(ExportArgs),
    /// Write a picture of the screen as it was at a position
    Screenshot(ScreenshotArgs),
    /// Find the first instruction after which two runs differ
    Diff(DiffArgs),
    /// Record, replay and go back in a built-in guest: no files needed
    Demo,
    /// Tell what this host can do for rrvmm, and what to change
    Doctor(DoctorArgs),
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    /// The recording to make
    #[arg(short, long, value_name = "OUT.rrvm")]
    pub output: PathBuf,
    /// Overwrite the recording if it exists
    #[arg(long)]
    pub force: bool,
    /// Virtual time between two checkpoints beside the recording, at least; they take no more than a twentieth of the time.
    /// none: no new ones
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = every)]
    pub checkpoint_every: Every,
    /// Host time between two states of the machine that a recording under KVM keeps: a replay that loses the run goes on
    /// from the next. none: it does not
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = every)]
    pub state_every: Every,
    /// Keep only hashes of what is read of the disks: a replay then needs the images
    #[arg(long)]
    pub no_embed: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// What a machine is made of and how it is run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Machine options")]
pub(super) struct MachineArgs {
    /// Kernel: a Linux bzImage, a Multiboot image or an ELF file with a PVH note
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Initial ramdisk for Linux
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// Kernel command line
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub cmdline: String,
    /// Firmware image to start instead of a kernel
    #[arg(long, value_name = "FILE")]
    pub bios: Option<PathBuf>,
    /// Video BIOS for the firmware to find on the display adapter [default: vgabios-stdvga.bin beside --bios, if it is there]
    #[arg(long, value_name = "FILE")]
    pub vga_bios: Option<PathBuf>,
    /// Module for a Multiboot kernel; what follows the first comma is its command line (may be repeated)
    #[arg(long = "module", value_name = "FILE[,TEXT]", value_parser = module)]
    pub modules: Vec<Module>,
    /// Guest memory in bytes, or with a suffix K, M or G
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = parse_size)]
    pub memory: u64,
    /// Disk of this image, which is not changed; options after commas: format=raw|qcow2, if=virtio|ide|ahci, ro,
    /// media=cdrom, commit: write what the guest has written back at the end (may be repeated)
    #[arg(long = "disk", value_name = "FILE[,OPTION...]", value_parser = disk)]
    pub disks: Vec<DiskArg>,
    /// CD-ROM drive with the disc of this image; if=ahci as for --disk (may be repeated)
    #[arg(long = "cdrom", value_name = "FILE", value_parser = cdrom)]
    pub cdroms: Vec<DiskArg>,
    /// Network card and its other end: user (the host's network, through passt), unix=PATH or tap=NAME, with
    /// ,model=e1000 or ,model=ne2000 for another card than virtio, with ,mtu=BYTES for a virtio card to tell the guest; none
    /// for no card (may be repeated)
    #[arg(long = "net", value_name = "NETWORK[,model=CARD][,mtu=BYTES]", value_parser = net)]
    pub nets: Vec<Option<NetArg>>,
    /// Virtio devices beside disks and network cards
    #[arg(long, value_enum, value_name = "DEVICE[,DEVICE...]", value_delimiter = ',')]
    pub virtio: Vec<VirtioArg>,
    /// As --virtio, with registers in memory instead of on the PCI bus
    #[arg(long, value_enum, value_name = "DEVICE[,DEVICE...]", value_delimiter = ',')]
    pub virtio_mmio: Vec<VirtioArg>,
    /// Port of a virtio console (hvc0, hvc1, ...), as for --serial (may be repeated)
    #[arg(long = "virtio-console", value_name = "CONSOLE")]
    pub virtio_consoles: Vec<ConsoleSpec>,
    /// Number of processors
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub cpus: u8,
    /// Board
    #[arg(long, value_enum, default_value_t = Machine::Pc)]
    pub machine: Machine,
    /// Console of COM1, given a second time of COM2: stdio, pty, null, file=PATH, unix=PATH or
    /// tcp=[ADDRESS:]PORT [default: stdio, null]
    #[arg(long = "serial", value_name = "CONSOLE")]
    pub serial: Vec<ConsoleSpec>,
    /// Where the screen is shown: none, or vnc=[ADDRESS:]PORT[,password=TEXT|,password-file=FILE]; without an address for this
    /// host only
    #[arg(long, value_name = "DISPLAY", default_value = "none")]
    pub display: DisplaySpec,
    /// Where the debug console (ports 0xE9 and 0x402) goes, as for --serial
    #[arg(long, value_name = "CONSOLE", default_value = "null")]
    pub debugcon: ConsoleSpec,
    /// What guest idle time costs: as long as the guest believes (host), nothing (free), host at a terminal (auto)
    #[arg(long, value_enum, default_value_t = PaceArg::Auto)]
    pub pace: PaceArg,
    /// End after this long on the host, for example 60s, 5m or 500ms
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    pub timeout: Option<Duration>,
    /// Make a monitor socket, for rrvmm monitor and QMP clients
    #[arg(long, value_name = "SOCK")]
    pub monitor: Option<PathBuf>,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Say at the end how much was executed, and how fast
    #[arg(long)]
    pub stats: bool,
}

/// What executes the guest, and up to where.
#[derive(Debug, Args)]
pub(super) struct EngineArgs {
    /// What runs the guest
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    pub accel: Accel,
    /// Engine of the translator
    #[arg(long, value_enum, default_value_t)]
    pub engine: Engine,
    /// End after this many guest instructions
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub until: Option<Position>,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    pub session: ReplaySessionArgs,
    /// Wait for gdb instead of running: PORT on this host, ADDRESS:PORT, or the path of a Unix socket
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["until", "stats"])]
    pub gdb: Option<GdbAddress>,
    /// Make a monitor socket, for rrvmm monitor and QMP clients; at the end of the recording the machine waits there
    #[arg(long, value_name = "SOCK", conflicts_with = "stats")]
    pub monitor: Option<PathBuf>,
    /// Go on from --at with inputs of this host, as a run of its own
    #[arg(long, conflicts_with_all = ["gdb", "stats"])]
    pub live: bool,
    /// Where gdb or the monitor finds the machine standing [default: gdb at the beginning; with --monitor alone it runs], or
    /// where --live begins [default: the end]
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub at: Option<Position>,
    /// Record what follows --live, or the monitor's command live, into a new recording [default: not recorded]
    #[arg(short, long, value_name = "NEW.rrvm")]
    pub output: Option<PathBuf>,
    /// Overwrite the new recording if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Live, what guest idle time costs: as long as the guest believes (host), nothing (free), host at a terminal (auto)
    #[arg(long, value_enum, default_value_t = PaceArg::Auto)]
    pub pace: PaceArg,
    /// Live, end after this long on the host, for example 60s, 5m or 500ms
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    pub timeout: Option<Duration>,
    /// Where the screen is shown, to look at only unless live: none, or vnc=[ADDRESS:]PORT[,password=TEXT|,password-file=FILE]; without an address for this
    /// host only
    #[arg(long, value_name = "DISPLAY", default_value = "none")]
    pub display: DisplaySpec,
    /// Where the output of COM1, given a second time of COM2, goes: stdio, pty, null, file=PATH, unix=PATH or
    /// tcp=[ADDRESS:]PORT; live, also where its input comes from [default: stdio, null]
    #[arg(long = "serial", value_name = "CONSOLE")]
    pub serial: Vec<ConsoleSpec>,
    /// Where the output of a port of the virtio console goes, as for --serial; ports in the order of the recording's (may be
    /// repeated) [default: null]
    #[arg(long = "virtio-console", value_name = "CONSOLE")]
    pub virtio_consoles: Vec<ConsoleSpec>,
}

/// A question about a recording.
#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// The recording
    #[arg(value_name = "REC")]
    pub recording: PathBuf,
    /// Address of the first byte, and how many bytes [default: 1]
    #[arg(value_name = "ADDR[:LEN]", value_parser = parse_range)]
    pub range: (u64, u64),
    /// ADDR is a physical address
    #[arg(long)]
    pub physical: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub rerun: RerunArgs,
}

#[derive(Debug, Args)]
pub(super) struct LastWriteArgs {
    #[command(flatten)]
    pub query: QueryArgs,
    /// Where to look back from; there a virtual address is resolved [default: the end]
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub before: Option<Position>,
}

#[derive(Debug, Args)]
pub(super) struct FirstReadArgs {
    #[command(flatten)]
    pub query: QueryArgs,
    /// Where to look on from; there a virtual address is resolved [default: the beginning]
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub after: Option<Position>,
}

#[derive(Debug, Args)]
pub(super) struct HitsArgs {
    #[command(flatten)]
    pub query: QueryArgs,
    /// Stores to the bytes, instead of executions of the instruction
    #[arg(long)]
    pub watch: bool,
    /// Stores to the bytes and loads from them
    #[arg(long)]
    pub access: bool,
    /// First position
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub from: Option<Position>,
    /// Last position
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub to: Option<Position>,
}

/// How a recording is run again to see what is not in it.
#[derive(Debug, Args)]
pub(super) struct RerunArgs {
    /// Image of a disk, in the order of the recording's, for what the recording does not have itself (may be repeated)
    #[arg(long = "disk", value_name = "FILE[,format=raw|qcow2]", value_parser = disk)]
    pub disks: Vec<DiskArg>,
    /// Engine of the translator
    #[arg(long, value_enum, default_value_t)]
    pub engine: Engine,
    /// Virtual time between two checkpoints beside the recording, at least; they take no more than a twentieth of the time.
    /// none: no new ones
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = every)]
    pub checkpoint_every: Every,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The recording
    #[arg(value_name = "REC")]
    pub recording: PathBuf,
    /// Write a console as a terminal recording that asciinema plays, in the guest's time
    #[arg(long, value_name = "OUT.cast", required_unless_present = "pcap")]
    pub asciicast: Option<PathBuf>,
    /// Write the frames that went over the network, both ways, as a capture file, in the guest's time
    #[arg(long, value_name = "OUT.pcap", conflicts_with = "asciicast")]
    pub pcap: Option<PathBuf>,
    /// With --pcap, only those of this network card, counted from 0 [default: of all]
    #[arg(long, value_name = "N", requires = "pcap")]
    pub nic: Option<u8>,
    /// Which console: 0 for COM1, 1 for COM2
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub console: u8,
    /// Overwrite what is there
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub rerun: RerunArgs,
}

#[derive(Debug, Args)]
pub(super) struct ScreenshotArgs {
    /// The recording
    #[arg(value_name = "REC")]
    pub recording: PathBuf,
    /// When [default: at the end]
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub at: Option<Position>,
    /// The picture to make: .png or .ppm
    #[arg(short, long, value_name = "X.png")]
    pub output: PathBuf,
    #[command(flatten)]
    pub rerun: RerunArgs,
}

#[derive(Debug, Args)]
pub(super) struct MonitorArgs {
    /// The session's monitor socket
    #[arg(value_name = "SOCK")]
    pub socket: PathBuf,
    /// The command; `help` lists them
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// gdb over a recording.
#[derive(Debug, Args)]
pub(super) struct DebugArgs {
    /// The recording
    #[arg(value_name = "REC")]
    pub recording: PathBuf,
    /// The guest's kernel or program with its symbols
    #[arg(long, value_name = "VMLINUX")]
    pub symbols: Option<PathBuf>,
    /// Where to begin [default: at the beginning]
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub at: Option<Position>,
    /// The debugger
    #[arg(long, value_name = "PROGRAM", default_value = "gdb")]
    pub gdb_program: PathBuf,
    /// Where the output of COM1, given a second time of COM2, goes: stdio, pty, null, file=PATH, unix=PATH or
    /// tcp=[ADDRESS:]PORT [default: null]
    #[arg(long = "serial", value_name = "CONSOLE")]
    pub serial: Vec<ConsoleSpec>,
    #[command(flatten)]
    pub rerun: RerunArgs,
    /// Arguments for gdb
    #[arg(last = true, value_name = "ARGUMENT")]
    pub arguments: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    pub session: ReplaySessionArgs,
    /// Verify so many stretches between checkpoints at a time; where there are no checkpoints yet, verify in one piece and leave
    /// some
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "serial")]
    pub jobs: usize,
    /// Where the output of COM1, given a second time of COM2, goes: stdio, pty, null, file=PATH, unix=PATH or
    /// tcp=[ADDRESS:]PORT [default: null]
    #[arg(long = "serial", value_name = "CONSOLE")]
    pub serial: Vec<ConsoleSpec>,
}

/// Two runs: of two recordings, of one on two engines, or of one replayed straight and replayed in short steps.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The recording
    #[arg(value_name = "REC")]
    pub recording: PathBuf,
    /// Another recording [default: the same, replayed in short steps]
    #[arg(value_name = "REC2")]
    pub other: Option<PathBuf>,
    /// Look no further than this position
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub until: Option<Position>,
    /// Instructions in a short step
    #[arg(long, value_name = "N", default_value_t = 1009, conflicts_with_all = ["other", "against"])]
    pub step: u64,
    /// Image of a disk, in the order of the recording's, for what the recording does not have itself (may be repeated)
    #[arg(long = "disk", value_name = "FILE[,format=raw|qcow2]", value_parser = disk)]
    pub disks: Vec<DiskArg>,
    /// Engine of the first run
    #[arg(long, value_enum, default_value_t)]
    pub engine: Engine,
    /// Engine of the second run [default: the first's]
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub against: Option<Engine>,
}

/// What replay and verify share.
#[derive(Debug, Args)]
pub(super) struct ReplaySessionArgs {
    /// The recording
    #[arg(value_name = "REC")]
    pub recording: PathBuf,
    /// Where the debug console's output goes, as for --serial
    #[arg(long, value_name = "CONSOLE", default_value = "null")]
    pub debugcon: ConsoleSpec,
    /// Image of a disk, in the order of the recording's, for what the recording does not have itself (may be repeated)
    #[arg(long = "disk", value_name = "FILE[,format=raw|qcow2]", value_parser = disk)]
    pub disks: Vec<DiskArg>,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Virtual time between two checkpoints beside the recording, at least; they take no more than a twentieth of the time.
    /// none: no new ones
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = every)]
    pub checkpoint_every: Every,
    /// Say at the end how much was executed, and how fast
    #[arg(long)]
    pub stats: bool,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Where recordings are to be made
    #[arg(value_name = "DIRECTORY", default_value = ".")]
    pub directory: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct InfoArgs {
    /// The recording
    #[arg(value_name = "REC")]
    pub recording: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// The recording
    #[arg(value_name = "REC")]
    pub recording: PathBuf,
    /// First position to list
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub from: Option<Position>,
    /// Last position to list
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub to: Option<Position>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Machine {
    /// i440FX-class PC
    Pc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Accel {
    /// KVM for user code where leaving it is cheap, else the translator
    Auto,
    /// The translator
    Tcg,
    /// KVM for user code, the translator for the kernel
    Kvm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Engine {
    /// The reference interpreter
    Interp,
    /// The just-in-time compiler
    Jit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PaceArg {
    Auto,
    Host,
    Free,
}

impl From<PaceArg> for PaceChoice {
    fn from(arg: PaceArg) -> Self {
        match arg {
            PaceArg::Auto => PaceChoice::Auto,
            PaceArg::Host => PaceChoice::Host,
            PaceArg::Free => PaceChoice::Free,
        }
    }
}

impl MachineArgs {
    /// Refuses what cannot be had, before anything is opened.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.cpus == 1,
            "--cpus {}: only one processor can be emulated yet; leave --cpus out",
            self.cpus
        );
        ensure!(
            self.memory >= MIN_RAM,
            "--memory {}: that is {} bytes, too little for any guest; did you mean {0}M?",
            self.memory,
            self.memory
        );
        self.engine.check()?;
        ensure!(
            self.networks().len() <= MOST_NICS,
            "--net is given {} times; there can be {MOST_NICS} network cards",
            self.nets.len()
        );
        self.consoles().map(|_| ())
    }

    /// The networks that cards are connected to, in order.
    pub(super) fn networks(&self) -> Vec<NetArg> {
        self.nets.iter().flatten().cloned().collect()
    }

    /// All consoles, by number: COM1, COM2, the debug console, and the ports of the virtio console.
    pub(super) fn consoles(&self) -> anyhow::Result<Vec<ConsoleSpec>> {
        ensure!(
            self.virtio_consoles.len() <= MOST_CONSOLE_PORTS,
            "--virtio-console is given {} times; there can be {MOST_CONSOLE_PORTS}",
            self.virtio_consoles.len()
        );
        let mut consoles = consoles(&self.serial, &self.debugcon)?;
        consoles.extend(self.virtio_consoles.iter().cloned());
        Ok(consoles)
    }
}

impl EngineArgs {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.engine.check()
    }

    /// The CPU of a new machine; and what it was picked by, if that was left to it.
    pub(super) fn cpu(&self) -> (CpuChoice, Option<Auto>) {
        let auto = (self.accel == Accel::Auto).then(auto);
        let kvm = self.accel == Accel::Kvm || auto.as_ref().is_some_and(Auto::is_kvm);
        let model = if kvm { Model::KvmV1 } else { Model::V1 };
        (CpuChoice { engine: self.tcg(), model, kvm }, auto)
    }

    /// The translator's engine.
    pub(super) fn tcg(&self) -> rrvmm::accel::TcgEngine {
        self.engine.tcg()
    }
}

impl Default for Engine {
    /// The fastest that this host can run.
    fn default() -> Self {
        if rrvmm::accel::HAS_JIT { Engine::Jit } else { Engine::Interp }
    }
}

impl Engine {
    /// Refuses an engine that this host cannot run.
    pub(super) fn check(self) -> anyhow::Result<()> {
        if self == Engine::Jit && !rrvmm::accel::HAS_JIT {
            anyhow::bail!("--engine jit has no code generator for this host; use --engine interp");
        }
        Ok(())
    }

    /// What the library calls it.
    pub(super) fn tcg(self) -> rrvmm::accel::TcgEngine {
        match self {
            Engine::Interp => rrvmm::accel::TcgEngine::Interp,
            Engine::Jit => rrvmm::accel::TcgEngine::Jit,
        }
    }
}

impl ReplaySessionArgs {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.engine.check()
    }
}

/// Refuses to overwrite, before anything is started.
pub(super) fn check_output(output: &Path, force: bool) -> anyhow::Result<()> {
    ensure!(
        force || !output.exists(),
        "{} exists; choose another name with -o, or give --force to overwrite it",
        output.display()
    );
    Ok(())
}

/// Consoles by number: COM1, COM2, debug console. A missing COM2 is null, a missing COM1 is `stdio`.
pub(super) fn consoles(serial: &[ConsoleSpec], debugcon: &ConsoleSpec) -> anyhow::Result<Vec<ConsoleSpec>> {
    ensure!(serial.len() <= 2, "--serial is given {} times; the pc has two serial ports", serial.len());
    let port = |number: usize, default| serial.get(number).cloned().unwrap_or(default);
    Ok(vec![port(0, ConsoleSpec::Stdio), port(1, ConsoleSpec::Null), debugcon.clone()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_benchmark_command_lines_are_understood() {
        let machine =
            "--kernel k --initrd i --cmdline console=ttyS0 --memory 512M --accel tcg --serial stdio";
        for line in [
            format!("rrvmm run {machine}"),
            format!("rrvmm record {machine} -o boot.rrvm"),
            "rrvmm replay boot.rrvm --serial stdio".to_owned(),
            "rrvmm verify boot.rrvm".to_owned(),
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap();
        }
    }

    #[test]
    fn missing_consoles_have_defaults() {
        let null = ConsoleSpec::Null;
        assert_eq!(consoles(&[], &null).unwrap(), [ConsoleSpec::Stdio, ConsoleSpec::Null, ConsoleSpec::Null]);
        let both = [ConsoleSpec::Null, ConsoleSpec::Stdio];
        assert_eq!(consoles(&both, &null).unwrap()[1], ConsoleSpec::Stdio);
        assert!(consoles(&[ConsoleSpec::Null, ConsoleSpec::Null, ConsoleSpec::Null], &null).is_err());
    }
}
