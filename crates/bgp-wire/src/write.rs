//! Length prefixes that fill themselves in.
