//! The rrvmm command.

fn main() {}
