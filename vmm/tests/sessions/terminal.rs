//! The program on a terminal, with a person's hands and eyes on the other side.

use rustix::fs::{Mode, OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// More than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Terminal {
    master: File,
    slave: OwnedFd,
    before: Termios,
    child: Child,
    /// Everything the program has written so far.
    pub seen: Vec<u8>,
}

impl Terminal {
    /// Starts `command` on a new terminal; standard error goes elsewhere.
    pub fn run(command: &mut Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let slave = rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        fcntl_setfl(&master, OFlags::NONBLOCK).unwrap();
        let before = tcgetattr(&slave).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(Stdio::piped()).spawn().unwrap();
        Self { master: master.into(), slave, before, child, seen: Vec::new() }
    }

    pub fn type_in(&mut self, bytes: &[u8]) {
        self.master.write_all(bytes).unwrap();
    }

    /// Waits until the program has written `wanted` since this was last called.
    pub fn expect(&mut self, wanted: &[u8]) {
        let from = self.seen.len();
        let start = Instant::now();
        while !self.seen[from..].windows(wanted.len()).any(|seen| seen == wanted) {
            assert!(start.elapsed() < PATIENCE, "{:?} is not in {:?}", wanted, &self.seen[from..]);
            self.look();
        }
    }

    /// Waits until the terminal is in raw mode, before which typed bytes would be echoed and changed.
    pub fn wait_for_raw_mode(&self) {
        let start = Instant::now();
        while tcgetattr(&self.slave).unwrap().local_modes == self.before.local_modes {
            assert!(start.elapsed() < PATIENCE, "the terminal stays as it was");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end; the terminal must be as it was. Returns the status and standard error.
    pub fn finish(mut self) -> (ExitStatus, String, Vec<u8>) {
        let start = Instant::now();
        let status = loop {
            self.look();
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "the program does not end");
        };
        self.look();
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        let after = tcgetattr(&self.slave).unwrap();
        assert_eq!(format!("{after:?}"), format!("{:?}", self.before), "the terminal is not as it was");
        (status, errors, self.seen)
    }

    fn look(&mut self) {
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(length) => self.seen.extend_from_slice(&buffer[..length]),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
