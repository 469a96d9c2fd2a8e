//! One gdb, from its connection to its end.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use gdbstub::common::Signal;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{DisconnectReason, GdbStubBuilder, GdbStubError, MultiThreadStopReason};
use gdbstub::target::ext::base::reverse_exec::ReplayLogPosition;
use rrvmm_tcg::stops::Hit;

use super::stops::Wanted;
use super::stream::{Packets, Stream};
use super::target::{FIRST_CPU, GdbTarget, Motion};
use crate::explore::{ExploreError, Explorer, Gone, Halt, Handle, Ticket};

/// Most bytes of a packet.
const PACKET: usize = 1 << 14;

type StopReason = MultiThreadStopReason<u64>;

/// How a gdb left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It detached, or is simply gone.
    Detached,
    /// It wants the session to be over.
    Killed,
}

/// Why a gdb was not served any longer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionEnd {
    #[error("{0}")]
    Protocol(#[from] GdbStubError<Gone, io::Error>),
    #[error("the connection does not work")]
    Connection(#[from] io::Error),
    #[error(transparent)]
    Gone(#[from] Gone),
}

enum Event {
    Bytes(Vec<u8>),
    /// gdb is gone.
    Closed,
    /// The motion has ended.
    Halted(Box<Halted>),
}

struct Halted {
    halt: Result<Halt, ExploreError>,
    notices: Vec<String>,
}

/// Serves the gdb at the other end of `stream`.
pub(super) fn serve(stream: &Stream, handle: &Handle) -> Result<Left, SessionEnd> {
    let (events, heard) = channel();
    let reader = stream.try_clone()?;
    let from_gdb = events.clone();
    let reading = thread::spawn(move || listen(reader, &from_gdb));
    let mut session = Session {
        handle,
        events,
        heard,
        bytes: VecDeque::new(),
        frame: Frame::Outside,
        closed: false,
        ticket: None,
        halted: None,
    };
    let left = session.run(Packets::new(stream.try_clone()?));
    if let Some(ticket) = session.ticket.take() {
        ticket.interrupt();
    }
    stream.close();
    // It ends with the stream.
    let _ = reading.join();
    left
}

/// Forwards what gdb sends.
fn listen(mut stream: Stream, events: &Sender<Event>) {
    let mut buffer = [0; 4096];
    loop {
        let event = match stream.read(&mut buffer) {
            Ok(length @ 1..) => Event::Bytes(buffer[..length].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(_) | Err(_) => Event::Closed,
        };
        let is_last = matches!(event, Event::Closed);
        if events.send(event).is_err() || is_last {
            return;
        }
    }
}

/// Where in a packet the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Outside,
    Body,
    /// So many digits of the checksum are still to come.
    Checksum(u8),
}

impl Frame {
    /// Takes note of `byte`. Whether it asks for the last packet again, which gdb does when an answer takes it too long: on
    /// a connection that loses nothing, the answer is on its way.
    fn is_needless(&mut self, byte: u8) -> bool {
        *self = match (*self, byte) {
            (Frame::Outside, b'-') => return true,
            (Frame::Outside, b'$') => Frame::Body,
            (Frame::Body, b'#') => Frame::Checksum(2),
            (Frame::Checksum(2), _) => Frame::Checksum(1),
            (Frame::Checksum(_), _) => Frame::Outside,
            (frame, _) => frame,
        };
        false
    }
}

struct Session<'a> {
    handle: &'a Handle,
    events: Sender<Event>,
    heard: Receiver<Event>,
    /// From gdb, not yet looked at.
    bytes: VecDeque<u8>,
    frame: Frame,
    closed: bool,
    /// The motion in hand.
    ticket: Option<Ticket>,
    halted: Option<Box<Halted>>,
}

/// What comes next in a session.
enum Next {
    Byte(u8),
    Halted(Box<Halted>),
    Closed,
}

impl Session<'_> {
    fn run(&mut self, packets: Packets) -> Result<Left, SessionEnd> {
        let mut target = GdbTarget::new(self.handle.clone())?;
        let stub = GdbStubBuilder::new(packets).packet_buffer_size(PACKET).build();
        let stub = stub.map_err(|error| io::Error::other(error.to_string()))?;
        let mut state = stub.run_state_machine(&mut target)?;
        loop {
            state = match state {
                GdbStubStateMachine::Idle(idle) => match self.next() {
                    Next::Byte(byte) => idle.incoming_data(&mut target, byte)?,
                    Next::Closed => return Ok(Left::Detached),
                    // Of a motion whose end is no longer awaited.
                    Next::Halted(_) => idle.into(),
                },
                GdbStubStateMachine::Running(mut running) => {
                    if let Some(motion) = target.motion.take() {
                        self.ticket = Some(self.begin(motion, &target.wanted)?);
                    }
                    match self.next() {
                        Next::Byte(byte) => running.incoming_data(&mut target, byte)?,
                        Next::Closed => return Ok(Left::Detached),
                        Next::Halted(halted) => {
                            self.ticket = None;
                            for notice in &halted.notices {
                                running.borrow_conn().print(&format!("rrvmm: {notice}\n"))?;
                            }
                            let (reason, text) = explain(&halted.halt, &target.wanted);
                            if let Some(text) = text {
                                running.borrow_conn().print(&format!("rrvmm: {text}\n"))?;
                            }
                            running.report_stop(&mut target, reason)?
                        }
                    }
                }
                GdbStubStateMachine::CtrlCInterrupt(interrupted) => {
                    if let Some(ticket) = &self.ticket {
                        ticket.interrupt();
                    }
                    interrupted.interrupt_handled(&mut target, None::<StopReason>)?
                }
                GdbStubStateMachine::Disconnected(left) => {
                    return Ok(match left.get_reason() {
                        DisconnectReason::Kill => Left::Killed,
                        DisconnectReason::Disconnect
                        | DisconnectReason::TargetExited(_)
                        | DisconnectReason::TargetTerminated(_) => Left::Detached,
                    });
                }
            }
        }
    }

    /// Waits for what comes next; all that gdb has sent comes before its being gone.
    fn next(&mut self) -> Next {
        loop {
            if let Some(byte) = self.bytes.pop_front() {
                if self.frame.is_needless(byte) {
                    continue;
                }
                return Next::Byte(byte);
            }
            if let Some(halted) = self.halted.take() {
                return Next::Halted(halted);
            }
            if self.closed {
                return Next::Closed;
            }
            match self.heard.recv() {
                Ok(Event::Bytes(bytes)) => self.bytes.extend(bytes),
                Ok(Event::Halted(halted)) => self.halted = Some(halted),
                Ok(Event::Closed) | Err(_) => self.closed = true,
            }
        }
    }

    /// Sets the machine in motion.
    fn begin(&self, motion: Motion, wanted: &Wanted) -> Result<Ticket, Gone> {
        let (events, stops) = (self.events.clone(), wanted.stops());
        self.handle.begin(move |explorer: &mut Explorer| {
            let halt = match motion {
                Motion::Continue => explorer.run_to_change(&stops),
                Motion::Step => explorer.step_once(&stops),
                Motion::StepOutOf(range) => explorer.step_out_of(range, &stops),
                Motion::ReverseContinue => explorer.run_back_to_change(&stops),
                Motion::ReverseStep => explorer.step_back_once(),
            };
            let notices = explorer.take_notices();
            // gdb may be gone.
            let _ = events.send(Event::Halted(Box::new(Halted { halt, notices })));
        })
    }
}

/// A halt in gdb's words, and what to add in ours.
fn explain(halt: &Result<Halt, ExploreError>, wanted: &Wanted) -> (StopReason, Option<String>) {
    let signal = |signal| StopReason::SignalWithThread { tid: FIRST_CPU, signal };
    let log = |pos| StopReason::ReplayLog { tid: Some(FIRST_CPU), pos };
    match halt {
        Ok(Halt::Reached | Halt::Returned | Halt::Hit(Hit::Event { .. })) => (signal(Signal::SIGTRAP), None),
        Ok(Halt::Hit(Hit::Breakpoint { addr })) if wanted.is_software(*addr) => {
            (StopReason::SwBreak(FIRST_CPU), None)
        }
        Ok(Halt::Hit(Hit::Breakpoint { .. })) => (StopReason::HwBreak(FIRST_CPU), None),
        Ok(Halt::Hit(Hit::Watch { watch, .. })) => match wanted.watch(*watch) {
            Some((kind, addr)) => (StopReason::Watch { tid: FIRST_CPU, kind, addr }, None),
            None => (signal(Signal::SIGTRAP), None),
        },
        Ok(Halt::Start) => (log(ReplayLogPosition::Begin), None),
        Ok(Halt::Ended(reason)) => (log(ReplayLogPosition::End), Some(format!("{reason}; this is the end"))),
        Ok(Halt::Cut(cut)) => (log(ReplayLogPosition::End), Some(cut.to_string())),
        Ok(Halt::Interrupted) => (signal(Signal::SIGINT), None),
        Err(error) => (signal(Signal::SIGABRT), Some(format!("cannot go on: {}", chain(error)))),
    }
}

/// The error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
