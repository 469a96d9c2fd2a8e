//! One chip per file. A chip knows its registers, FIFOs and pins; the board decides where they are wired.
