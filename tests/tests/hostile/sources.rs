//! Kernels, initrds, outputs and recordings that are not what they should be.

use crate::refused;
use crate::tiny::{Random, STATUS, finish, info, machine, on, program, text, timed, triple};
use rrvmm_tests::run::skipped;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::tempdir;

/// Setup sectors and protected-mode part of the bzImage below, in bytes.
const SETUP: usize = 1024;
const SYSTEM: usize = 1 << 20;

/// A bzImage of boot protocol 2.15 (Linux Documentation/arch/x86/boot.rst) that wants 8 MiB from 16 MiB on.
fn bzimage() -> Vec<u8> {
    let mut image = vec![0; SETUP + SYSTEM];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[1]); // setup_sects
    put(0x1f4, &(SYSTEM as u32 / 16).to_le_bytes()); // syssize
    put(0x1fe, &[0x55, 0xaa, 0xeb, 0x6a]);
    put(0x202, b"HdrS");
    put(0x206, &0x20fu16.to_le_bytes()); // version
    put(0x211, &[1]); // loadflags: loaded high
    put(0x214, &0x10_0000u32.to_le_bytes()); // code32_start
    put(0x22c, &0x7fff_ffffu32.to_le_bytes()); // initrd_addr_max
    put(0x230, &0x20_0000u32.to_le_bytes()); // kernel_alignment
    put(0x234, &[1]); // relocatable_kernel
    put(0x236, &1u16.to_le_bytes()); // xloadflags: 64-bit entry
    put(0x238, &255u32.to_le_bytes()); // cmdline_size
    put(0x258, &0x100_0000u64.to_le_bytes()); // pref_address
    put(0x260, &(8u32 << 20).to_le_bytes()); // init_size
    image
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn what_is_no_kernel_is_refused_by_name() {
    let directory = tempdir().unwrap();
    let mut random = Random::seeded(1);
    let noise: Vec<u8> = (0..100_000).map(|_| random.next() as u8).collect();
    let images: [(&str, &[u8]); 6] = [
        ("text", b"not a kernel at all\n"),
        ("empty", b""),
        ("noise", &noise),
        ("gzipped", b"\x1f\x8b\x08\0\0\0\0\0"),
        ("recording", b"\x89MCAP0\r\n"),
        ("elf", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0"),
    ];
    for (name, image) in images {
        let path = write(directory.path(), name, image);
        let out = directory.path().join("never.rrvm");
        let outcome = refused(machine("record", &path, &["-o", text(&out)]), &["cannot start", text(&path)]);
        let errors = outcome.errors();
        assert!(
            errors.contains("--kernel takes") || errors.contains("again") || errors.contains("build"),
            "{errors}"
        );
        assert!(!out.exists(), "{name}: a recording of nothing");
    }
    refused(
        machine("run", directory.path(), &[]),
        &[text(directory.path()), "Is a directory", "give a file"],
    );
    refused(
        machine("run", Path::new("/nowhere/vmlinuz"), &[]),
        &["/nowhere/vmlinuz", "No such file", "give a file"],
    );
    refused(machine("run", Path::new("/dev/zero"), &[]), &["/dev/zero", "--memory"]);
}

#[test]
fn a_truncated_bzimage_is_refused_wherever_it_is_cut() {
    let directory = tempdir().unwrap();
    let whole = bzimage();
    let mut random = Random::seeded(2);
    let cuts = [0x203, 0x263, SETUP, SETUP + 1, whole.len() - 16].into_iter();
    for length in cuts.chain((0..20).map(|_| random.below(whole.len() - 16))) {
        let path = write(directory.path(), "vmlinuz", &whole[..length]);
        let mut command = program(["run", "--memory", "64M", "--kernel"]);
        command.arg(&path);
        let errors = refused(command, &["cannot start", text(&path)]).errors();
        let told =
            length < SETUP || errors.contains("truncated") && errors.contains("fetch or build it again");
        assert!(told, "cut at {length}: {errors}");
    }
}

#[test]
fn too_little_memory_is_told_with_what_needs_it() {
    let directory = tempdir().unwrap();
    let kernel = write(directory.path(), "vmlinuz", &bzimage());
    let with = |memory: &str, more: &[&str]| {
        let mut command = program(["run", "--memory", memory, "--kernel"]);
        command.arg(&kernel).args(more);
        command
    };
    refused(with("512", &[]), &["--memory 512", "512M"]);
    refused(with("1M", &[]), &["the kernel", "larger than the guest's memory", "--memory"]);
    refused(with("16M", &[]), &["cannot start", "the kernel", "--memory"]);

    let initrd = directory.path().join("initrd");
    File::create(&initrd).unwrap().set_len(50 << 20).unwrap();
    let initrd = text(&initrd);
    refused(with("64M", &["--initrd", initrd]), &["the initrd", "does not fit", "--memory"]);
    refused(with("32M", &["--initrd", initrd]), &[initrd, "larger than the guest's memory", "--memory"]);
    // Larger than the host's memory, perhaps; it must not be read to find that out.
    let giant = directory.path().join("giant");
    File::create(&giant).unwrap().set_len(1 << 42).unwrap();
    let giant = text(&giant);
    refused(with("32M", &["--initrd", giant]), &[giant, "larger than the guest's memory"]);
    refused(with("64M", &["--initrd", "/nowhere/initrd"]), &["/nowhere/initrd", "give a file"]);
    let empty = write(directory.path(), "empty", b"");
    refused(with("64M", &["--initrd", text(&empty)]), &["initrd is empty", "leave --initrd out"]);
}

#[test]
fn an_output_that_cannot_be_made_is_told_before_the_guest_runs() {
    let directory = tempdir().unwrap();
    let kernel = timed(directory.path(), 20);
    let to = |path: &Path, more: &[&str]| machine("record", &kernel, &[&["-o", text(path)], more].concat());
    let missing = directory.path().join("no/such/place.rrvm");
    let silent = refused(to(&missing, &[]), &[text(&missing), "No such file", "choose"]);
    assert!(silent.stdout.is_empty());
    refused(to(directory.path(), &[]), &[text(directory.path()), "exists", "--force"]);
    refused(to(directory.path(), &["--force"]), &[text(directory.path()), "Is a directory", "choose"]);
    let old = write(directory.path(), "old.rrvm", b"precious");
    refused(to(&old, &[]), &[text(&old), "exists", "-o", "--force"]);
    assert_eq!(fs::read(&old).unwrap(), b"precious");
    let link = directory.path().join("link.rrvm");
    std::os::unix::fs::symlink(&missing, &link).unwrap();
    refused(to(&link, &[]), &[text(&link), "choose"]);

    let locked = directory.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    let inside = locked.join("x.rrvm");
    if rustix::process::geteuid().is_root() {
        skipped("a directory that must not be written", "root may write everywhere; /proc is tried instead");
        refused(to(Path::new("/proc/x.rrvm"), &[]), &["/proc/x.rrvm", "choose"]);
    } else {
        refused(to(&inside, &[]), &[text(&inside), "Permission denied", "choose"]);
    }
}

#[test]
fn what_is_no_recording_is_refused_by_name() {
    let directory = tempdir().unwrap();
    let text_file = write(directory.path(), "text", b"hello\n");
    let empty = write(directory.path(), "empty", b"");
    for verb in ["replay", "verify", "info", "events"] {
        let on = |path: &Path| program([verb.as_ref(), path.as_os_str()]);
        refused(on(&text_file), &[text(&text_file), "not an rrvmm recording", "rrvmm record makes"]);
        refused(on(&empty), &[text(&empty), "not an rrvmm recording"]);
        refused(on(directory.path()), &[text(directory.path()), "Is a directory"]);
        refused(on(Path::new("/nowhere/x.rrvm")), &["/nowhere/x.rrvm", "No such file", "check its name"]);
    }
}

#[test]
fn a_recording_of_the_future_names_its_version() {
    let directory = tempdir().unwrap();
    let recording = directory.path().join("future.rrvm");
    let kernel = timed(directory.path(), 20);
    finish(machine("record", &kernel, &["-o", text(&recording)])).exited(STATUS).unwrap();
    let mut bytes = fs::read(&recording).unwrap();
    let key = b"version\x01\0\0\0";
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    bytes[at] = b'9';
    fs::write(&recording, bytes).unwrap();
    for verb in ["replay", "verify", "info", "events"] {
        let command = program([verb.as_ref(), recording.as_os_str()]);
        refused(command, &[text(&recording), "format version 9", "up to 1", "use a newer"]);
    }
}

#[test]
fn a_triple_fault_is_reported_with_the_cpu_and_recorded_whole() {
    const SHUTDOWN: i32 = 122;
    let directory = tempdir().unwrap();
    let recording = directory.path().join("triple.rrvm");
    let kernel = triple(directory.path());
    let recorded = finish(machine("record", &kernel, &["-o", text(&recording)])).exited(SHUTDOWN).unwrap();
    let replayed = on("replay", &recording).exited(SHUTDOWN).unwrap();
    for outcome in [&recorded, &replayed] {
        assert_eq!(outcome.text(), "last words\n");
        for part in ["triple fault", "RAX 0000000000005eed", "RIP 00000000001000", "CR3 ", "IDT ", "07ff"] {
            assert!(outcome.errors().contains(part), "{part:?} is not in {}", outcome.errors());
        }
    }
    let info = info(&recording);
    assert_eq!((&info["complete"], &info["end"]), (&true.into(), &"triple-fault".into()));
    on("verify", &recording).exited(0).unwrap();
}
