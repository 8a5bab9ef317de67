//! Whole lives of a session: inputs, times and octets in any order, and each life has one shape.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/bgp-session/tests/life/mod.rs"]
mod life;

fuzz_target!(|script: &[u8]| {
    life::check(script);
});
