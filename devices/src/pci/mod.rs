//! The PCI bus: configuration space, and the functions of the i440FX chip set.
