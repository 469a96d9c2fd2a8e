//! passt, which gives a guest the network of the user who runs it (<https://passt.top>).

use crate::host::HostError;
use std::fs::Permissions;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long it may take to be there.
const START: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(10);
/// Whom passt becomes when root starts it.
const NOBODY: u32 = 65534;

/// A running passt. It ends with its connection, and at the latest with this.
pub struct Passt {
    child: Child,
    /// Where its socket is.
    _directory: TempDir,
}

impl Passt {
    /// Starts passt, for a guest whose packets are of at most `mtu` bytes, and connects to it.
    pub fn start(mtu: Option<u16>) -> Result<(Self, UnixStream), HostError> {
        let directory =
            tempfile::Builder::new().prefix("rrvmm-net-").tempdir().map_err(HostError::Network)?;
        give_to_passt(directory.path()).map_err(HostError::Network)?;
        let socket = directory.path().join("passt");
        let child = Command::new("passt")
            .args(["--foreground", "--one-off", "--quiet", "--socket"])
            .arg(&socket)
            .args(mtu.map(|mtu| format!("--mtu={mtu}")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(HostError::NoPasst)?;
        let mut passt = Self { child, _directory: directory };
        let stream = passt.connect(&socket)?;
        Ok((passt, stream))
    }

    fn connect(&mut self, socket: &Path) -> Result<UnixStream, HostError> {
        let started = Instant::now();
        loop {
            let error = match UnixStream::connect(socket) {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            let ended = self.child.try_wait().map_err(HostError::NoPasst)?;
            if ended.is_some() || started.elapsed() > START {
                let _ = self.child.kill();
                return Err(HostError::PasstFailed { said: self.said(), source: error });
            }
            std::thread::sleep(RETRY);
        }
    }

    /// What it has said before it ended.
    fn said(&mut self) -> String {
        let mut said = String::new();
        if let Some(errors) = &mut self.child.stderr {
            // What cannot be read is not worth another error.
            let _ = errors.take(4096).read_to_string(&mut said);
        }
        said.trim().replace('\n', "; ")
    }
}

/// A frame without what fills it up to the shortest that Ethernet knows, as drivers of real cards do: passt of Debian 12 takes that for
/// data, and then does not believe a TCP acknowledgement.
pub(super) fn without_padding(frame: &[u8]) -> &[u8] {
    const HEADER: usize = 14;
    match frame {
        [_, _, _, _, _, _, _, _, _, _, _, _, 0x08, 0x00, _, _, high, low, ..] => {
            let end = HEADER + usize::from(u16::from_be_bytes([*high, *low]));
            frame.get(..end).unwrap_or(frame)
        }
        _ => frame,
    }
}

/// passt makes its socket as the user it becomes, so the directory has to be that user's.
fn give_to_passt(directory: &Path) -> io::Result<()> {
    std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(directory, Some(NOBODY), None)?;
    }
    Ok(())
}

impl Drop for Passt {
    fn drop(&mut self) {
        // If it has ended by itself, that was the aim.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::without_padding;

    #[test]
    fn only_padding_goes() {
        let mut frame = vec![0; 60];
        assert_eq!(without_padding(&frame).len(), 60, "not IP");
        frame[12..18].copy_from_slice(&[8, 0, 0x45, 0, 0, 40]);
        assert_eq!(without_padding(&frame).len(), 54);
        frame[16..18].copy_from_slice(&[1, 0]);
        assert_eq!(without_padding(&frame).len(), 60, "shorter than it says");
        assert_eq!(without_padding(&[0; 3]), [0; 3]);
    }
}
