//! Keys by the numbers that the X Window System gives to what they type (X11/keysymdef.h), as RFB has them.

use rrvmm_devices::Key;

/// The key for a keysym, and whether Shift is needed to type it on a US keyboard; `None` for keys this keyboard has not.
pub(super) fn key(keysym: u32) -> Option<(Key, Option<bool>)> {
    if let 0x20..=0x7e = keysym {
        let (key, shift) = Key::for_char(char::from(keysym as u8))?;
        // The space bar does not mind.
        return Some((key, (key != Key::Space).then_some(shift)));
    }
    let key = match keysym {
        0xff08 => Key::Backspace,
        0xff09 | 0xfe20 => Key::Tab,
        0xff0d => Key::Enter,
        0xff13 => Key::Pause,
        0xff14 => Key::ScrollLock,
        0xff15 | 0xff61 => Key::PrintScreen,
        0xff1b => Key::Escape,
        0xffff => Key::Delete,
        0xff50 => Key::Home,
        0xff51 => Key::ArrowLeft,
        0xff52 => Key::ArrowUp,
        0xff53 => Key::ArrowRight,
        0xff54 => Key::ArrowDown,
        0xff55 => Key::PageUp,
        0xff56 => Key::PageDown,
        0xff57 => Key::End,
        0xff63 => Key::Insert,
        0xff67 => Key::ContextMenu,
        0xff7f => Key::NumLock,
        0xff8d => Key::NumpadEnter,
        0xff95 | 0xffb7 => Key::Numpad7,
        0xff96 | 0xffb4 => Key::Numpad4,
        0xff97 | 0xffb8 => Key::Numpad8,
        0xff98 | 0xffb6 => Key::Numpad6,
        0xff99 | 0xffb2 => Key::Numpad2,
        0xff9a | 0xffb9 => Key::Numpad9,
        0xff9b | 0xffb3 => Key::Numpad3,
        0xff9c | 0xffb1 => Key::Numpad1,
        0xff9d | 0xffb5 => Key::Numpad5,
        0xff9e | 0xffb0 => Key::Numpad0,
        0xff9f | 0xffae => Key::NumpadDecimal,
        0xffaa => Key::NumpadMultiply,
        0xffab => Key::NumpadAdd,
        0xffad => Key::NumpadSubtract,
        0xffaf => Key::NumpadDivide,
        0xffbe..=0xffc9 => FUNCTION_KEYS[(keysym - 0xffbe) as usize],
        0xffe1 => Key::ShiftLeft,
        0xffe2 => Key::ShiftRight,
        0xffe3 => Key::ControlLeft,
        0xffe4 => Key::ControlRight,
        0xffe5 => Key::CapsLock,
        0xffe7 | 0xffeb => Key::MetaLeft,
        0xffe8 | 0xffec => Key::MetaRight,
        0xffe9 => Key::AltLeft,
        0xffea | 0xfe03 => Key::AltRight,
        _ => return None,
    };
    Some((key, None))
}

const FUNCTION_KEYS: [Key; 12] = [
    Key::F1,
    Key::F2,
    Key::F3,
    Key::F4,
    Key::F5,
    Key::F6,
    Key::F7,
    Key::F8,
    Key::F9,
    Key::F10,
    Key::F11,
    Key::F12,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keysyms_have_their_keys() {
        assert_eq!(key(u32::from(b'a')), Some((Key::A, Some(false))));
        assert_eq!(key(u32::from(b'A')), Some((Key::A, Some(true))));
        assert_eq!(key(0xffc9), Some((Key::F12, None)));
        assert_eq!(key(0xff0d), Some((Key::Enter, None)));
        assert_eq!((key(0), key(0x0100_20ac)), (None, None));
    }
}
