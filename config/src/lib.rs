//! The topology file: read, check, compare.
