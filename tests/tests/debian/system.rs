//! One system: what is done in it, and what its replay has to be.

use super::capture::Capture;
use super::host::{capturing_passt, may_ping, noise, serve};
use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::guests::{self, Debian};
use rrvmm_tests::run::{Console, Outcome, Process, Running, md5, rrvmm, skipped};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Generous: the host may be shared.
const LIMIT: Duration = Duration::from_secs(600);
const DOWNLOAD: usize = 50_000_000;
/// Of so many segments, one may be sent again: nothing is lost on the way, but a host may stand still.
const MOST_SENT_AGAIN: usize = 20;
/// Where the partition begins.
const PARTITION: u32 = 1 << 20;

const PROGRAM: &str = r#"printf '#include <stdio.h>\nint main(void) { printf("%%d\\n", 6 * 7); }\n' > a.c"#;

/// Who loads the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// rrvmm.
    Kernel,
    /// GRUB, from the disk's boot sector on, which SeaBIOS loads.
    Firmware,
}

/// A machine for the system.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// The disk's interface.
    pub disk: &'static str,
    /// The model of the network card.
    pub card: &'static str,
    pub boot: Boot,
    /// Whether the image gets what was written, to be looked at from outside.
    pub commit: bool,
}

/// Files of one test.
struct Bench {
    directory: tempfile::TempDir,
    recording: PathBuf,
}

/// Installs, uses, shuts down, deletes, replays.
///
/// # Panics
/// Anything is not as it should be.
pub fn works_and_replays(variant: &Variant) {
    match guests::debian() {
        Ok(system) => run(variant, &system).with_context(|| format!("{variant:?}")).unwrap(),
        Err(error) if !rustix::process::geteuid().is_root() => {
            skipped("a Debian on a disk", format!("{error:#}"))
        }
        Err(error) => panic!("no Debian on a disk: {error:#}"),
    }
}

fn run(variant: &Variant, system: &Debian) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let recording = directory.path().join("system.rrvm");
    let bench = Bench { directory, recording };
    let (programs, captured) = capturing_passt(bench.directory.path())?;
    let image = bench.place("disk.img");
    if variant.commit {
        let mut copy = Command::new("cp");
        copy.arg("--sparse=always").args([&system.image, &image]);
        Process::new(copy).limit(LIMIT).run()?.exited(0)?;
    } else {
        symlink(&system.image, &image)?;
    }
    let console = bench.record(variant, system, &programs)?;
    if variant.commit {
        has_download(&image)?;
    }
    fs::remove_file(image)?;
    bench.replays(&console, &captured)
}

impl Bench {
    fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Records it; gives what the console showed.
    fn record(&self, variant: &Variant, system: &Debian, programs: &Path) -> Result<Vec<u8>> {
        let (socket, errors) = (self.place("console"), self.place("errors"));
        let mut command = rrvmm(["record", "--memory", "512M", "-o"])?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [programs.to_owned()].into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path)?).stderr(File::create(&errors)?);
        command.arg(&self.recording).arg(format!("--serial=unix={}", socket.display()));
        let commit = if variant.commit { ",commit" } else { "" };
        command.arg(format!("--disk={},if={}{commit}", self.place("disk.img").display(), variant.disk));
        command.arg(format!("--net=user,model={}", variant.card));
        match variant.boot {
            Boot::Kernel => {
                command.arg("--kernel").arg(&system.kernel).arg("--initrd").arg(&system.initrd);
                command.args(["--cmdline", "root=LABEL=rrvmm console=ttyS0"]);
            }
            Boot::Firmware => drop(command.arg("--bios").arg(guests::seabios()?)),
        }
        let said = || fs::read_to_string(&errors).unwrap_or_default();
        let session = Running::start(command)?;
        let mut console = Console::connect(&socket)?;
        use_system(&mut console).with_context(said)?;
        let shown = console.to_end()?;
        session.ends_well().with_context(said)?;
        Ok(shown)
    }

    /// Holds what the recording replays to what happened.
    fn replays(&self, console: &[u8], captured: &Path) -> Result<()> {
        let (replayed, capture) = (self.place("replayed"), self.place("replay.pcap"));
        let serial = format!("--serial=file={}", replayed.display());
        let capture_to = ["--pcap", &capture.to_string_lossy()];
        thread::scope(|scope| -> Result<()> {
            let ways = [
                scope.spawn(|| self.ask("verify", &["--checkpoint-every", "none"])),
                scope.spawn(|| self.ask("export", &capture_to)),
                scope.spawn(|| self.ask("replay", &["--checkpoint-every", "none", &serial])),
            ];
            ways.into_iter().try_for_each(|way| way.join().expect("it does not panic").map(drop))
        })?;
        let captured = Capture::read(captured)?;
        Capture::read(&capture)?.agrees_with(&captured)?;
        let (segments, again) = captured.sent_again();
        ensure!(again * MOST_SENT_AGAIN <= segments, "{again} of {segments} segments were sent again");
        ensure!(fs::read(&replayed)? == console, "the replay's console differs");
        Ok(())
    }

    fn ask(&self, what: &str, options: &[&str]) -> Result<Outcome> {
        let mut command = rrvmm([what])?;
        command.arg(&self.recording).args(options);
        Process::new(command).limit(LIMIT).run()?.exited(0)
    }
}

/// Logs in, compiles, downloads, pings, shuts down.
fn use_system(console: &mut Console) -> Result<()> {
    console.wait_for("login: ")?;
    console.type_line("root")?;
    console.wait_for("# ")?;
    // A shell that does not edit the line, and no prompt in what is typed.
    console.type_line("exec env PS1='@pro''mpt ' sh")?;
    console.wait_for("@prompt ")?;
    console.command(PROGRAM)?;
    console.ask("gcc -O2 -o a a.c && ./a", "42")?;
    console.ask("python3 -c 'print(sum(range(1000)))'", "499500")?;
    console.ask("systemctl is-system-running --wait", "running")?;
    let body = noise(DOWNLOAD);
    let expected = md5(&body)?;
    let port = serve(body)?;
    console.command("until ip -4 route | grep -q default; do sleep 0.1; done")?;
    console.command("gateway=$(ip -4 route | sed -n 's/default via \\([^ ]*\\) .*/\\1/p')")?;
    console.ask(
        &format!("wget -q -O data http://$gateway:{port}/ && md5sum data"),
        &format!("{expected}  data"),
    )?;
    if may_ping() {
        let answers = console.command("ping -c 2 -i 0.2 -W 20 $gateway")?;
        ensure!(answers.contains(" 2 received"), "{answers}");
    } else {
        skipped("a ping through passt", "net.ipv4.ping_group_range of this host does not permit it");
    }
    let trouble = console.command("dmesg | grep -iE 'error|timeout|exception|reset' | grep -v regulatory")?;
    ensure!(trouble.is_empty(), "the kernel says {trouble}");
    console.type_line("poweroff")
}

/// The file system in the image is in order and has the download.
fn has_download(image: &Path) -> Result<()> {
    let partition = format!("{}?offset={PARTITION}", image.display());
    let mut check = Command::new("e2fsck");
    check.args(["-f", "-n", &partition]);
    Process::new(check).limit(LIMIT).run()?.exited(0)?;
    let mut read = Command::new("debugfs");
    read.args(["-R", "cat /root/data", &partition]);
    let data = Process::new(read).limit(LIMIT).run()?.exited(0)?.stdout;
    ensure!(data == noise(DOWNLOAD), "the image has another download of {} bytes", data.len());
    Ok(())
}
