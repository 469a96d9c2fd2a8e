//! Keys, buttons and pointer as QEMU's monitor and QMP name them (QMP's `QKeyCode`, `InputEvent`).

use std::thread;
use std::time::Duration;

use rrvmm_devices::{Button, Input, Key, Pointer};
use serde_json::Value;

use super::subject::{Refused, Subject};

/// How long keys are held unless said otherwise, as in QEMU.
const HOLD: u64 = 100;
/// The longest that keys are held.
const LONGEST_HOLD: u64 = 10_000;
/// The pointer's places, in either direction.
const PLACES: i64 = 0x8000;

/// Presses keys together and releases them after `hold` milliseconds.
pub(super) fn send(subject: &dyn Subject, keys: &[Key], hold: Option<u64>) -> Result<(), Refused> {
    for key in keys {
        subject.input(Input::Key { key: *key, down: true })?;
    }
    thread::sleep(Duration::from_millis(hold.unwrap_or(HOLD).min(LONGEST_HOLD)));
    for key in keys.iter().rev() {
        subject.input(Input::Key { key: *key, down: false })?;
    }
    Ok(())
}

/// The keys of `ctrl-alt-f1` and the like.
pub(super) fn combination(text: &str) -> Result<Vec<Key>, Refused> {
    // A lone minus is not what separates.
    let names = if text == "-" { vec!["minus"] } else { text.split('-').collect() };
    names.into_iter().map(named).collect()
}

/// The key of that name.
pub(super) fn named(name: &str) -> Result<Key, Refused> {
    let mut characters = name.chars();
    let single = match (characters.next(), characters.next()) {
        (Some(c), None) if c.is_ascii_graphic() => {
            Key::for_char(c).and_then(|(key, shift)| (!shift).then_some(key))
        }
        _ => None,
    };
    let by_name = || NAMES.iter().find(|(known, _)| *known == name).map(|(_, key)| *key);
    single.or_else(by_name).ok_or_else(|| {
        Refused(format!(
            "{name:?} is no key; keys are named as in QEMU: a, 1, ret, spc, shift, ctrl, alt, f1, left…"
        ))
    })
}

/// A relative motion, in pixels and notches of the wheel.
pub(super) fn moved(subject: &dyn Subject, dx: i64, dy: i64, wheel: i64) -> Result<(), Refused> {
    let short = |value: i64| value.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16;
    if (dx, dy) != (0, 0) {
        subject.input(Input::Pointer(Pointer::Move { dx: short(dx), dy: short(dy) }))?;
    }
    if wheel != 0 {
        let notches = wheel.clamp(-127, 127) as i8;
        subject.input(Input::Pointer(Pointer::Wheel { notches }))?;
    }
    Ok(())
}

/// The buttons that are down: left 1, middle 2, right 4.
pub(super) fn buttons(subject: &dyn Subject, down: u64) -> Result<(), Refused> {
    for (bit, button) in [(0, Button::Left), (1, Button::Middle), (2, Button::Right)] {
        subject.input(Input::Pointer(Pointer::Button { button, down: down >> bit & 1 != 0 }))?;
    }
    Ok(())
}

/// A key as QMP's `KeyValue` has it.
pub(super) fn key_value(value: &Value) -> Result<Key, Refused> {
    match (value["type"].as_str(), value["data"].as_str()) {
        (Some("qcode"), Some(name)) => named(name),
        _ => Err(Refused("a key is written {\"type\": \"qcode\", \"data\": NAME}".to_owned())),
    }
}

/// What QMP's `input-send-event` lists. An absolute motion takes both axes, in either order.
pub(super) fn events(list: &Value) -> Result<Vec<Input>, Refused> {
    let list = list.as_array().ok_or_else(|| Refused("argument 'events' must be a list".to_owned()))?;
    let (mut inputs, mut place) = (Vec::new(), (None, None));
    for event in list {
        let data = &event["data"];
        let down =
            || data["down"].as_bool().ok_or_else(|| Refused("'down' must be true or false".to_owned()));
        let number = || data["value"].as_i64().ok_or_else(|| Refused("'value' must be a number".to_owned()));
        match (event["type"].as_str(), data["axis"].as_str(), data["button"].as_str()) {
            (Some("key"), ..) => inputs.push(Input::Key { key: key_value(&data["key"])?, down: down()? }),
            (Some("btn"), _, Some(name)) => inputs.extend(button(name, down()?)?),
            (Some("rel"), Some(axis), _) => {
                let by = number()?.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16;
                let (dx, dy) = if axis == "x" { (by, 0) } else { (0, by) };
                inputs.push(Input::Pointer(Pointer::Move { dx, dy }));
            }
            (Some("abs"), Some(axis), _) => {
                let at = Some(number()?.clamp(0, PLACES - 1) as u16);
                place = if axis == "x" { (at, place.1) } else { (place.0, at) };
                if let (Some(x), Some(y)) = place {
                    inputs.push(Input::Pointer(Pointer::Place { x, y }));
                    place = (None, None);
                }
            }
            _ => return Err(Refused("an event is of type key, btn, rel or abs, with its data".to_owned())),
        }
    }
    if place != (None, None) {
        return Err(Refused("an absolute motion needs both axes".to_owned()));
    }
    Ok(inputs)
}

fn button(name: &str, down: bool) -> Result<Option<Input>, Refused> {
    let pointer = match name {
        "left" => Pointer::Button { button: Button::Left, down },
        "middle" => Pointer::Button { button: Button::Middle, down },
        "right" => Pointer::Button { button: Button::Right, down },
        // A wheel has no way up.
        "wheel-up" | "wheel-down" if !down => return Ok(None),
        "wheel-up" => Pointer::Wheel { notches: 1 },
        "wheel-down" => Pointer::Wheel { notches: -1 },
        _ => {
            return Err(Refused(format!("{name:?} is no button: left, middle, right, wheel-up, wheel-down")));
        }
    };
    Ok(Some(Input::Pointer(pointer)))
}

#[rustfmt::skip]
const NAMES: &[(&str, Key)] = &[
    ("ret", Key::Enter), ("esc", Key::Escape), ("spc", Key::Space), ("tab", Key::Tab), ("backspace", Key::Backspace),
    ("minus", Key::Minus), ("equal", Key::Equal), ("bracket_left", Key::BracketLeft),
    ("bracket_right", Key::BracketRight), ("backslash", Key::Backslash), ("semicolon", Key::Semicolon),
    ("apostrophe", Key::Quote), ("grave_accent", Key::Backquote), ("comma", Key::Comma), ("dot", Key::Period),
    ("slash", Key::Slash), ("less", Key::IntlBackslash),
    ("shift", Key::ShiftLeft), ("shift_r", Key::ShiftRight), ("ctrl", Key::ControlLeft), ("ctrl_r", Key::ControlRight),
    ("alt", Key::AltLeft), ("alt_r", Key::AltRight), ("meta_l", Key::MetaLeft), ("meta_r", Key::MetaRight),
    ("menu", Key::ContextMenu), ("compose", Key::ContextMenu), ("caps_lock", Key::CapsLock),
    ("f1", Key::F1), ("f2", Key::F2), ("f3", Key::F3), ("f4", Key::F4), ("f5", Key::F5), ("f6", Key::F6),
    ("f7", Key::F7), ("f8", Key::F8), ("f9", Key::F9), ("f10", Key::F10), ("f11", Key::F11), ("f12", Key::F12),
    ("print", Key::PrintScreen), ("sysrq", Key::PrintScreen), ("scroll_lock", Key::ScrollLock), ("pause", Key::Pause),
    ("insert", Key::Insert), ("home", Key::Home), ("pgup", Key::PageUp), ("delete", Key::Delete), ("end", Key::End),
    ("pgdn", Key::PageDown), ("up", Key::ArrowUp), ("left", Key::ArrowLeft), ("down", Key::ArrowDown),
    ("right", Key::ArrowRight), ("num_lock", Key::NumLock), ("kp_divide", Key::NumpadDivide),
    ("kp_multiply", Key::NumpadMultiply), ("asterisk", Key::NumpadMultiply), ("kp_subtract", Key::NumpadSubtract),
    ("kp_add", Key::NumpadAdd), ("kp_enter", Key::NumpadEnter), ("kp_decimal", Key::NumpadDecimal),
    ("kp_0", Key::Numpad0), ("kp_1", Key::Numpad1), ("kp_2", Key::Numpad2), ("kp_3", Key::Numpad3),
    ("kp_4", Key::Numpad4), ("kp_5", Key::Numpad5), ("kp_6", Key::Numpad6), ("kp_7", Key::Numpad7),
    ("kp_8", Key::Numpad8), ("kp_9", Key::Numpad9),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_have_qemus_names() {
        assert_eq!(combination("ctrl-alt-f1").unwrap(), [Key::ControlLeft, Key::AltLeft, Key::F1]);
        assert_eq!(combination("a").unwrap(), [Key::A]);
        assert_eq!(combination("-").unwrap(), [Key::Minus]);
        for wrong in ["", "A", "ctrl-", "f13", "é"] {
            assert!(combination(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn qmps_events_are_read() {
        let list = json!([
            {"type": "key", "data": {"down": true, "key": {"type": "qcode", "data": "a"}}},
            {"type": "abs", "data": {"axis": "y", "value": 40000}},
            {"type": "abs", "data": {"axis": "x", "value": 5}},
            {"type": "btn", "data": {"down": true, "button": "wheel-down"}},
            {"type": "rel", "data": {"axis": "x", "value": -3}},
        ]);
        let pointer = Input::Pointer;
        assert_eq!(
            events(&list).unwrap(),
            [
                Input::Key { key: Key::A, down: true },
                pointer(Pointer::Place { x: 5, y: 32767 }),
                pointer(Pointer::Wheel { notches: -1 }),
                pointer(Pointer::Move { dx: -3, dy: 0 }),
            ]
        );
        for wrong in [
            json!(7),
            json!([7]),
            json!([{"type": "key", "data": {"down": true, "key": {"type": "number", "data": 4}}}]),
            json!([{"type": "btn", "data": {"down": true, "button": "x"}}]),
            json!([{"type": "abs", "data": {"axis": "x", "value": 1}}]),
        ] {
            assert!(events(&wrong).is_err(), "{wrong}");
        }
    }
}
