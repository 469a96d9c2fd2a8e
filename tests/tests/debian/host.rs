//! The host's side of the network: a server on the loopback interface, and a passt that writes down what passes it.

use anyhow::{Context as _, Result};
use rrvmm_tests::run::Luck;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// Bytes that do not compress.
pub fn noise(length: usize) -> Vec<u8> {
    let mut luck = Luck::seeded(length as u64);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(luck.bits().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Serves `body` over HTTP on the loopback interface to whoever asks, for as long as this process is there. Gives the port.
pub fn serve(body: Vec<u8>) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let body = Arc::new(body);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let body = Arc::clone(&body);
            thread::spawn(move || answer(client, &body));
        }
    });
    Ok(port)
}

/// A client that has gone needs no answer.
fn answer(mut client: TcpStream, body: &[u8]) -> Option<()> {
    let request = BufReader::new(client.try_clone().ok()?);
    // Up to the empty line behind the request's header.
    for line in request.lines() {
        if line.ok()?.is_empty() {
            break;
        }
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    client.write_all(head.as_bytes()).ok()?;
    client.write_all(body).ok()
}

/// A directory for the front of `PATH` with a `passt` that captures frames to the file given back.
pub fn capturing_passt(directory: &Path) -> Result<(PathBuf, PathBuf)> {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|path| path.join("passt"))
        .find(|program| program.is_file())
        .context("there is no passt; scripts/install-test-packages installs it")?;
    let programs = directory.join("programs");
    // passt becomes nobody before it opens the file.
    let writable = directory.join("captured");
    for place in [&programs, &writable] {
        fs::create_dir(place)?;
    }
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    fs::set_permissions(&writable, Permissions::from_mode(0o777))?;
    let capture = writable.join("passt.pcap");
    let script = format!("#!/bin/sh\nexec {} --pcap {} \"$@\"\n", found.display(), capture.display());
    let wrapper = programs.join("passt");
    fs::write(&wrapper, script)?;
    fs::set_permissions(&wrapper, Permissions::from_mode(0o755))?;
    Ok((programs, capture))
}

/// Whether the host lets passt, as nobody, send pings.
pub fn may_ping() -> bool {
    const NOGROUP: u64 = 65534;
    let range = fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap_or_default();
    let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u64>().ok());
    matches!((ends.next(), ends.next()), (Some(first), Some(last)) if (first..=last).contains(&NOGROUP))
}
