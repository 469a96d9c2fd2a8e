//! The format: `BYTES "DISASSEMBLY" INPUTS => OUTPUTS`, after a line `[MODE]`.

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter, Register};

/// Processor mode of the cases that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseMode {
    /// Real mode.
    Real,
    /// Protected mode at CPL 3, 16-bit segments of 64 KiB.
    Prot16,
    /// Protected mode at CPL 3, 32-bit segments of 64 KiB.
    Prot32,
    /// Protected mode at CPL 3, flat 32-bit segments.
    Flat32,
    /// 64-bit mode at CPL 3.
    Long64,
}

impl CaseMode {
    const NAMES: [(&'static str, CaseMode); 5] = [
        ("[real]", CaseMode::Real),
        ("[prot16]", CaseMode::Prot16),
        ("[prot32]", CaseMode::Prot32),
        ("[flat32]", CaseMode::Flat32),
        ("[long64]", CaseMode::Long64),
    ];

    /// Default code size.
    pub fn bits(self) -> u32 {
        match self {
            CaseMode::Real | CaseMode::Prot16 => 16,
            CaseMode::Prot32 | CaseMode::Flat32 => 32,
            CaseMode::Long64 => 64,
        }
    }
}

/// Where a value goes or is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A general register of any width.
    Register(Register),
    /// The instruction pointer.
    Ip,
    /// The flag at this bit of EFLAGS.
    Flag(u32),
    /// Memory at an offset of a segment (by number), or at a linear address.
    Memory(Option<usize>, u64),
    /// Selector of a segment register (output only).
    Selector(usize),
    /// Limit of a segment.
    Limit(usize),
    /// Base of a segment.
    Base(usize),
}

/// A value: a number, bytes, or (for a flag) anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(u64),
    Bytes(Vec<u8>),
    Undefined,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Case {
    pub mode: CaseMode,
    pub bytes: Vec<u8>,
    pub text: String,
    pub inputs: Vec<(Place, Value)>,
    pub outputs: Vec<(Place, Value)>,
    /// Exception expected: vector and error code.
    pub exception: Option<(u8, u16)>,
}

/// What a line holds.
pub enum Line {
    Empty,
    Mode(CaseMode),
    Case(Case),
}

/// Segment registers in encoding order.
pub const SEGMENTS: [&str; 6] = ["es", "cs", "ss", "ds", "fs", "gs"];
const FLAGS: [(&str, u32); 8] =
    [("cf", 0), ("pf", 2), ("af", 4), ("zf", 6), ("sf", 7), ("df", 10), ("of", 11), ("if", 9)];
const EXCEPTIONS: [(&str, u8); 10] = [
    ("#DE", 0),
    ("#BP", 3),
    ("#OF", 4),
    ("#BR", 5),
    ("#UD", 6),
    ("#NP", 11),
    ("#SS", 12),
    ("#GP", 13),
    ("#PF", 14),
    ("#AC", 17),
];

/// Parses one line.
pub fn line(line: &str, mode: Option<CaseMode>) -> Result<Line, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Line::Empty);
    }
    if let Some(&(_, mode)) = CaseMode::NAMES.iter().find(|(name, _)| *name == line) {
        return Ok(Line::Mode(mode));
    }
    let mode = mode.ok_or("no mode yet")?;
    let mut parts = line.splitn(3, '"');
    let (Some(hex_text), Some(text), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("no disassembly in quotes".into());
    };
    let (inputs, outputs) = rest.split_once("=>").ok_or("no =>")?;
    let mut case = Case {
        mode,
        bytes: hex(hex_text.trim())?,
        text: text.into(),
        inputs: inputs.split_whitespace().map(assignment).collect::<Result<_, _>>()?,
        outputs: Vec::new(),
        exception: None,
    };
    for word in outputs.split_whitespace() {
        if word.starts_with('#') {
            case.exception = Some(exception(word)?);
        } else {
            case.outputs.push(assignment(word)?);
        }
    }
    Ok(Line::Case(case))
}

fn exception(word: &str) -> Result<(u8, u16), String> {
    let (name, code) = word.split_once('(').unwrap_or((word, "0)"));
    let vector = EXCEPTIONS.iter().find(|(n, _)| *n == name).ok_or(format!("no exception {name}"))?.1;
    let code = number(code.trim_end_matches(')'))?;
    Ok((vector, code as u16))
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    if !text.len().is_multiple_of(2) {
        return Err(format!("odd number of digits in {text}"));
    }
    (0..text.len())
        .step_by(2)
        .map(|n| u8::from_str_radix(&text[n..n + 2], 16).map_err(|e| format!("{text}: {e}")))
        .collect()
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|e| format!("{text}: {e}"))
}

fn segment(name: &str) -> Option<usize> {
    SEGMENTS.iter().position(|s| *s == name)
}

fn assignment(word: &str) -> Result<(Place, Value), String> {
    let (name, value) = word.split_once('=').ok_or(format!("{word}: not an assignment"))?;
    let place = place(name).ok_or(format!("{name}: no such place"))?;
    let value = match (&place, value) {
        (_, "?") => Value::Undefined,
        (Place::Memory(..), bytes) => Value::Bytes(hex(bytes)?),
        (_, v) => Value::Number(number(v)?),
    };
    Ok((place, value))
}

fn place(name: &str) -> Option<Place> {
    if let Some(inner) = name.strip_prefix('[') {
        let inner = inner.strip_suffix(']')?;
        return Some(match inner.split_once(':') {
            Some((s, offset)) => Place::Memory(Some(segment(s)?), number(offset).ok()?),
            None => Place::Memory(None, number(inner).ok()?),
        });
    }
    if let Some((s, what)) = name.split_once('.') {
        return match what {
            "limit" => Some(Place::Limit(segment(s)?)),
            "base" => Some(Place::Base(segment(s)?)),
            _ => None,
        };
    }
    if let Some(n) = segment(name) {
        return Some(Place::Selector(n));
    }
    if matches!(name, "ip" | "eip" | "rip") {
        return Some(Place::Ip);
    }
    if let Some(&(_, bit)) = FLAGS.iter().find(|(n, _)| *n == name) {
        return Some(Place::Flag(bit));
    }
    register(name).map(Place::Register)
}

fn register(name: &str) -> Option<Register> {
    Register::values().find(|r| r.is_gpr() && format!("{r:?}").eq_ignore_ascii_case(name))
}

impl Case {
    /// The decoded instruction, at the offset where cases run.
    pub fn instruction(&self) -> Instruction {
        Decoder::with_ip(self.mode.bits(), &self.bytes, super::machine::IP, DecoderOptions::NONE).decode()
    }

    /// What the disassembler says.
    pub fn disassembly(&self) -> String {
        let insn = self.instruction();
        let mut text = String::new();
        IntelFormatter::new().format(&insn, &mut text);
        if insn.len() == self.bytes.len() {
            text
        } else {
            format!("{text} and {} bytes more", self.bytes.len() - insn.len())
        }
    }
}
