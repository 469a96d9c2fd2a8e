//! Machine assembly, accelerators, host backends, sessions and the command line.
