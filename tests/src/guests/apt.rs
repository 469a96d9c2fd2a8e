//! Debian packages through apt, in a private root: the host's package lists, its dpkg architectures and its installed
//! packages stay as they are, and a package of another architecture (i386) is as easy to have as a native one.

use super::cache;
use super::packages::Arch;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A private apt root for one architecture. Holding one means holding the cache's lock.
pub struct Apt {
    root: PathBuf,
    arch: Arch,
    /// What went wrong in bringing the lists up to date. Not fatal: one of several indexes may be out of step while
    /// the others have the package.
    stale: Option<String>,
}

impl Apt {
    /// Makes or reopens the private root and brings its package lists up to date.
    ///
    /// # Errors
    /// The cache cannot be written, or the host has no Debian source.
    pub fn open(arch: Arch) -> Result<Self> {
        let root = cache::directory().join(format!("apt-{}", arch.name()));
        for directory in ["state/lists/partial", "cache/archives/partial", "log"] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::write(root.join("status"), "")?;
        fs::write(root.join("sources.list"), debian_sources(Path::new("/etc/apt"))?)?;
        let mut apt = Self { root, arch, stale: None };
        apt.stale = apt.output("apt-get", &["update", "-q"]).err().map(|error| format!("{error:#}"));
        Ok(apt)
    }

    /// The package a meta package such as `linux-image-amd64` stands for: its first dependency.
    ///
    /// # Errors
    /// The archive has no such package, or it depends on nothing.
    pub fn first_dependency(&self, package: &str) -> Result<String> {
        let text = self.explain(self.output("apt-cache", &["depends", package]))?;
        let mut depends = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        let found = depends.next().with_context(|| format!("{package} depends on nothing: {text}"))?;
        Ok(found.split(':').next().unwrap_or(found).to_owned())
    }

    /// Downloads the newest version of `package` into `directory`, unpacks the files whose path matches `pattern`
    /// (a tar wildcard such as `./boot/vmlinuz-*`) there, and removes the package file again.
    ///
    /// # Errors
    /// The archive has no such package or does not answer, or the package has no such file.
    pub fn unpack(&self, package: &str, pattern: &str, directory: &Path) -> Result<()> {
        self.unpack_all(package, &[pattern], directory)
    }

    /// As [`Apt::unpack`], for several patterns, each of which must match something.
    ///
    /// # Errors
    /// As for [`Apt::unpack`].
    pub fn unpack_all(&self, package: &str, patterns: &[&str], directory: &Path) -> Result<()> {
        let scratch = tempfile::tempdir_in(directory)?;
        let mut download = self.command("apt-get");
        self.explain(run(download.args(["download", "-q", package]).current_dir(scratch.path())))?;
        let file = fs::read_dir(scratch.path())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .with_context(|| format!("apt-get download {package} left no package file"))?;
        let mut data = Command::new("dpkg-deb");
        let mut data = data
            .arg("--fsys-tarfile")
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .context("starting dpkg-deb")?;
        let stream = data.stdout.take().context("dpkg-deb without standard output")?;
        let mut tar = Command::new("tar");
        let unpacked = run(tar.args(["-x", "--wildcards", "-C"]).arg(directory).args(patterns).stdin(stream));
        let status = data.wait()?;
        unpacked.with_context(|| format!("unpacking {patterns:?} of {}", file.display()))?;
        if !status.success() {
            bail!("dpkg-deb --fsys-tarfile {}: {status}", file.display());
        }
        Ok(())
    }

    /// Adds to a failure what went wrong before it, in bringing the lists up to date.
    fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| {
            self.stale.clone().unwrap_or_else(|| "the package lists are up to date".to_owned())
        })
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Result<String> {
        run(self.command(program).args(arguments))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let root = self.root.display();
        let arch = self.arch.name();
        for option in [
            format!("Dir::State={root}/state"),
            format!("Dir::State::status={root}/status"),
            format!("Dir::Cache={root}/cache"),
            format!("Dir::Log={root}/log"),
            format!("Dir::Etc::sourcelist={root}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("APT::Architecture={arch}"),
            format!("APT::Architectures={arch}"),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::IndexTargets::deb::CNF::DefaultEnabled=false".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

/// Runs a command to its end; returns its standard output, or an error with all it said.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("{program} cannot be run; guests come from Debian packages and need apt"))?;
    if !output.status.success() {
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        bail!(
            "{program}: {}; it said:\n{}\n(guests need a Debian archive that answers)",
            output.status,
            said.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The host's Debian sources as one-line entries without architecture limits; other vendors' sources are left out.
pub(super) fn debian_sources(etc: &Path) -> Result<String> {
    let mut files = vec![etc.join("sources.list")];
    if let Ok(parts) = fs::read_dir(etc.join("sources.list.d")) {
        files.extend(parts.filter_map(|part| Some(part.ok()?.path())));
    }
    files.sort();
    let mut lines = String::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let entries = if file.extension().is_some_and(|extension| extension == "sources") {
            text.split("\n\n").filter_map(stanza).collect()
        } else {
            text.lines().filter_map(one_line).collect::<Vec<_>>()
        };
        for entry in entries {
            lines += &entry;
        }
    }
    if lines.is_empty() {
        bail!("no Debian source in {}: guests come from Debian packages", etc.display());
    }
    Ok(lines)
}

fn is_debian(uri: &str, components: &str) -> bool {
    uri.contains("debian") && components.split_whitespace().any(|component| component == "main")
}

/// A classic entry, `deb [options] URI SUITE COMPONENT...`; only the key option is kept.
fn one_line(line: &str) -> Option<String> {
    let rest = line.trim().strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let components = words.collect::<Vec<_>>().join(" ");
    let key = options.split_whitespace().find(|option| option.starts_with("signed-by=")).unwrap_or_default();
    is_debian(uri, &components).then(|| format!("deb [{key}] {uri} {suite} {components}\n"))
}

/// One stanza of a deb822 file, as classic entries, one for each URI and suite.
fn stanza(text: &str) -> Option<String> {
    let field = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let types = field("Types")?;
    if field("Enabled").as_deref() == Some("no") || !types.split_whitespace().any(|kind| kind == "deb") {
        return None;
    }
    let (uris, suites, components) = (field("URIs")?, field("Suites")?, field("Components")?);
    let key = field("Signed-By")
        .filter(|key| key.starts_with('/'))
        .map_or(String::new(), |key| format!("signed-by={key}"));
    let mut lines = String::new();
    for uri in uris.split_whitespace().filter(|uri| is_debian(uri, &components)) {
        for suite in suites.split_whitespace() {
            lines += &format!("deb [{key}] {uri} {suite} {components}\n");
        }
    }
    (!lines.is_empty()).then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deb822_stanzas_become_lines_and_other_vendors_are_left_out() {
        let text = "Types: deb\n# note\nURIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main\nSigned-By: /k.gpg";
        let want = "deb [signed-by=/k.gpg] http://deb.debian.org/debian bookworm main\n\
                    deb [signed-by=/k.gpg] http://deb.debian.org/debian bookworm-updates main\n";
        assert_eq!(stanza(text).as_deref(), Some(want));
        assert_eq!(stanza("Types: deb\nURIs: https://deb.example.com/x\nSuites: s\nComponents: main"), None);
    }

    #[test]
    fn classic_lines_lose_their_architecture_but_keep_their_key() {
        let line = "deb [arch=amd64 signed-by=/k.gpg] http://mirror/debian bookworm main contrib";
        assert_eq!(
            one_line(line).as_deref(),
            Some("deb [signed-by=/k.gpg] http://mirror/debian bookworm main contrib\n")
        );
        assert_eq!(one_line("# deb http://mirror/debian bookworm main"), None);
        assert_eq!(one_line("deb-src http://mirror/debian bookworm main"), None);
    }
}
