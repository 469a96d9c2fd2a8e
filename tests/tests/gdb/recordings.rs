//! What gdb is let loose on, each recorded once.

use anyhow::{Context as _, Result};
use rrvmm_tests::guests::{self, Kernel};
use rrvmm_tests::payloads::Payload;
use rrvmm_tests::run::{Guest, Process, rrvmm};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// Recordings made by this process, by name.
static MADE: Mutex<BTreeMap<String, Option<PathBuf>>> = Mutex::new(BTreeMap::new());

/// A run of a payload.
pub fn payload(name: &str) -> Result<PathBuf> {
    let payload = Payload::named(name)?;
    record(&name.replace('/', "-"), &payload.build()?, &[], payload.exit_status())
}

/// A payload's image, which has its symbols.
pub fn image(name: &str) -> Result<PathBuf> {
    Payload::named(name)?.build()?.kernel.context("a payload is a kernel")
}

/// The same with the lines of its source.
pub fn lines(name: &str) -> Result<PathBuf> {
    Payload::named(name)?.build_with_lines()
}

/// A boot of a Debian kernel to user space, its functions where its file has them.
pub fn boot(kernel: Kernel) -> Result<PathBuf> {
    let initrd = guests::cached_initrd(&format!("boot-{}", kernel.arch().name()))?;
    let mut guest = Guest::linux(&guests::kernel(kernel)?, &initrd);
    guest.cmdline.push_str(" nokaslr");
    record(kernel.name(), &guest, &[], 0)
}

fn record(name: &str, guest: &Guest, options: &[&str], status: i32) -> Result<PathBuf> {
    let mut made = MADE.lock().unwrap();
    if let Some(path) = made.get(name) {
        return path.clone().with_context(|| format!("recording {name} failed before"));
    }
    made.insert(name.to_owned(), None);
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("gdb");
    fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{name}.rrvm"));
    let mut command = rrvmm(["record", "--force"])?;
    command.args(guest.rrvmm_options()).args(options).arg("-o").arg(&path);
    Process::new(command).limit(Duration::from_secs(400)).run()?.exited(status)?;
    made.insert(name.to_owned(), Some(path.clone()));
    Ok(path)
}
