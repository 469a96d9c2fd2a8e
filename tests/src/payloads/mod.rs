//! Bare-metal guests in assembly (`tests/payloads/`), built at test time.
