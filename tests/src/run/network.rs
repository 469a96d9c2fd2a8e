//! A network for `--net unix=PATH` on which everybody answers pings.

use anyhow::Result;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

/// The host's end of a network, until it is dropped. It takes one machine.
#[derive(Debug)]
pub struct AnsweringNetwork {
    path: PathBuf,
    answering: Option<JoinHandle<()>>,
}

impl AnsweringNetwork {
    /// Listens at `path`, where nothing is yet.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn new(path: &Path) -> Result<Self> {
        let listener = UnixListener::bind(path)?;
        let answering = thread::spawn(move || {
            if let Ok((socket, _)) = listener.accept() {
                answer_pings(socket);
            }
        });
        Ok(Self { path: path.to_owned(), answering: Some(answering) })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AnsweringNetwork {
    fn drop(&mut self) {
        // It waits for nobody once the run has ended.
        drop(UnixStream::connect(&self.path));
        let ended = self.answering.take().map(JoinHandle::join);
        drop(fs::remove_file(&self.path));
        assert!(ended.is_none_or(|ended| ended.is_ok()) || thread::panicking(), "the network's end panicked");
    }
}

/// Swaps who a ping is from and to.
fn answer_pings(mut socket: UnixStream) {
    let mut length = [0; 4];
    while socket.read_exact(&mut length).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        if socket.read_exact(&mut frame).is_err() {
            return;
        }
        let is_request = frame.len() > 42 && frame[12..14] == [8, 0] && frame[23] == 1 && frame[34] == 8;
        if !is_request {
            continue;
        }
        for (a, b, n) in [(0, 6, 6), (26, 30, 4)] {
            let (front, back) = frame.split_at_mut(b);
            front[a..a + n].swap_with_slice(&mut back[..n]);
        }
        // An answer is type 0; the checksum grows by what the type lost.
        frame[34] = 0;
        let sum = u32::from(u16::from_be_bytes([frame[36], frame[37]])) + 0x800;
        let sum = (sum & 0xffff) + (sum >> 16);
        frame[36..38].copy_from_slice(&(sum as u16).to_be_bytes());
        if socket.write_all(&length).and_then(|()| socket.write_all(&frame)).is_err() {
            return;
        }
    }
}
