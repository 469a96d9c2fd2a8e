//! One description of a guest, run by rrvmm or by QEMU.

use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What to boot.
#[derive(Clone, Debug, Default)]
pub struct Guest {
    /// Kernel image (bzImage, ELF or Multiboot).
    pub kernel: Option<PathBuf>,
    /// Firmware image, instead of a kernel.
    pub bios: Option<PathBuf>,
    /// Initial RAM disk, or the modules of a Multiboot kernel.
    pub initrd: Option<PathBuf>,
    /// Kernel command line.
    pub cmdline: String,
    /// RAM in MiB; 0 for 512.
    pub memory_mib: u32,
}

impl Guest {
    /// A Linux guest with its console on the first serial port; a panic or a reboot ends it.
    #[must_use]
    pub fn linux(kernel: &Path, initrd: &Path) -> Self {
        Self {
            kernel: Some(kernel.to_owned()),
            initrd: Some(initrd.to_owned()),
            cmdline: "console=ttyS0 reboot=t panic=-1".to_owned(),
            ..Self::default()
        }
    }

    /// A Multiboot kernel.
    #[must_use]
    pub fn multiboot(kernel: &Path) -> Self {
        Self { kernel: Some(kernel.to_owned()), memory_mib: 64, ..Self::default() }
    }

    /// A firmware image.
    #[must_use]
    pub fn firmware(image: &Path) -> Self {
        Self { bios: Some(image.to_owned()), memory_mib: 64, ..Self::default() }
    }

    /// The options common to `rrvmm run` and `rrvmm record`.
    #[must_use]
    pub fn rrvmm_options(&self) -> Vec<String> {
        let mut options = vec!["--memory".to_owned(), format!("{}M", self.memory())];
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        for (name, path) in [("--kernel", &self.kernel), ("--bios", &self.bios), ("--initrd", &self.initrd)] {
            options.extend(path.iter().flat_map(|path| [name.to_owned(), text(path)]));
        }
        if !self.cmdline.is_empty() {
            options.extend(["--cmdline".to_owned(), self.cmdline.clone()]);
        }
        options.extend(["--accel", "tcg", "--serial", "stdio"].map(str::to_owned));
        options
    }

    fn memory(&self) -> u32 {
        if self.memory_mib == 0 { 512 } else { self.memory_mib }
    }
}

/// The QEMU CPU nearest to `rrvmm-x86-v1`, under TCG.
pub const QEMU_CPU: &str = "SandyBridge,model=28,stepping=10,-avx,-aes,-pclmulqdq,-x2apic,-tsc-deadline,-rdtscp,\
+smep,+smap,+pdpe1gb,+vme,phys-bits=40";

/// QEMU with the `pc` board, TCG, the serial port on standard output and the debug-exit device at 0xf4.
#[must_use]
pub fn qemu(guest: &Guest) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command.args([
        "-M", "pc", "-accel", "tcg", "-cpu", QEMU_CPU, "-display", "none", "-serial", "stdio", "-serial",
        "null",
    ]);
    command.args([
        "-monitor",
        "none",
        "-no-reboot",
        "-net",
        "none",
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=4",
    ]);
    command.args(["-m", &guest.memory().to_string()]);
    for (name, path) in [("-kernel", &guest.kernel), ("-bios", &guest.bios), ("-initrd", &guest.initrd)] {
        if let Some(path) = path {
            command.arg(name).arg(path);
        }
    }
    if !guest.cmdline.is_empty() {
        command.args(["-append", &guest.cmdline]);
    }
    command
}

/// `rrvmm` with the given arguments.
///
/// # Errors
/// The program cannot be built.
pub fn rrvmm<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(arguments: I) -> Result<Command> {
    let mut command = Command::new(rrvmm_program()?);
    command.args(arguments);
    Ok(command)
}

/// The `rrvmm` binary: `$RRVMM`, else the one this workspace builds in the profile of the running test.
///
/// # Errors
/// The program cannot be built.
pub fn rrvmm_program() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

fn build() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("RRVMM") {
        return Ok(program.into());
    }
    // A test binary lies in TARGET/PROFILE/deps, a binary of this crate in TARGET/PROFILE.
    let this = std::env::current_exe()?;
    let mut profile = this.parent().context("a program without a directory")?;
    if profile.ends_with("deps") {
        profile = profile.parent().context("deps without a parent")?;
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    // With this package its features are those that it is tested with, and nothing is compiled twice.
    cargo.args(["build", "--quiet", "--package", "rrvmm", "--package", "rrvmm-tests", "--bin", "rrvmm"]);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().context("running cargo")?;
    ensure!(output.status.success(), "cargo build failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(profile.join("rrvmm"))
}
