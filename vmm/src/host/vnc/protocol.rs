//! What a client sends (RFC 6143, 7.1 to 7.5), read with limits.

use super::auth;
use super::pixels::PixelFormat;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

/// Most bytes of a clipboard text, which are read and dropped.
const CUT_TEXT: u32 = 1 << 20;
/// How long whoever does not know the password waits for the answer.
const PENALTY: Duration = Duration::from_millis(500);

const NONE: u8 = 1;
const VNC_AUTHENTICATION: u8 = 2;

/// A message of a client.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    Format(PixelFormat),
    Encodings(Vec<i32>),
    Update {
        incremental: bool,
        x: u16,
        y: u16,
        width: u16,
        height: u16,
    },
    Key {
        down: bool,
        keysym: u32,
    },
    Pointer {
        buttons: u8,
        x: u16,
        y: u16,
    },
    /// The clipboard, or something else that is of no use here.
    Other,
}

fn bytes<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Agrees on version and security; an error is the end of the connection.
pub(super) fn shake_hands(stream: &mut TcpStream, password: Option<&str>) -> io::Result<()> {
    stream.write_all(b"RFB 003.008\n")?;
    let version: [u8; 12] = bytes(stream)?;
    // Whatever else a client claims to be, it is taken for the oldest, as the specification wants it.
    let minor = match &version {
        b"RFB 003.008\n" => 8,
        b"RFB 003.007\n" => 7,
        version if version.starts_with(b"RFB 003.") => 3,
        _ => return Err(invalid("not an RFB client")),
    };
    let security = if password.is_some() { VNC_AUTHENTICATION } else { NONE };
    if minor == 3 {
        stream.write_all(&u32::from(security).to_be_bytes())?;
    } else {
        stream.write_all(&[1, security])?;
        let [chosen] = bytes(stream)?;
        if chosen != security {
            return refuse(stream, minor, "this security type was not offered");
        }
    }
    if let Some(password) = password {
        let challenge = auth::challenge()?;
        stream.write_all(&challenge)?;
        let answer: [u8; auth::CHALLENGE] = bytes(stream)?;
        if answer != auth::answer(password, challenge) {
            thread::sleep(PENALTY);
            return refuse(stream, minor, "wrong password");
        }
    }
    if password.is_some() || minor == 8 {
        stream.write_all(&0u32.to_be_bytes())?;
    }
    Ok(())
}

fn refuse(stream: &mut TcpStream, minor: u8, reason: &'static str) -> io::Result<()> {
    stream.write_all(&1u32.to_be_bytes())?;
    if minor == 8 {
        stream.write_all(&(reason.len() as u32).to_be_bytes())?;
        stream.write_all(reason.as_bytes())?;
    }
    Err(invalid(reason))
}

/// Tells the client how large the screen is.
pub(super) fn initialise(stream: &mut TcpStream, width: u32, height: u32) -> io::Result<()> {
    const NAME: &[u8] = b"rrvmm";
    // Whether it wants to be alone is of no interest: it cannot be.
    let [_shared] = bytes(stream)?;
    let mut message = Vec::new();
    message.extend((width as u16).to_be_bytes());
    message.extend((height as u16).to_be_bytes());
    message.extend(PixelFormat::OURS.write());
    message.extend((NAME.len() as u32).to_be_bytes());
    message.extend(NAME);
    stream.write_all(&message)
}

impl Message {
    /// Reads the next message.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let [kind] = bytes(from)?;
        Ok(match kind {
            0 => {
                let message: [u8; 19] = bytes(from)?;
                let (_, format) = message.split_last_chunk().ok_or_else(|| invalid("too short"))?;
                Message::Format(PixelFormat::read(format)?)
            }
            2 => {
                let [_, high, low] = bytes(from)?;
                let count = u16::from_be_bytes([high, low]);
                let one = |_| Ok(i32::from_be_bytes(bytes(from)?));
                Message::Encodings((0..count).map(one).collect::<io::Result<_>>()?)
            }
            3 => {
                let [incremental, x1, x0, y1, y0, w1, w0, h1, h0] = bytes(from)?;
                Message::Update {
                    incremental: incremental != 0,
                    x: u16::from_be_bytes([x1, x0]),
                    y: u16::from_be_bytes([y1, y0]),
                    width: u16::from_be_bytes([w1, w0]),
                    height: u16::from_be_bytes([h1, h0]),
                }
            }
            4 => {
                let [down, _, _, a, b, c, d] = bytes(from)?;
                Message::Key { down: down != 0, keysym: u32::from_be_bytes([a, b, c, d]) }
            }
            5 => {
                let [buttons, x1, x0, y1, y0] = bytes(from)?;
                Message::Pointer { buttons, x: u16::from_be_bytes([x1, x0]), y: u16::from_be_bytes([y1, y0]) }
            }
            6 => {
                let [_, _, _, a, b, c, d] = bytes(from)?;
                let length = u32::from_be_bytes([a, b, c, d]);
                if length > CUT_TEXT {
                    return Err(invalid("too much text"));
                }
                let skipped = io::copy(&mut from.take(length.into()), &mut io::sink())?;
                if skipped < length.into() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Message::Other
            }
            _ => return Err(invalid("no message of a client")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read() {
        let mut from: &[u8] = &[
            2, 0, 0, 2, 0, 0, 0, 16, 0xff, 0xff, 0xff, 0x21, 3, 1, 0, 1, 0, 2, 3, 0, 4, 0, 4, 1, 0, 0, 0, 0,
            0xff, 0x0d, 6, 0, 0, 0, 0, 0, 0, 2, b'x', b'y', 5, 5, 0, 7, 1, 0,
        ];
        let expected = [
            Message::Encodings(vec![16, -223]),
            Message::Update { incremental: true, x: 1, y: 2, width: 768, height: 1024 },
            Message::Key { down: true, keysym: 0xff0d },
            Message::Other,
            Message::Pointer { buttons: 5, x: 7, y: 256 },
        ];
        for message in expected {
            assert_eq!(Message::read(&mut from).unwrap(), message);
        }
        assert!(Message::read(&mut from).is_err());
    }

    #[test]
    fn garbage_is_an_error() {
        for from in [
            &[7][..],
            &[0xff; 100],
            &[6, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            &[6, 0, 0, 0, 0, 0, 0, 9, 1],
            &[0; 20],
        ] {
            assert!(Message::read(&mut &*from).is_err(), "{from:?}");
        }
    }
}
