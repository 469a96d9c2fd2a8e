//! The architecture as `gdbstub` wants it said: the parts that do not depend on the layout.

use std::num::NonZeroUsize;

use gdbstub::arch;

/// x86, 16 to 64 bits wide.
pub(super) enum X86 {}

/// All registers in one piece, as the layout has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RegisterFile {
    pub pc: u64,
    pub bytes: Vec<u8>,
}

/// gdb's number of a register: its place in the layout.
#[derive(Debug)]
pub(super) struct RegisterNumber(pub usize);

impl arch::Arch for X86 {
    type Usize = u64;
    type Registers = RegisterFile;
    type BreakpointKind = usize;
    type RegId = RegisterNumber;
}

impl arch::Registers for RegisterFile {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.pc
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.bytes.iter().for_each(|&byte| write_byte(Some(byte)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.bytes = bytes.to_vec();
        Ok(())
    }
}

impl arch::RegId for RegisterNumber {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        Some((Self(id), None))
    }
}
