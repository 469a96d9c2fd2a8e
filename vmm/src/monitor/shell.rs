//! A client for the shell: one command for people, and its answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Most bytes of an answer: a listing of many million events.
const LONGEST_ANSWER: u64 = 1 << 30;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("cannot connect to the monitor socket {path}; is the session with --monitor {path} still there?")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// The session ended, or what listens there is something else.
    #[error("the connection to the monitor ended")]
    Connection(#[source] io::Error),
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// Gives the command `line` to the session whose monitor socket is at `path`, and its answer back.
///
/// # Errors
/// The session is not there, or refuses.
pub fn ask(path: &Path, line: &str) -> Result<String, AskError> {
    let connect = |source| AskError::Connect { path: path.to_owned(), source };
    let mut stream = UnixStream::connect(path).map_err(connect)?;
    let mut from = BufReader::new(stream.try_clone().map_err(connect)?.take(LONGEST_ANSWER));
    let greeting = read(&mut from)?;
    if greeting.get("QMP").is_none() {
        return Err(refusal(&greeting));
    }
    execute(&mut stream, &mut from, &json!({"execute": "qmp_capabilities"}))?;
    let command = json!({"execute": "human-monitor-command", "arguments": {"command-line": line}});
    let answer = execute(&mut stream, &mut from, &command)?;
    Ok(answer.as_str().unwrap_or_default().to_owned())
}

fn execute(to: &mut UnixStream, from: &mut impl BufRead, command: &Value) -> Result<Value, AskError> {
    to.write_all(format!("{command}\n").as_bytes()).map_err(AskError::Connection)?;
    loop {
        let mut answer = read(from)?;
        if let Some(value) = answer.get_mut("return") {
            return Ok(value.take());
        }
        // What is told without having been asked is passed over.
        if answer.get("event").is_none() {
            return Err(refusal(&answer));
        }
    }
}

fn read(from: &mut impl BufRead) -> Result<Value, AskError> {
    let mut line = String::new();
    match from.read_line(&mut line).map_err(AskError::Connection)? {
        0 => Err(AskError::Connection(io::ErrorKind::UnexpectedEof.into())),
        _ => serde_json::from_str(&line).map_err(|error| AskError::Connection(error.into())),
    }
}

fn refusal(answer: &Value) -> AskError {
    let desc = answer["error"]["desc"].as_str();
    AskError::Refused(desc.unwrap_or("what listens there is no monitor").to_owned())
}
