//! One client.

use super::Inputs;
use super::encode::{self, DESKTOP_SIZE, LED_STATE, RAW, Rect, ZRLE, Zrle};
use super::keysym;
use super::pixels::PixelFormat;
use super::protocol::{Message, initialise, shake_hands};
use super::screen::{News, Screen};
use crate::host::inputs::SessionOver;
use rrvmm_devices::vga::Frame;
use rrvmm_devices::{Button, Input, Key, Pointer};
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a client may take to say who it is, and to take what it is sent.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a client without news is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long a client that wants the whole screen waits for a machine that is busy, before it gets what there was.
const FRESH: Duration = Duration::from_millis(500);
/// The pointer's places, in either direction.
const PLACES: u32 = 0x8000;

/// What a client wants, as its reading thread knows it and its sending thread needs it.
struct Wishes {
    format: PixelFormat,
    zrle: bool,
    resizes: bool,
    leds: bool,
    /// The part of the screen that it asked for, and whether what it has of it counts.
    update: Option<(Rect, bool)>,
    gone: bool,
}

struct Shared {
    wishes: Mutex<Wishes>,
    changed: Condvar,
    /// Size of the screen as the client knows it.
    size: Mutex<(u32, u32)>,
}

impl Shared {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn size(&self) -> MutexGuard<'_, (u32, u32)> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self) {
        self.wishes().gone = true;
        self.changed.notify_all();
    }
}

/// Serves a client until it goes.
pub(super) fn serve(
    mut stream: TcpStream,
    screen: &Arc<Screen>,
    inputs: Inputs,
    password: Option<&str>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    shake_hands(&mut stream, password)?;
    let first = first_frame(screen)?;
    initialise(&mut stream, first.width, first.height)?;
    stream.set_read_timeout(None)?;
    let wishes = Wishes {
        format: PixelFormat::OURS,
        zrle: false,
        resizes: false,
        leds: false,
        update: None,
        gone: false,
    };
    let shared = Arc::new(Shared {
        wishes: Mutex::new(wishes),
        changed: Condvar::new(),
        size: Mutex::new((first.width, first.height)),
    });
    let sender = {
        let (stream, shared, screen) = (stream.try_clone()?, Arc::clone(&shared), Arc::clone(screen));
        thread::spawn(move || {
            let _: io::Result<()> = send(&stream, &shared, &screen);
            // Whoever reads from it then stops too.
            let _ = stream.shutdown(Shutdown::Both);
        })
    };
    let mut hands = Hands::new(inputs);
    let heard = hear(&stream, &shared, &mut hands);
    hands.let_go();
    shared.leave();
    let _ = stream.shutdown(Shutdown::Both);
    let _ = sender.join();
    heard
}

fn first_frame(screen: &Screen) -> io::Result<Arc<Frame>> {
    // A machine that is busy elsewhere will draw later.
    screen.after(0, PATIENCE).map(|news| news.frame).ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// Reads what the client sends until it goes.
fn hear(stream: &TcpStream, shared: &Shared, hands: &mut Hands) -> io::Result<()> {
    let mut from = BufReader::new(stream);
    loop {
        match Message::read(&mut from)? {
            Message::Format(format) => shared.wishes().format = format,
            Message::Encodings(encodings) => {
                let mut wishes = shared.wishes();
                wishes.zrle = encodings.contains(&ZRLE);
                wishes.resizes = encodings.contains(&DESKTOP_SIZE);
                wishes.leds = encodings.contains(&LED_STATE);
            }
            Message::Update { incremental, x, y, width, height } => {
                let [x, y, width, height] = [x, y, width, height].map(u32::from);
                let mut wishes = shared.wishes();
                let whole = !incremental || wishes.update.is_some_and(|(_, has)| !has);
                wishes.update = Some((Rect { x, y, width, height }, !whole));
                shared.changed.notify_all();
            }
            Message::Key { down, keysym } => hands.key(down, keysym),
            Message::Pointer { buttons, x, y } => {
                let size = *shared.size();
                hands.point(buttons, (x.into(), y.into()), size);
            }
            Message::Other => {}
        }
        if hands.is_over {
            return Ok(());
        }
    }
}

/// Sends pictures as they are asked for, until the client goes or takes none.
fn send(mut stream: &TcpStream, shared: &Shared, screen: &Screen) -> io::Result<()> {
    let mut zrle = Zrle::new();
    let mut sent: Option<Arc<Frame>> = None;
    let mut lights = None;
    let mut seen = 0;
    loop {
        let mut wishes = shared.wishes();
        while wishes.update.is_none() && !wishes.gone {
            wishes = shared.changed.wait(wishes).unwrap_or_else(PoisonError::into_inner);
        }
        if wishes.gone {
            return Ok(());
        }
        let whole = wishes.update.is_some_and(|(_, has)| !has);
        drop(wishes);
        // A whole picture is of now, others wait for something new.
        let news = if whole { screen.fresh(FRESH) } else { screen.after(seen, LOOK) };
        let Some(News { number, frame, leds }) = news else { continue };
        seen = number;
        let mut wishes = shared.wishes();
        let Some((area, has)) = wishes.update else { continue };
        let (format, with_zrle, resizes) = (wishes.format, wishes.zrle, wishes.resizes);
        let tells = wishes.leds && lights != Some(leds);
        let size = *shared.size();
        let mut update = Update { bytes: Vec::new(), count: 0 };
        let frame = if (frame.width, frame.height) == size {
            frame
        } else if resizes {
            let whole = Rect::whole(&frame);
            update.bytes.extend(whole.head(DESKTOP_SIZE));
            update.count += 1;
            *shared.size() = (frame.width, frame.height);
            sent = None;
            frame
        } else {
            Arc::new(cropped(&frame, size))
        };
        let bounds = Rect::whole(&frame);
        let resized = update.count > 0;
        if tells {
            update.bytes.extend(Rect { x: 0, y: 0, width: 0, height: 0 }.head(LED_STATE));
            update.bytes.push(leds);
            update.count += 1;
            lights = Some(leds);
        }
        let area = if resized { Some(bounds) } else { area.overlap(bounds) };
        let old = sent.as_ref().filter(|old| has && (old.width, old.height) == (frame.width, frame.height));
        let rects = match (area, old) {
            (None, _) => Vec::new(),
            (Some(area), Some(old)) => encode::changes(old, &frame, area),
            (Some(area), None) => vec![area],
        };
        if rects.is_empty() && update.count == 0 && area.is_some() {
            continue;
        }
        wishes.update = None;
        drop(wishes);
        for rect in rects {
            if with_zrle {
                update.bytes.extend(rect.head(ZRLE));
                zrle.put(&frame, rect, format, &mut update.bytes)?;
            } else {
                update.bytes.extend(rect.head(RAW));
                encode::raw(&frame, rect, format, &mut update.bytes);
            }
            update.count += 1;
        }
        let [high, low] = update.count.to_be_bytes();
        stream.write_all(&[0, 0, high, low])?;
        stream.write_all(&update.bytes)?;
        // What a client has of other parts is not known.
        sent = (area == Some(bounds)).then_some(frame);
    }
}

/// Rectangles on their way.
struct Update {
    bytes: Vec<u8>,
    count: u16,
}

/// As much of `frame` as a screen of another size shows.
fn cropped(frame: &Frame, (width, height): (u32, u32)) -> Frame {
    let mut shown = Frame::black(width, height);
    let length = width.min(frame.width) as usize * 3;
    for y in 0..height.min(frame.height) as usize {
        let (to, from) = (y * width as usize * 3, y * frame.width as usize * 3);
        shown.rgb[to..to + length].copy_from_slice(&frame.rgb[from..from + length]);
    }
    shown
}

/// What a client holds down.
struct Hands {
    inputs: Inputs,
    keys: Vec<Key>,
    buttons: u8,
    place: Option<(u16, u16)>,
    is_over: bool,
}

impl Hands {
    fn new(inputs: Inputs) -> Self {
        Self { inputs, keys: Vec::new(), buttons: 0, place: None, is_over: false }
    }

    /// Gives an input to the session. One that is replayed takes none.
    fn give(&mut self, input: Input) {
        let inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(Err(SessionOver)) = inputs.map(|inputs| inputs.send(input)) {
            self.is_over = true;
        }
    }

    fn key(&mut self, down: bool, keysym: u32) {
        let Some((key, shift)) = keysym::key(keysym) else { return };
        let is_shifted = self.keys.iter().any(|key| matches!(key, Key::ShiftLeft | Key::ShiftRight));
        // A client that types capitals without saying that Shift is down means Shift to be down.
        let lends_shift = down && shift == Some(true) && !is_shifted;
        if lends_shift {
            self.give(Input::Key { key: Key::ShiftLeft, down: true });
        }
        self.give(Input::Key { key, down });
        if lends_shift {
            self.give(Input::Key { key: Key::ShiftLeft, down: false });
        }
        self.keys.retain(|held| *held != key);
        if down {
            self.keys.push(key);
        }
    }

    fn point(&mut self, buttons: u8, (x, y): (u32, u32), (width, height): (u32, u32)) {
        // The middle of the pixel, so that it is found again whichever way it is rounded.
        let place = |at: u32, size: u32| ((at.min(size - 1) * 2 + 1) * PLACES / (size * 2)) as u16;
        let place = (place(x, width.max(1)), place(y, height.max(1)));
        if self.place.replace(place) != Some(place) {
            self.give(Input::Pointer(Pointer::Place { x: place.0, y: place.1 }));
        }
        let changed = buttons ^ std::mem::replace(&mut self.buttons, buttons);
        for (bit, button) in [(0, Button::Left), (1, Button::Middle), (2, Button::Right)] {
            if changed >> bit & 1 != 0 {
                self.give(Input::Pointer(Pointer::Button { button, down: buttons >> bit & 1 != 0 }));
            }
        }
        for (bit, notches) in [(3, 1), (4, -1)] {
            if (changed & buttons) >> bit & 1 != 0 {
                self.give(Input::Pointer(Pointer::Wheel { notches }));
            }
        }
    }

    /// Releases everything, as the client has gone.
    fn let_go(&mut self) {
        for key in std::mem::take(&mut self.keys) {
            self.give(Input::Key { key, down: false });
        }
        let buttons = std::mem::take(&mut self.buttons);
        for (bit, button) in [(0, Button::Left), (1, Button::Middle), (2, Button::Right)] {
            if buttons >> bit & 1 != 0 {
                self.give(Input::Pointer(Pointer::Button { button, down: false }));
            }
        }
    }
}
