//! The host itself: processor, memory, disk, terminal.

use super::{Finding, Root, State};
use crate::accel::HAS_JIT;
use std::io::{IsTerminal, stdin, stdout};
use std::path::Path;

/// Free bytes below which long recordings with checkpoints may not fit.
const LITTLE_SPACE: u64 = 4 << 30;

pub(super) fn cpu(root: &Root) -> Finding {
    let cpuinfo = root.text("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let model = model.map_or(std::env::consts::ARCH, str::trim);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let guest = cpuinfo.split_whitespace().any(|word| word == "hypervisor");
    let found = format!("{model}, {cpus} usable{}", if guest { ", itself in a virtual machine" } else { "" });
    if cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        Finding::ok("cpu", "CPU", found)
            .follows("guests run in the translator, which turns their code into this processor's")
    } else {
        let follows = "guests run in the interpreter, some ten times slower than in the translator";
        Finding::limited("cpu", "CPU", found).follows(follows).change("use an x86-64 Linux host")
    }
}

pub(super) fn jit() -> Finding {
    if HAS_JIT {
        Finding::ok("jit", "JIT", "built in")
            .follows("--engine jit is the default; no hardware support is needed")
    } else {
        Finding::missing("jit", "JIT", "not for this host's processor")
            .follows("guests run in the interpreter (--engine interp), with the same results")
            .change("use an x86-64 host")
    }
}

pub(super) fn huge_pages(root: &Root) -> Finding {
    let (key, what) = ("huge-pages", "huge pages");
    let switch = "/sys/kernel/mm/transparent_hugepage/enabled";
    let text = root.text(switch).unwrap_or_default();
    let chosen = text.split(['[', ']']).nth(1).unwrap_or("");
    let change = format!("as root: echo always > {switch}");
    match chosen {
        "always" => Finding::ok(key, what, "transparent ones, always")
            .follows("guest memory is mapped in pages of 2 MiB where it can be"),
        "madvise" | "never" => Finding::limited(key, what, format!("transparent ones: {chosen}"))
            .follows("guest memory is mapped in pages of 4 KiB: somewhat slower with much memory, no other difference")
            .change(change),
        _ => Finding::missing(key, what, "this kernel has no transparent ones")
            .follows("guest memory is mapped in pages of 4 KiB: somewhat slower with much memory, no other difference")
            .change("use a kernel with CONFIG_TRANSPARENT_HUGEPAGE"),
    }
}

pub(super) fn space(directory: &Path) -> Finding {
    let (key, what, place) = ("disk-space", "disk space", directory.display());
    let change = "record to another directory, or give --checkpoint-every none";
    match rustix::fs::statvfs(directory) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let state = if free < LITTLE_SPACE { State::Limited } else { State::Ok };
            let finding = Finding::new(key, what, state, format!("{} MiB free in {place}", free >> 20))
                .follows(
                    "recordings are small; checkpoints beside them take what replaying is to be quick with",
                );
            if state == State::Ok { finding } else { finding.change(change) }
        }
        Err(error) => Finding::missing(key, what, format!("{place} cannot be looked at: {error}"))
            .follows("nothing can be recorded there")
            .change("record to another directory"),
    }
}

pub(super) fn terminal() -> Finding {
    let (key, what) = ("terminal", "terminal");
    let found = |is: bool| if is { "a terminal" } else { "none" };
    let (input, output) = (stdin().is_terminal(), stdout().is_terminal());
    let found = format!("standard input: {}; standard output: {}", found(input), found(output));
    if input && output {
        Finding::ok(key, what, found).follows("the guest's serial console is here; Ctrl-A H lists its keys")
    } else {
        Finding::limited(key, what, found)
            .follows("--serial stdio is a pipe: no keys of its own, and guest idle time costs nothing (--pace free)")
            .change("use a terminal, or --serial pty")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::root_with;
    use super::*;

    #[test]
    fn the_chosen_kind_of_huge_pages_is_in_brackets() {
        let switch = "/sys/kernel/mm/transparent_hugepage/enabled";
        for (text, state) in [
            ("[always] madvise never\n", State::Ok),
            ("always [madvise] never\n", State::Limited),
            ("", State::Missing),
        ] {
            let (_directory, root) = root_with(&[(switch, text)]);
            assert_eq!(huge_pages(&root).state, state, "{text}");
        }
    }

    #[test]
    fn a_processor_has_its_name() {
        let (_directory, root) =
            root_with(&[("/proc/cpuinfo", "model name\t: Fast One\nflags\t: fpu hypervisor\n")]);
        let found = cpu(&root).found;
        assert!(found.starts_with("Fast One, ") && found.ends_with("virtual machine"), "{found}");
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_space() {
        assert_eq!(space(Path::new("/no/such/directory")).state, State::Missing);
    }
}
