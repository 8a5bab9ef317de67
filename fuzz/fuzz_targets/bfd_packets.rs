//! Any octets as BFD packets to one session: nothing panics, and the law of reader and session holds.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/bfd/tests/law/mod.rs"]
mod law;

fuzz_target!(|octets: &[u8]| law::check(octets));
