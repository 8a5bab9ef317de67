//! A short number for "these two daemons run the same topology".

use std::hash::{Hash, Hasher};

use crate::Topology;

impl Topology {
    /// Equal for equal topologies, on every machine with the same build; not cryptographic.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = Fnv1a(0xcbf2_9ce4_8422_2325);
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// FNV-1a with 64 bits: unlike the standard library's, its result is fixed by a document.
struct Fnv1a(u64);

impl Hasher for Fnv1a {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_of_the_document() {
        // (who says so, the octets, their hash): the test vectors of the FNV authors.
        let cases: &[(&str, &[u8], u64)] = &[
            ("empty", b"", 0xcbf2_9ce4_8422_2325),
            ("a", b"a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", b"foobar", 0x8594_4171_f739_67e8),
        ];
        for (name, octets, want) in cases {
            let mut hasher = Fnv1a(0xcbf2_9ce4_8422_2325);
            hasher.write(octets);
            assert_eq!(hasher.finish(), *want, "{name}");
        }
    }
}
