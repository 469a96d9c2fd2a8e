//! A connection to gdb, whichever way it came.

use std::io::{self, BufWriter, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

/// One connection; clones are the same one.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
        })
    }

    /// Ends it for both sides, and wakes whoever reads from a clone.
    pub(super) fn close(&self) {
        // It may be closed already.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The writing side, which sends a packet in one piece.
pub(super) struct Packets(BufWriter<Stream>);

impl Packets {
    pub(super) fn new(stream: Stream) -> Self {
        Self(BufWriter::with_capacity(1 << 15, stream))
    }

    /// Prints `text` in gdb, which must be waiting for the machine to stop.
    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        let mut body = String::from("O");
        for byte in text.bytes() {
            body.push_str(&format!("{byte:02x}"));
        }
        let sum = body.bytes().fold(0u8, u8::wrapping_add);
        write!(self.0, "${body}#{sum:02x}")?;
        self.0.flush()
    }
}

impl gdbstub::conn::Connection for Packets {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        self.0.write_all(&[byte])
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn on_session_start(&mut self) -> io::Result<()> {
        match self.0.get_ref() {
            // Small packets go to and fro.
            Stream::Tcp(stream) => stream.set_nodelay(true),
            Stream::Unix(_) => Ok(()),
        }
    }
}
