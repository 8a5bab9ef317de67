//! Whole lives of sessions, by scripts of octets (`tests/life`).

mod life;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

/// What the fuzz target has found worth keeping.
#[test]
fn the_corpus_keeps_the_law() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/session_lifetime");
    let scripts: Vec<_> = fs::read_dir(&corpus).expect("the corpus").collect();
    assert!(!scripts.is_empty());
    let mut ups = 0;
    for script in scripts {
        let path = script.expect("an entry").path();
        ups += life::check(&fs::read(&path).expect("a script"));
    }
    assert!(ups >= 12, "{ups} sessions of the corpus came up");
}

/// Steps that go on where a life goes on, else most scripts would end before they began.
fn step() -> impl Strategy<Value = Vec<u8>> {
    let octets = || prop::collection::vec(any::<u8>(), 0..40);
    let with_length = |octets: Vec<u8>| {
        let length = u16::try_from(octets.len()).expect("short").to_be_bytes();
        [&length[..], &octets].concat()
    };
    prop_oneof![
        3 => Just(vec![0, 12, 13]),
        2 => Just(vec![8]),
        4 => (0u8..=13).prop_map(|step| vec![step]),
        2 => (9u8..=11, 0u8..12).prop_map(|(step, wait)| vec![step, wait]),
        1 => (any::<u8>(), octets()).prop_map(move |(why, text)| {
            [&[7, why][..], &with_length(text)].concat()
        }),
        3 => (1u8..=5, octets()).prop_map(move |(kind, body)| {
            [&[14, kind][..], &with_length(body)].concat()
        }),
        1 => octets().prop_map(move |octets| [&[15][..], &with_length(octets)].concat()),
    ]
}

proptest! {
    #[test]
    fn a_life_has_one_shape_whatever_its_octets(
        who in any::<[u8; 2]>(),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        life::check(&[&who[..], &steps.concat()].concat());
    }
}
