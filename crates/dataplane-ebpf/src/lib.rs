//! The eBPF data plane: tc programs, pinned maps, veth ports.
