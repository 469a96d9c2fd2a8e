//! Bare-metal guests in assembly (`tests/payloads/AREA/NAME.s`), built at test time with GNU as and ld.
//!
//! Beside each lies `NAME.txt`, what it prints on the first serial port: the golden file, taken from QEMU by
//! `cargo run --release -p rrvmm-tests --bin golden`. Comment lines `#! key: value` at the top of a source say what is
//! special about it:
//!
//! - `#! differs: TITLE => RESULT | REASON` where QEMU deviates from the manual: the line `TITLE: ...` of its output is
//!   replaced by `TITLE: RESULT` in the golden file. The reason names the section of the Intel SDM.
//! - `#! golden: REASON` the golden file is written by hand after the manual; QEMU does otherwise or cannot do it.
//! - `#! needs: REASON` it has no golden file: it waits for input, or never ends. Other tests run it.
//! - `#! kind: firmware` the image runs from the reset vector instead of by the Multiboot protocol.
//! - `#! ends: reset` it ends by a reset (exit status 0) instead of at the debug-exit port (exit status 1);
//!   `#! ends: triple-fault` by a triple fault, which QEMU takes for a reset and rrvmm reports.

use crate::run::Guest;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a payload's run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest writes 0 to the debug-exit port: exit status 1.
    DebugExit,
    /// The guest resets the machine: exit status 0.
    Reset,
    /// The processor shuts down.
    TripleFault,
}

/// What the image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An ELF file by the Multiboot protocol, version 1.
    Multiboot,
    /// A raw image that ends at 4 GiB.
    Firmware,
}

/// One payload.
#[derive(Clone, Debug)]
pub struct Payload {
    /// `AREA/NAME`.
    pub name: String,
    /// Its source file.
    pub source: PathBuf,
    /// What is built from it.
    pub kind: Kind,
    /// How its run ends.
    pub end: End,
    /// Why the golden file is not taken from QEMU, if it is not.
    pub by_hand: Option<String>,
    /// Whether it has no golden file.
    pub special: bool,
    /// Where QEMU's output is not the right one.
    pub differs: Vec<Difference>,
}

/// One line of a payload's output on which QEMU deviates from the manual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What the line begins with, before `: `.
    pub title: String,
    /// What the manual says it goes on with.
    pub result: String,
    /// The section of the manual.
    pub reason: String,
}

/// All payloads with a golden file, sorted by name.
///
/// # Errors
/// The sources cannot be read, or one has a directive that is not known.
pub fn all() -> Result<Vec<Payload>> {
    let mut payloads = Vec::new();
    for area in fs::read_dir(root())? {
        let area = area?.path();
        if !area.is_dir() || area.ends_with("runtime") {
            continue;
        }
        for file in fs::read_dir(&area)? {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "s") {
                payloads.extend(Some(Payload::read(&file)?).filter(|payload| !payload.special));
            }
        }
    }
    payloads.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(payloads)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("payloads")
}

impl Payload {
    /// The payload called `AREA/NAME`.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self> {
        Self::read(&root().join(name).with_extension("s"))
    }

    /// A guest of the same make in another folder; its name is the last two parts of its path.
    ///
    /// # Errors
    /// The source cannot be read, or has a directive that is not known.
    pub fn at(source: &Path) -> Result<Self> {
        Self::read(source)
    }

    fn read(source: &Path) -> Result<Self> {
        let text = fs::read_to_string(source).with_context(|| format!("reading {}", source.display()))?;
        let stem = source.with_extension("");
        let area = stem.parent().and_then(Path::parent).context("a payload lies in an area")?;
        let name = stem.strip_prefix(area)?.to_string_lossy().into_owned();
        let mut payload = Self {
            name,
            source: source.to_owned(),
            kind: Kind::Multiboot,
            end: End::DebugExit,
            by_hand: None,
            special: false,
            differs: Vec::new(),
        };
        for line in text.lines().filter_map(|line| line.strip_prefix("#!")) {
            let (key, value) = line.split_once(':').context("a directive has the form `#! key: value`")?;
            match (key.trim(), value.trim()) {
                ("golden", reason) => payload.by_hand = Some(reason.to_owned()),
                ("differs", rule) => payload.differs.push(Difference::read(rule)?),
                ("needs", _) => payload.special = true,
                ("kind", "firmware") => payload.kind = Kind::Firmware,
                ("ends", "reset") => payload.end = End::Reset,
                ("ends", "triple-fault") => payload.end = End::TripleFault,
                (key, value) => anyhow::bail!("{}: no directive `{key}: {value}`", source.display()),
            }
        }
        Ok(payload)
    }

    /// The golden file.
    #[must_use]
    pub fn golden(&self) -> PathBuf {
        self.source.with_extension("txt")
    }

    /// The golden text for what QEMU printed: [`Self::differs`] applied.
    ///
    /// # Errors
    /// A difference names no line, or QEMU agrees with the manual there.
    pub fn corrected(&self, printed: &str) -> Result<String> {
        let mut lines: Vec<String> = printed.lines().map(str::to_owned).collect();
        for Difference { title, result, .. } in &self.differs {
            let start = format!("{title}: ");
            let right = format!("{start}{result}");
            let line = lines.iter_mut().find(|line| line.starts_with(&start));
            let line = line.with_context(|| format!("{}: no line {title:?}", self.name))?;
            ensure!(*line != right, "{}: QEMU agrees on {title:?}: the difference is stale", self.name);
            *line = right;
        }
        Ok(lines.join("\n") + "\n")
    }

    /// The exit status of a machine that ran the payload to its end.
    #[must_use]
    pub fn exit_status(&self) -> i32 {
        match self.end {
            End::DebugExit => 1,
            End::Reset | End::TripleFault => 0,
        }
    }

    /// Builds the image and says how to boot it.
    ///
    /// # Errors
    /// GNU as, ld or objcopy is missing (Debian's `binutils`) or refuses the source.
    pub fn build(&self) -> Result<Guest> {
        self.make(&[], "")
    }

    /// Builds the same code with the lines of its source for a debugger. Gives the file.
    ///
    /// # Errors
    /// As [`Payload::build`].
    pub fn build_with_lines(&self) -> Result<PathBuf> {
        self.make(&["-g"], "-lines")?.kernel.context("a payload is a kernel")
    }

    fn make(&self, options: &[&str], suffix: &str) -> Result<Guest> {
        let scratch = tempfile::tempdir()?;
        let mut objects = Vec::new();
        for source in self.sources()? {
            let object = scratch.path().join(format!("{}.o", objects.len()));
            let mut assembler = Command::new("as");
            assembler.args(options).args(["--64", "--fatal-warnings", "-I"]).arg(root().join("runtime"));
            tool(assembler.arg("-o").arg(&object).arg(&source))?;
            objects.push(object);
        }
        let linked = scratch.path().join("linked");
        let mut linker = Command::new("ld");
        linker.args(["-n", "--no-warn-rwx-segments", "--fatal-warnings", "-T"]);
        tool(linker.arg(root().join("runtime").join(self.script())).arg("-o").arg(&linked).args(&objects))?;
        let image = scratch.path().join("image");
        let format = match self.kind {
            Kind::Multiboot => "elf32-i386",
            Kind::Firmware => "binary",
        };
        tool(Command::new("objcopy").args(["-O", format]).arg(&linked).arg(&image))?;
        self.install(&image, suffix)
    }

    fn sources(&self) -> Result<Vec<PathBuf>> {
        let mut sources = vec![self.source.clone()];
        if self.kind == Kind::Multiboot {
            let runtime = fs::read_dir(root().join("runtime"))?.filter_map(|entry| Some(entry.ok()?.path()));
            sources.extend(runtime.filter(|path| path.extension().is_some_and(|extension| extension == "s")));
        }
        sources[1..].sort();
        Ok(sources)
    }

    fn script(&self) -> &'static str {
        match self.kind {
            Kind::Multiboot => "multiboot.ld",
            Kind::Firmware => "firmware.ld",
        }
    }

    /// Puts the image beside the test programs; a rename, since several tests may build the same one at once.
    fn install(&self, image: &Path, suffix: &str) -> Result<Guest> {
        let this = std::env::current_exe()?;
        let directory = this.parent().context("a program without a directory")?.join("payloads");
        fs::create_dir_all(&directory)?;
        let place = directory.join(self.name.replace('/', "-") + suffix);
        let copy = tempfile::NamedTempFile::new_in(&directory)?;
        fs::copy(image, copy.path())?;
        copy.persist(&place)?;
        Ok(match self.kind {
            Kind::Multiboot => Guest::multiboot(&place),
            Kind::Firmware => Guest::firmware(&place),
        })
    }
}

impl Difference {
    fn read(rule: &str) -> Result<Self> {
        let parts = rule.split_once(" => ").and_then(|(title, rest)| Some((title, rest.split_once(" | ")?)));
        let (title, (result, reason)) =
            parts.context("a difference has the form TITLE => RESULT | REASON")?;
        Ok(Self {
            title: title.trim().to_owned(),
            result: result.trim().to_owned(),
            reason: reason.trim().to_owned(),
        })
    }
}

fn tool(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().with_context(|| format!("{program} cannot be run; it is in Debian's binutils"))?;
    ensure!(output.status.success(), "{program}:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
