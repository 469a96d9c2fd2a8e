//! An explorer over a recording of the built-in guest.

use std::io::Cursor;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rrvmm_devices::{Input, Output};
use rrvmm_replay::Position;
use rrvmm_tcg::stops::{Access, Hit, Space, Stops, Watch};

use super::{Desk, Explorer, Gone, Halt, Handle, Source};
use crate::accel::TcgEngine;
use crate::demo;
use crate::host::HostError;
use crate::machine::PcMachine;
use crate::session::{self, FullPorts, Host, Options, Polled};

/// Instructions recorded: the guest's greeting and some of what follows.
const LENGTH: u64 = 300_000;

/// A host without inputs that keeps what is shown.
#[derive(Default)]
struct Listener(Vec<Output>);

impl Host for Listener {
    type Offer = Input;
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    fn poll(&mut self, _full: FullPorts) -> Result<Polled<Input>, HostError> {
        Ok(Polled::Nothing)
    }
    fn wait(&mut self, _limit: Duration, _full: FullPorts) -> Result<(), HostError> {
        Ok(())
    }
    fn may_offer(&self) -> bool {
        false
    }
    fn show(&mut self, outputs: &[Output]) -> Result<(), HostError> {
        self.0.extend_from_slice(outputs);
        Ok(())
    }
    fn reached(&mut self, _position: Position) {}
}

/// A recording and what the guest sent out meanwhile.
fn recorded(length: u64) -> (Vec<u8>, Vec<Output>) {
    let setup = demo::setup();
    let mut machine = PcMachine::new(&setup.pc, &setup.source).unwrap();
    let options = Options { until: Some(at(length)), ..Options::default() };
    let mut host = Listener::default();
    let recorded = session::record(&mut machine, &setup, "interp", Vec::new(), 0, &mut host, &options);
    (recorded.unwrap().1, host.0)
}

fn explorer(recording: &[u8]) -> Explorer {
    let source = || -> Box<dyn Source> { Box::new(Cursor::new(recording.to_vec())) };
    Explorer::open(source(), source(), TcgEngine::Interp).unwrap()
}

fn at(count: u64) -> Position {
    Position::from_count(count)
}

fn heard(explorer: &mut Explorer) -> Vec<Output> {
    let mut outputs = Vec::new();
    explorer.take_outputs(&mut outputs);
    outputs
}

#[test]
fn the_guest_is_heard_once_however_one_moves() {
    let (recording, outputs) = recorded(LENGTH);
    assert!(outputs.len() > 10);
    let mut explorer = explorer(&recording);
    let mut all = Vec::new();
    for position in [1000, 50_000, 20_000, 120_000, 119_999, 0, LENGTH / 2, LENGTH, 77, LENGTH] {
        explorer.go_to(at(position)).unwrap();
        all.extend(heard(&mut explorer));
        explorer.step_back(10).unwrap();
        explorer.step(5, &Stops::default()).unwrap();
    }
    all.extend(heard(&mut explorer));
    assert_eq!(all, outputs);
}

#[test]
fn a_diversion_leaves_no_trace() {
    let (recording, _) = recorded(LENGTH);
    let mut explorer = explorer(&recording);
    explorer.go_to(at(100_000)).unwrap();
    let before = explorer.fingerprint();
    let _ = heard(&mut explorer);
    let mut state = explorer.cpu();
    state.regs[0] ^= 0xff;
    explorer.set_cpu(&state);
    assert_eq!(explorer.place().diverged_at.map(|stamp| stamp.position), Some(at(100_000)));
    assert_eq!(explorer.run(Some(at(150_000)), &Stops::default()).unwrap(), Halt::Reached);
    assert_eq!(explorer.write(Space::Physical, 0x5000, b"changed"), 7);
    assert_eq!(explorer.step_back(1).unwrap(), Halt::Returned);
    assert_eq!(explorer.place().diverged_at, None);
    assert_eq!((explorer.position(), explorer.fingerprint()), (at(100_000), before));
    assert_eq!(explorer.take_notices().len(), 2);
    assert!(heard(&mut explorer).is_empty());
    explorer.go_to(at(LENGTH)).unwrap();
    assert_eq!(explorer.fingerprint().combined(), explorer.summary().digest.unwrap().1.combined());
}

#[test]
fn what_changes_nothing_begins_no_diversion() {
    let (recording, _) = recorded(1000);
    let mut explorer = explorer(&recording);
    explorer.set_cpu(&explorer.cpu());
    assert_eq!(explorer.write(Space::Physical, 0xf000_0000, b"nobody"), 0);
    assert_eq!(explorer.place().diverged_at, None);
    assert!(!explorer.return_to_recording());
}

#[test]
fn the_last_write_is_the_one_that_a_walk_finds() {
    let (recording, _) = recorded(LENGTH);
    let mut explorer = explorer(&recording);
    explorer.go_to(at(60_000)).unwrap();
    let stack = explorer.cpu().regs[4];
    let watch = Watch { space: Space::Linear, addr: stack, len: 4, on: Access::Write };
    let stops = Stops { watchpoints: vec![watch], ..Stops::default() };
    let mut last = None;
    explorer.go_to(at(0)).unwrap();
    while let Halt::Hit(Hit::Watch { .. }) = explorer.run(Some(at(60_000)), &stops).unwrap() {
        last = Some(at(explorer.position().count() - 1));
    }
    assert_eq!(explorer.position(), at(60_000));
    let before = explorer.fingerprint();
    let found = explorer.last_write(Space::Linear, stack, 4).unwrap();
    assert_eq!(found.map(|written| written.at), last);
    assert!(last.is_some());
    assert_eq!((explorer.position(), explorer.fingerprint()), (at(60_000), before));
}

/// An explorer at work on a thread of its own.
fn at_work(recording: Vec<u8>) -> (Handle, thread::JoinHandle<()>) {
    let (sender, receiver) = channel();
    let desk = thread::spawn(move || {
        let (mut desk, handle) = Desk::new(explorer(&recording));
        sender.send(handle).unwrap();
        desk.serve(|_| Ok::<(), HostError>(())).unwrap();
    });
    (receiver.recv().unwrap(), desk)
}

#[test]
fn a_motion_can_be_interrupted_and_the_next_one_cannot_tell() {
    let (recording, _) = recorded(40_000_000);
    let (handle, desk) = at_work(recording);
    let (sender, receiver) = channel();
    let ticket = handle
        .begin(move |explorer| {
            sender.send(explorer.run(None, &Stops::default()).unwrap()).unwrap();
        })
        .unwrap();
    ticket.interrupt();
    assert_eq!(receiver.recv().unwrap(), Halt::Interrupted);
    let halt = handle.ask(|explorer| explorer.go_to(at(10_000_000)).unwrap()).unwrap();
    assert_eq!(halt, Halt::Reached);
    assert_eq!(handle.ask(|explorer| explorer.position()), Ok(at(10_000_000)));
    handle.quit();
    desk.join().unwrap();
    assert_eq!(handle.ask(|explorer| explorer.position()), Err(Gone));
}

#[test]
fn commands_answer_whatever_is_typed() {
    let (recording, _) = recorded(5000);
    let mut explorer = explorer(&recording);
    for line in
        ["", "help", "where", "info", "events", "registers", "digest", "checkpoints", "x/4xg 0", "xp/b 0"]
    {
        let answer = explorer.command(line);
        assert!(!answer.text.is_empty() && !answer.moved, "{line:?}: {answer:?}");
    }
    for line in ["seek", "seek x", "x/9999xg 0", "last-write", "last-write 0:0", "frobnicate", "events 1 2 3"]
    {
        let answer = explorer.command(line);
        assert!(!answer.moved && answer.text.lines().count() == 1, "{line:?}: {answer:?}");
    }
    assert!(explorer.command("seek 4000").moved);
    assert!(explorer.command("where").text.starts_with("position 4000 of 5000"));
}
