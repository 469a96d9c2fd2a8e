//! Every chip, bus and board as a pure state machine.
#![forbid(unsafe_code)]
