//! Any octets as the body of an UPDATE: the header is right, so that all of them are read.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/bgp-wire/tests/law/mod.rs"]
mod law;

fuzz_target!(|body: &[u8]| {
    let Ok(length) = u16::try_from(19 + body.len()) else { return };
    let [high, low] = length.to_be_bytes();
    law::check(&[&[0xff; 16][..], &[high, low, 2], body].concat());
});
