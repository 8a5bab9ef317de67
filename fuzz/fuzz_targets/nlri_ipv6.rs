//! Any octets as routes of IPv6 unicast, announced and withdrawn.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/bgp-wire/tests/law/mod.rs"]
#[allow(dead_code, reason = "each target uses its part of the law")]
mod law;

fuzz_target!(|octets: &[u8]| law::targets::nlri_ipv6(octets));
