//! Any octets as the body of an UPDATE of a peer that knows two-octet AS numbers only.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/bgp-wire/tests/law/mod.rs"]
#[allow(dead_code, reason = "each target uses its part of the law")]
mod law;

fuzz_target!(|octets: &[u8]| law::targets::update_two_octet_as(octets));
