//! Pictures of firmware, a memory test and consoles: equal in record and replay, and as they were found to be right.

use super::shell::{Console, LIMIT, Running, monitor, position};
use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::guests::{self, Kernel, MemtestBits, initrd, workload};
use rrvmm_tests::run::{Guest, Process, rrvmm, skipped};
use std::fs;
use std::path::{Path, PathBuf};

/// Width, height and pixels.
#[derive(PartialEq)]
pub struct Picture(u32, u32, Vec<u8>);

impl Picture {
    pub fn read(path: &Path) -> Result<Self> {
        let file = std::io::BufReader::new(fs::File::open(path).with_context(|| path.display().to_string())?);
        let mut reader = png::Decoder::new(file).read_info()?;
        let mut pixels = vec![0; reader.output_buffer_size().context("too large")?];
        let info = reader.next_frame(&mut pixels)?;
        ensure!(info.color_type == png::ColorType::Rgb, "{}: not RGB", path.display());
        Ok(Self(info.width, info.height, pixels))
    }

    /// Number of colours.
    pub fn colours(&self) -> usize {
        let mut colours: Vec<_> = self.2.chunks(3).collect();
        colours.sort_unstable();
        colours.dedup();
        colours.len()
    }

    pub fn size(&self) -> (u32, u32) {
        (self.0, self.1)
    }
}

/// A picture of `recording` at `at`.
pub fn screenshot(recording: &Path, at: Option<u64>, to: &Path) -> Result<Picture> {
    let mut command = rrvmm(["screenshot", "--checkpoint-every", "none"])?;
    command.arg(recording).arg("-o").arg(to);
    if let Some(at) = at {
        command.args(["--at", &at.to_string()]);
    }
    Process::new(command).limit(LIMIT).run()?.exited(0)?;
    Picture::read(to)
}

/// A name for pictures of these very files: packages are not pinned, and another version shows something else.
fn name_for(what: &str, files: &[&Path]) -> String {
    let bytes = files.iter().flat_map(|file| fs::read(file).unwrap());
    // FNV-1a.
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{what}-{hash:08x}.png")
}

/// Compares with the golden picture `name`, which was looked at by a person. `RRVMM_BLESS=1` makes it anew.
fn golden(name: &str, made: &Path) -> Result<()> {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/screen").join(name);
    if std::env::var_os("RRVMM_BLESS").is_some() {
        fs::create_dir_all(golden.parent().context("a folder")?)?;
        fs::copy(made, &golden)?;
    }
    if !golden.exists() {
        skipped(
            name,
            "there is no golden picture of this version; look at a new one and keep it (RRVMM_BLESS=1)",
        );
        return Ok(());
    }
    ensure!(
        Picture::read(made)? == Picture::read(&golden)?,
        "{} is not as {}",
        made.display(),
        golden.display()
    );
    Ok(())
}

/// Records `guest` up to `until`, and compares the picture there with that of a replay, which begins anew, and with the golden one.
fn recorded_and_replayed(guest: &Guest, more: &[&str], until: u64, name: &str) -> Result<()> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screen");
    fs::create_dir_all(&folder)?;
    let recording = folder.join(name).with_extension("rrvm");
    let mut command = rrvmm(["record", "--force"])?;
    command
        .args(guest.rrvmm_options())
        .args(more)
        .args(["--until", &until.to_string(), "-o"])
        .arg(&recording);
    Process::new(command).limit(LIMIT).run()?.exited(0)?;
    let (shot, again) = (folder.join(name), folder.join(format!("again-{name}")));
    let picture = screenshot(&recording, None, &shot)?;
    let interpreted = {
        let mut command = rrvmm(["screenshot", "--checkpoint-every", "none", "--engine", "interp"])?;
        command.arg(&recording).arg("-o").arg(&again);
        Process::new(command).limit(LIMIT).run()?.exited(0)?;
        Picture::read(&again)?
    };
    ensure!(
        picture == interpreted,
        "the engines show different pictures: {} {}",
        shot.display(),
        again.display()
    );
    golden(name, &shot)
}

#[test]
fn seabios_shows_what_it_does() {
    let (bios, video) = (guests::seabios().unwrap(), guests::vga_bios().unwrap());
    let name = name_for("seabios", &[&bios, &video]);
    let video = video.to_str().unwrap();
    recorded_and_replayed(&Guest::firmware(&bios), &["--vga-bios", video], 6_000_000, &name).unwrap();
}

#[test]
fn grub_shows_its_menu() {
    let (bios, video) = (guests::seabios().unwrap(), guests::vga_bios().unwrap());
    let disc = guests::grub_disc().unwrap();
    let name = name_for("grub", &[&bios, &video, &disc]);
    let more = ["--vga-bios", video.to_str().unwrap(), "--cdrom", disc.to_str().unwrap()];
    recorded_and_replayed(&Guest::firmware(&bios), &more, 120_000_000, &name).unwrap();
}

#[test]
fn memtest_shows_its_screen() {
    let image = guests::memtest(MemtestBits::X64).unwrap();
    let guest = Guest { memory_mib: 16, ..Guest::multiboot(&image) };
    let name = name_for("memtest86+", &[&image]);
    recorded_and_replayed(&guest, &[], 700_000_000, &name).unwrap();
}

/// Shows something on the console of a frame buffer.
const FRAME_BUFFER: &str = r#"
echo 0 > /proc/sys/kernel/printk
echo "@driver $(cat /proc/fb)"
for card in /sys/class/drm/card0-*; do
    [ -e $card/edid ] || continue
    echo "@edid $(hexdump -v -e '/1 "%02x"' $card/edid)"
    echo "@modes $(sort -u $card/modes | tr '\n' ' ')"
done
setfont() { :; }
printf '\033[H\033[2J\033[1;33;44m rrvmm \033[0m a console on the frame buffer\n\n' > /dev/tty0
n=0
while [ $n -lt 8 ]; do printf '\033[4%dm      \033[0m' $n > /dev/tty0; n=$((n+1)); done
printf '\n\n\033[31mred \033[32mgreen \033[34mblue \033[0m\n\033[?25l' > /dev/tty0
sleep 1
echo "@shown"
read line
poweroff -f
"#;

#[test]
fn a_linux_frame_buffer_console_is_the_same_while_recording_and_replaying() {
    let modules = ["drm", "drm_kms_helper", "ttm", "drm_ttm_helper", "drm_vram_helper", "bochs"];
    frame_buffer_console("linux-bochs-drm.png", &modules, "", "bochs-drm", (1024, 768)).unwrap();
}

/// The kernel finds the screen in a mode that `vga=` on its command line asks for, and its own driver draws there.
#[test]
fn a_linux_kernel_draws_in_the_mode_that_its_command_line_asks_for() {
    frame_buffer_console("linux-vesafb.png", &[], "vga=0x314", "VESA VGA", (800, 600)).unwrap();
}

/// The driver reads the monitor's EDID, and its modes from that: without one it would list those up to 1024 by 768.
fn lists_the_monitor_s_modes(said: &str) -> Result<()> {
    let value = |marker| workload::value(said.as_bytes(), marker).unwrap_or_default();
    let edid = value("@edid");
    ensure!(edid.len() == 256 && edid.starts_with("00ffffffffffff00"), "the EDID is {edid:?} in\n{said}");
    let modes = value("@modes");
    for mode in ["640x480", "800x600", "1024x768", "1280x800", "1680x1050", "1920x1080"] {
        ensure!(modes.split(' ').any(|listed| listed == mode), "{mode} is not among {modes:?}");
    }
    Ok(())
}

fn frame_buffer_console(
    name: &str,
    modules: &[&str],
    cmdline: &str,
    driver: &str,
    size: (u32, u32),
) -> Result<()> {
    let kernel = Kernel::Amd64;
    let modules = guests::modules(kernel, modules)?;
    let scratch = tempfile::tempdir()?;
    let initrd = scratch.path().join("initrd");
    fs::write(&initrd, initrd::with_modules(kernel.arch(), &modules, FRAME_BUFFER)?)?;
    let mut guest = Guest::linux(&guests::kernel(kernel)?, &initrd);
    guest.cmdline += &format!(" {cmdline}");
    let [console, socket, recording, live, again] =
        ["console", "monitor", "fb.rrvm", "live.png", "again.png"].map(|name| scratch.path().join(name));
    let mut options = guest.rrvmm_options();
    let stdio = options.iter().position(|option| option == "stdio").context("no console")?;
    options[stdio] = format!("unix={}", console.display());
    let mut command = rrvmm(["record"])?;
    command.args(options).arg("--monitor").arg(&socket).arg("-o").arg(&recording);
    let session = Running::start(command)?;
    let mut shell = Console::connect(&console)?;
    let said = shell.wait_for("@shown")?;
    ensure!(said.contains(driver), "{said}");
    if driver == "bochs-drm" {
        lists_the_monitor_s_modes(&said)?;
    }
    monitor(&socket, "stop")?.exited(0)?;
    let here = position(&monitor(&socket, "where")?.exited(0)?.text())?;
    monitor(&socket, &format!("screendump {}", live.display()))?.exited(0)?;
    monitor(&socket, "cont")?.exited(0)?;
    shell.type_line("go on")?;
    session.ends_well()?;
    let (live_picture, replayed) = (Picture::read(&live)?, screenshot(&recording, Some(here), &again)?);
    ensure!(live_picture == replayed, "the replay shows another picture");
    ensure!(replayed.size() == size, "{:?}", replayed.size());
    ensure!(replayed.colours() >= 8, "{} colours", replayed.colours());
    let mut verify = rrvmm(["verify"])?;
    verify.arg(&recording);
    Process::new(verify).limit(LIMIT).run()?.exited(0)?;
    golden(name, &again)
}
