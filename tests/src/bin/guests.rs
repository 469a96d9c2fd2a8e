//! Fetches the Debian guests of the tests and prints where each is: `guests [NAME...]`, all without a name.
//!
//! Names: the kernel flavours (`cloud-amd64`, `amd64`, `rt-amd64`, `686`, `686-pae`), `busybox`, `seabios`, `memtest86+`, `debian` (a whole system; only by name), and the initrds `boot-ARCH`,
//! `work-ARCH`, `echo-ARCH` with ARCH `amd64` or `i386`.

use anyhow::{Result, bail};
use rrvmm_tests::guests::{self, Arch, Kernel, MemtestBits, workload};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        names.extend(Kernel::ALL.map(|kernel| kernel.name().to_owned()));
        names.extend(["busybox", "seabios", "memtest86+", "work-amd64", "work-i386"].map(str::to_owned));
    }
    for name in names {
        let paths = match name.as_str() {
            "busybox" => vec![guests::busybox(Arch::Amd64)?, guests::busybox(Arch::I386)?],
            "seabios" => vec![guests::seabios()?],
            "debian" => {
                let system = guests::debian()?;
                vec![system.image, system.kernel, system.initrd]
            }
            "memtest86+" => vec![guests::memtest(MemtestBits::Ia32)?, guests::memtest(MemtestBits::X64)?],
            flavour => match Kernel::ALL.into_iter().find(|kernel| kernel.name() == flavour) {
                Some(kernel) => vec![guests::kernel(kernel)?],
                None if workload::by_name(flavour).is_some() => vec![guests::cached_initrd(flavour)?],
                None => bail!("no guest named {flavour}"),
            },
        };
        for path in paths {
            println!("{name}\t{}", path.display());
        }
    }
    Ok(())
}
