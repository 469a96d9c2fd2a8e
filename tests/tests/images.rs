//! Images of disks: a recording that goes live needs them and the new one does not, one without their blocks says so, and what is no
//! image is refused by name, as is a network that is not there.

#![allow(clippy::unwrap_used, reason = "a failed test is what it should be")]

#[path = "tiny/mod.rs"]
mod tiny;

use rrvmm_tests::run::{Outcome, typed_into_pipe};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::tempdir;
use tiny::{STATUS, checked, disk, finish, info, machine, on, program, text, timed};

const LIMIT: Duration = Duration::from_secs(200);

/// An image whose sectors are full of `a`, `b`, …
fn image(directory: &Path) -> PathBuf {
    let path = directory.join("disk.img");
    let bytes: Vec<u8> = (0..16 * 512).map(|at| b'a' + (at / 512) as u8).collect();
    fs::write(&path, bytes).unwrap();
    path
}

/// Runs `command` with `text` typed.
fn typed(command: Command, text: &str) -> Outcome {
    let script = vec![(Duration::ZERO, text.as_bytes().to_vec())];
    checked(typed_into_pipe(command, &script, LIMIT).unwrap())
}

/// A recording of the guest that reads disks, with `typed` typed.
fn recorded(directory: &Path, text_typed: &str, more: &[&str]) -> PathBuf {
    let (kernel, recording) = (disk(directory), directory.join("first.rrvm"));
    let image = format!("{},if=ide", text(&image(directory)));
    let arguments = [&["-o", text(&recording), "--force", "--disk", &image], more].concat();
    typed(machine("record", &kernel, &arguments), text_typed);
    recording
}

#[test]
fn a_run_that_goes_live_reads_and_writes_its_disks_and_is_a_recording_by_itself() {
    let directory = tempdir().unwrap();
    let first = recorded(directory.path(), "0", &["--until", "50000000"]);
    let (disk, new) = (directory.path().join("disk.img"), directory.path().join("new.rrvm"));
    let live = |more: &[&str]| {
        let mut command = program(["replay", "--live", "--force", "-o", text(&new), text(&first)]);
        command.args(more);
        command
    };
    // Of the image, only the block that was read before is there: the first eight sectors.
    let outcome = typed(live(&[]), "9q");
    let errors = outcome.errors();
    assert!(errors.contains("disk0: the recording has no block") && errors.contains("--disk"), "{errors}");
    on("verify", &first).exited(0).unwrap();
    let before = fs::read(&disk).unwrap();
    let outcome = typed(live(&["--disk", text(&disk)]), "9P0q").exited(STATUS).unwrap();
    assert_eq!(outcome.text(), "ajkk");
    assert_eq!(fs::read(&disk).unwrap(), before);
    fs::remove_file(disk).unwrap();
    on("verify", &new).exited(0).unwrap();
    assert_eq!(on("replay", &new).exited(STATUS).unwrap().text(), "ajkk");
    assert_eq!(info(&new)["complete"], true);
}

#[test]
fn a_recording_without_blocks_asks_for_the_image_whatever_it_is_asked() {
    let directory = tempdir().unwrap();
    let recording = recorded(directory.path(), "01q", &["--no-embed"]);
    let disk = directory.path().join("disk.img");
    let questions: [&[&str]; 4] = [
        &["verify", text(&recording)],
        &["last-write", text(&recording), "0x6000:512", "--physical"],
        &["diff", text(&recording)],
        &["hits", text(&recording), "0x6000:512", "--physical", "--watch"],
    ];
    for question in questions {
        let without = finish(program(question)).errors();
        assert!(without.contains("give the image with --disk"), "{question:?}: {without}");
        let mut with = program(question);
        with.args(["--disk", text(&disk)]);
        finish(with).exited(0).unwrap();
    }
    // Another image is not that one.
    let other = directory.path().join("other.img");
    fs::write(&other, [7; 8192]).unwrap();
    let mut with = program(["verify", text(&recording), "--disk"]);
    with.arg(&other);
    let errors = finish(with).errors();
    assert!(errors.contains("disk0"), "{errors}");
}

/// Fails unless `command` ends with status 1 and one message with every one of `parts`.
fn refused(command: Command, parts: &[&str]) {
    let errors = finish(command).exited(1).unwrap().errors();
    for part in parts {
        assert!(errors.contains(part), "{part:?} is not in {errors}");
    }
    assert!(errors.starts_with("rrvmm: ") && errors.lines().count() <= 3, "{errors}");
}

/// A place and the bytes there.
type Change<'a> = (usize, &'a [u8]);

/// A qcow2 image of 1 MiB without data (docs/interop/qcow2.txt of QEMU), with some bytes of its header changed.
fn qcow2(changes: &[Change<'_>]) -> Vec<u8> {
    let cluster = 1 << 16;
    let mut image = vec![0; 5 * cluster];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb\0\0\0\x03");
    put(20, &16u32.to_be_bytes());
    put(24, &(1u64 << 20).to_be_bytes());
    put(36, &1u32.to_be_bytes());
    // Tables: L1, references, and how many clusters those take; header of 104 bytes, references of 16 bits.
    put(40, &(3 * cluster as u64).to_be_bytes());
    put(48, &(cluster as u64).to_be_bytes());
    put(56, &1u32.to_be_bytes());
    put(96, &4u32.to_be_bytes());
    put(100, &104u32.to_be_bytes());
    put(cluster, &(2 * cluster as u64).to_be_bytes());
    for used in 0..4 {
        put(2 * cluster + 2 * used, &1u16.to_be_bytes());
    }
    for (at, bytes) in changes {
        put(*at, bytes);
    }
    image
}

#[test]
fn what_is_no_image_is_refused_by_name_with_the_cure() {
    let directory = tempdir().unwrap();
    let kernel = timed(directory.path(), 2);
    let out = directory.path().join("never.rrvm");
    let with = |disk: &Path, more: &str| {
        let disk = format!("{}{more}", text(disk));
        machine("record", &kernel, &["-o", text(&out), "--disk", &disk])
    };
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    refused(with(Path::new("/nowhere/disk"), ""), &["/nowhere/disk", "No such file", "give a file"]);
    refused(with(directory.path(), ""), &["is a directory", "give a file"]);
    refused(with(&file("empty", b""), ""), &["empty", "truncate -s"]);
    refused(with(&file("short", &[1; 1000]), ""), &["short", "1000 bytes", "cut off", "truncate"]);
    refused(with(&file("raw", &[1; 1024]), ",format=qcow2"), &["raw", "damaged qcow2", "qemu-img check"]);
    refused(with(&file("head", b"QFI\xfb"), ""), &["head", "damaged qcow2"]);
    let name = b"/etc/shadow";
    let backed = qcow2(&[(8, &512u64.to_be_bytes()), (16, &(name.len() as u32).to_be_bytes()), (512, name)]);
    refused(with(&file("backed", &backed), ""), &["backed", "/etc/shadow", "qemu-img convert"]);
    // A data file elsewhere: incompatible feature 2.
    refused(with(&file("elsewhere", &qcow2(&[(79, &[4])])), ""), &["elsewhere"]);
    let hostile: [(&str, &[Change<'_>]); 8] = [
        ("version", &[(4, &[0, 0, 0, 9])]),
        ("clusters", &[(20, &[0, 0, 0, 63])]),
        ("tiny-clusters", &[(20, &[0, 0, 0, 1])]),
        ("size", &[(24, &[0xff; 8])]),
        ("encrypted", &[(32, &[0, 0, 0, 1])]),
        ("references", &[(96, &[0, 0, 0, 99])]),
        ("unknown-feature", &[(72, &[0x80])]),
        ("backing-name", &[(8, &512u64.to_be_bytes()), (16, &[0xff; 4])]),
    ];
    for (name, changes) in hostile {
        let cure = match name {
            "encrypted" => "qemu-img convert",
            "size" => "is it damaged?",
            _ => "qemu-img check",
        };
        refused(with(&file(name, &qcow2(changes)), ""), &[name, cure]);
    }
    assert!(!out.exists(), "a recording of nothing");
    // And the whole one is taken.
    finish(with(&file("whole", &qcow2(&[])), "")).exited(STATUS).unwrap();
}

#[test]
fn a_network_that_is_not_there_is_told_and_one_that_goes_ends_nothing() {
    let directory = tempdir().unwrap();
    let kernel = timed(directory.path(), 20);
    let recording = directory.path().join("r.rrvm");
    let with = |network: &str| {
        let mut command = machine("record", &kernel, &["-o", text(&recording), "--force", "--net", network]);
        command.env("PATH", directory.path());
        command
    };
    refused(with("user"), &["passt", "No such file", "install it"]);
    let passt = directory.path().join("passt");
    fs::write(&passt, "#!/bin/sh\necho no privileges here >&2\nexit 3\n").unwrap();
    fs::set_permissions(&passt, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    refused(with("user"), &["passt", "no privileges here"]);
    refused(with("unix=/nowhere/socket"), &["/nowhere/socket", "start what is to listen there"]);

    let socket = directory.path().join("network");
    let listener = UnixListener::bind(&socket).unwrap();
    let leaving = std::thread::spawn(move || drop(listener.accept()));
    let outcome = finish(with(&format!("unix={}", text(&socket)))).exited(STATUS).unwrap();
    leaving.join().unwrap();
    assert!(outcome.errors().contains("the run goes on without it"), "{}", outcome.errors());
    assert_eq!(info(&recording)["complete"], true);
    on("verify", &recording).exited(0).unwrap();
}
