//! A client of the server's, over a real connection.

use super::*;
use crate::host::inputs::{InputReceiver, inputs};
use rrvmm_devices::vga::Frame;
use rrvmm_devices::{Button, Input, Key, Pointer};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A server whose machine draws `frame` when asked.
fn serve(password: Option<&str>, frame: Frame) -> (SocketAddr, Arc<Screen>, InputReceiver) {
    let spec = VncSpec { address: "127.0.0.1:0".parse().unwrap(), password: password.map(str::to_owned) };
    let (sender, receiver) = inputs(true).unwrap();
    let server = VncServer::listen(&spec).unwrap();
    server.seat(sender);
    let (address, screen) = (server.address(), server.screen());
    let drawn = Arc::clone(&screen);
    // Until the process ends.
    thread::spawn(move || {
        loop {
            drawn.serve(|| (frame.clone(), 4));
            thread::sleep(Duration::from_millis(1));
        }
    });
    (address, screen, receiver)
}

struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Connects without a password; gives the size of the screen.
    fn begin(address: SocketAddr) -> (Self, u16, u16) {
        let mut client = Self::connect(address);
        assert_eq!(&client.bytes::<12>(), b"RFB 003.008\n");
        client.send(b"RFB 003.008\n");
        assert_eq!(client.bytes::<2>(), [1, 1]);
        client.send(&[1]);
        assert_eq!(client.bytes::<4>(), [0; 4]);
        client.send(&[1]);
        let [w1, w0, h1, h0] = client.bytes();
        client.bytes::<16>();
        let name = u32::from_be_bytes(client.bytes());
        assert_eq!((name, &client.bytes::<5>()), (5, b"rrvmm"));
        (client, u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]))
    }
}

fn picture() -> Frame {
    let mut frame = Frame::black(80, 2);
    frame.rgb[3..6].copy_from_slice(&[1, 2, 3]);
    frame
}

fn taken(receiver: &mut InputReceiver, count: usize) -> Vec<Input> {
    let start = Instant::now();
    let mut inputs = Vec::new();
    while inputs.len() < count && start.elapsed() < Duration::from_secs(20) {
        inputs.extend(receiver.take());
        thread::sleep(Duration::from_millis(2));
    }
    inputs
}

#[test]
fn a_client_sees_the_screen() {
    let (address, _screen, _inputs) = serve(None, picture());
    let (mut client, width, height) = Client::begin(address);
    assert_eq!((width, height), (80, 2));
    client.send(&[3, 0, 0, 0, 0, 0, 0, 80, 0, 2]);
    assert_eq!(client.bytes::<16>(), [0, 0, 0, 1, 0, 0, 0, 0, 0, 80, 0, 2, 0, 0, 0, 0]);
    let pixels: [u8; 640] = client.bytes();
    assert_eq!(pixels[..12], [0, 0, 0, 0, 3, 2, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_client_that_wants_them_is_told_of_the_keyboard_s_lights() {
    let (address, _screen, _inputs) = serve(None, picture());
    let (mut client, ..) = Client::begin(address);
    client.send(&[2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xfe, 0xfb]);
    client.send(&[3, 0, 0, 0, 0, 0, 0, 80, 0, 2]);
    assert_eq!(client.bytes::<4>(), [0, 0, 0, 2]);
    assert_eq!(client.bytes::<13>(), [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xfe, 0xfb, 4]);
    assert_eq!(client.bytes::<12>(), [0, 0, 0, 0, 0, 80, 0, 2, 0, 0, 0, 0]);
    client.bytes::<640>();
    // Once is enough.
    client.send(&[3, 0, 0, 0, 0, 0, 0, 80, 0, 2]);
    assert_eq!(client.bytes::<4>(), [0, 0, 0, 1]);
}

#[test]
fn what_a_client_does_arrives_and_is_undone_when_it_goes() {
    let (address, _screen, mut receiver) = serve(None, picture());
    let (mut client, ..) = Client::begin(address);
    client.send(&[4, 1, 0, 0, 0, 0, 0, b'Q', 5, 9, 0, 40, 0, 1]);
    let key = |key, down| Input::Key { key, down };
    let pointer = Input::Pointer;
    let expected = [
        key(Key::ShiftLeft, true),
        key(Key::Q, true),
        key(Key::ShiftLeft, false),
        pointer(Pointer::Place { x: 16588, y: 24576 }),
        pointer(Pointer::Button { button: Button::Left, down: true }),
        pointer(Pointer::Wheel { notches: 1 }),
    ];
    assert_eq!(taken(&mut receiver, 6), expected);
    drop(client);
    let undone = [key(Key::Q, false), pointer(Pointer::Button { button: Button::Left, down: false })];
    assert_eq!(taken(&mut receiver, 2), undone);
}

#[test]
fn a_password_keeps_others_out() {
    let (address, _screen, _inputs) = serve(Some("secret"), picture());
    for (password, result) in [("secret", 0), ("wrong", 1)] {
        let mut client = Client::connect(address);
        client.bytes::<12>();
        client.send(b"RFB 003.008\n");
        assert_eq!(client.bytes::<2>(), [1, 2]);
        client.send(&[2]);
        let challenge = client.bytes();
        client.send(&super::auth::answer(password, challenge));
        assert_eq!(u32::from_be_bytes(client.bytes()), result, "{password}");
    }
    // Nor can one choose to be asked for none.
    let mut client = Client::connect(address);
    client.bytes::<12>();
    client.send(b"RFB 003.008\n");
    client.bytes::<2>();
    client.send(&[1]);
    assert_eq!(u32::from_be_bytes(client.bytes()), 1);
}

#[test]
fn garbage_and_silence_disturb_nobody() {
    let (address, _screen, mut receiver) = serve(None, picture());
    let silent: Vec<Client> = (0..3).map(|_| Client::connect(address)).collect();
    for garbage in
        [&[0; 4096][..], &[0xff; 4096], b"GET / HTTP/1.0\r\n\r\n", b"RFB 003.008\nxxxxxxxxxxxxxxxx"]
    {
        let mut client = Client::connect(address);
        // It may hang up in the middle of that.
        let _ = client.0.write_all(garbage);
    }
    // One that asks and never reads.
    let (mut deaf, ..) = Client::begin(address);
    for _ in 0..2000 {
        deaf.send(&[3, 0, 0, 0, 0, 0, 0, 80, 0, 2]);
    }
    // After its name, one that sends nonsense.
    let (mut wild, ..) = Client::begin(address);
    let _ = wild.0.write_all(&[0x99; 1000]);
    let (mut client, ..) = Client::begin(address);
    client.send(&[4, 1, 0, 0, 0, 0, 0xff, 0x1b]);
    assert_eq!(taken(&mut receiver, 1), [Input::Key { key: Key::Escape, down: true }]);
    drop(silent);
}
