//! What this host can do for rrvmm, and what to change so that it can do more.
//!
//! Nothing here is needed to run a guest, and nothing is changed on the host. What was not looked at, or has never been tried,
//! says so.

mod host;
mod network;
mod pmu;
mod programs;
mod virtualization;

use serde::Serialize;
use std::path::{Path, PathBuf};

/// How well a host does in one respect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All that rrvmm can use.
    Ok,
    /// Something works, or works slower than it could.
    Limited,
    /// Not there.
    Missing,
}

impl State {
    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
        }
    }
}

/// One respect.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Name for programs: it stays what it is.
    pub key: &'static str,
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What follows from it.
    pub follows: String,
    /// What to do about it, a command where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

impl Finding {
    fn new(key: &'static str, what: &'static str, state: State, found: impl Into<String>) -> Self {
        Self { key, what, state, found: found.into(), follows: String::new(), change: None }
    }

    fn ok(key: &'static str, what: &'static str, found: impl Into<String>) -> Self {
        Self::new(key, what, State::Ok, found)
    }

    fn limited(key: &'static str, what: &'static str, found: impl Into<String>) -> Self {
        Self::new(key, what, State::Limited, found)
    }

    fn missing(key: &'static str, what: &'static str, found: impl Into<String>) -> Self {
        Self::new(key, what, State::Missing, found)
    }

    fn follows(mut self, follows: impl Into<String>) -> Self {
        self.follows = follows.into();
        self
    }

    fn change(mut self, change: impl Into<String>) -> Self {
        self.change = Some(change.into());
        self
    }
}

/// The files of a host: of this one, or a directory that looks like one.
#[derive(Clone, Debug)]
struct Root(PathBuf);

impl Root {
    fn path(&self, absolute: &str) -> PathBuf {
        self.0.join(absolute.trim_start_matches('/'))
    }

    fn exists(&self, absolute: &str) -> bool {
        self.path(absolute).exists()
    }

    /// The text of a small file without white space around it; none if it cannot be read.
    fn text(&self, absolute: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path(absolute)).ok()?;
        Some(text.trim().to_owned())
    }

    fn number(&self, absolute: &str) -> Option<i64> {
        self.text(absolute)?.parse().ok()
    }
}

/// Looks at this host, in a fixed order. Recordings are assumed to go to `directory`. Takes about a second where there is much to
/// measure.
pub fn examine(directory: &Path) -> Vec<Finding> {
    let root = Root(PathBuf::from("/"));
    let mut findings = vec![host::cpu(&root), host::jit()];
    findings.extend(virtualization::kvm(&root));
    findings.push(virtualization::auto());
    findings.extend([
        pmu::counters(&root),
        pmu::paranoid(&root),
        host::huge_pages(&root),
        network::passt(&root),
        network::tap(&root),
        host::space(directory),
        programs::gdb(),
        host::terminal(),
    ]);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files in it.
    pub(super) fn root_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root(directory.path().to_owned());
        for (name, text) in files {
            let path = root.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        (directory, root)
    }

    #[test]
    fn every_finding_of_any_host_says_what_follows() {
        let findings = examine(Path::new("."));
        let keys: Vec<_> = findings.iter().map(|finding| finding.key).collect();
        let all = "cpu jit kvm kvm-capabilities kvm-kind accel-auto pmu perf-event-paranoid huge-pages passt tap disk-space gdb terminal";
        assert_eq!(keys, all.split(' ').collect::<Vec<_>>());
        for finding in findings {
            assert!(!finding.found.is_empty() && !finding.follows.is_empty(), "{finding:?}");
            assert!(finding.state != State::Missing || finding.change.is_some(), "{finding:?}");
        }
    }
}
