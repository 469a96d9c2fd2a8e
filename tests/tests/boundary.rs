//! The boundaries between crates: who may import whom, which words a crate may not say, which files may use `unsafe`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// For each crate of ours, which others of ours it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("replay", &[]),
    ("devices", &["rrvmm-replay"]),
    ("tcg", &[]),
    ("vmm", &["rrvmm-replay", "rrvmm-devices", "rrvmm-tcg"]),
    ("tests", &["rrvmm-replay", "rrvmm-devices", "rrvmm-tcg", "rrvmm"]),
];

/// Crates whose code may not name the host, and what counts as naming it.
const PURE: &[&str] = &["replay", "devices", "tcg"];
const HOST_WORDS: &[&str] = &[
    "std::time",
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "HashMap",
    "HashSet",
    "SystemTime",
    "Instant::now",
    "rustix::",
    "libc::",
    "rand::",
    "_rdtsc",
];

/// The one file of a pure crate that asks the host for something: memory to run machine code from.
const CODE_MEMORY: &str = "tcg/src/jit/buffer.rs";

/// Files that may use `unsafe`; each must, so that the list only shrinks by being edited.
const UNSAFE: &[&str] = &[
    "tcg/src/jit/buffer.rs",
    "tcg/src/jit/mod.rs",
    "tcg/src/jit/shims.rs",
    "tcg/src/phys.rs",
    "tests/tests/host_integer/native.rs",
    "tests/tests/host_softfloat.rs",
    "tests/tests/host_sse/stub.rs",
    "tests/tests/host_x87.rs",
    "tests/tests/host_x87_images.rs",
    "vmm/src/accel/kvm/hypervisor.rs",
    "vmm/src/accel/kvm/kick.rs",
    "vmm/src/accel/kvm/simulated.rs",
    "vmm/src/host/net/tap.rs",
    "vmm/src/pages/slab.rs",
    "vmm/src/pmu/perf.rs",
    "vmm/src/pmu/rig.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace").to_path_buf()
}

/// Rust files under `dir`, with their paths from the workspace root.
fn rust_files(dir: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root().join(dir)];
    while let Some(path) = todo.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten() {
            let path = entry.expect("a readable directory").path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").display().to_string();
                found.insert(name, fs::read_to_string(&path).expect("a readable file"));
            }
        }
    }
    assert!(!found.is_empty(), "no Rust files under {dir}");
    found
}

/// The code of a file without comments and without its test modules at the end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// Whether `word` stands in `code` as a name of its own.
fn says(code: &str, word: &str) -> bool {
    let continues = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(continues) && (word.ends_with(':') || !after.is_some_and(continues))
    })
}

/// The `[dependencies]` section of a crate's manifest, names only.
fn dependencies(krate: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join(krate).join("Cargo.toml")).expect("a manifest");
    let section = manifest.split("[dependencies]").nth(1).expect("a dependencies section");
    let section = section.split("\n[").next().unwrap_or(section);
    let name = |line: &str| line.split(['.', '=', ' ']).next().unwrap_or("").to_owned();
    section.lines().map(name).filter(|n| !n.is_empty() && !n.starts_with('#')).collect()
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let ours: Vec<&str> = vec!["rrvmm", "rrvmm-replay", "rrvmm-devices", "rrvmm-tcg", "rrvmm-tests"];
    for (krate, allowed) in ARROWS {
        for dependency in dependencies(krate) {
            let is_ours = ours.contains(&dependency.as_str());
            assert!(
                !is_ours || allowed.contains(&dependency.as_str()),
                "{krate} must not depend on {dependency}"
            );
        }
        for (file, text) in rust_files(krate) {
            for other in ["rrvmm_replay", "rrvmm_devices", "rrvmm_tcg", "rrvmm_tests"] {
                let own = other.strip_prefix("rrvmm_") == Some(krate);
                let package = other.replace('_', "-");
                let named = code(&text).contains(&format!("{other}::"));
                assert!(!named || own || allowed.contains(&package.as_str()), "{file} must not name {other}");
            }
        }
    }
}

#[test]
fn pure_crates_do_not_name_the_host() {
    for krate in PURE {
        for (file, text) in rust_files(&format!("{krate}/src")) {
            if file.contains("/tests/") || file.ends_with("tests.rs") || file == CODE_MEMORY {
                continue;
            }
            for word in HOST_WORDS {
                assert!(!says(&code(&text), word), "{file} says {word}");
            }
        }
    }
}

#[test]
fn unsafe_stays_in_the_listed_files() {
    let mut used = Vec::new();
    for (krate, _) in ARROWS {
        for (file, text) in rust_files(krate) {
            // A hyphen joins: an option of another program is no block.
            let words = code(&text)
                .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
                .any(|w| w == "unsafe");
            if words && !file.ends_with("boundary.rs") {
                used.push(file);
            }
        }
    }
    used.sort();
    let mut listed: Vec<String> = UNSAFE.iter().map(|&f| f.to_owned()).collect();
    listed.sort();
    assert_eq!(used, listed, "files with `unsafe` (left) and the list of them (right) differ");
}

#[test]
fn replay_and_devices_forbid_unsafe() {
    for krate in ["replay", "devices"] {
        let lib = fs::read_to_string(root().join(krate).join("src/lib.rs")).expect("lib.rs");
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{krate} must forbid unsafe code");
    }
}
