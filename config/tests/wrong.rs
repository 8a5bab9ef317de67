//! A folder of wrong topologies, each beside the exact message that it gives.

use std::{
    fs,
    path::{Path, PathBuf},
};

use arcus_config::read;

/// The wrong files, in order.
fn wrong_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir("tests/wrong")
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

#[test]
fn each_wrong_topology_gives_its_exact_message() {
    let files = wrong_files();
    assert!(files.len() >= 30, "only {} wrong files were found", files.len());
    for path in files {
        let expected = fs::read_to_string(path.with_extension("expected")).unwrap_or_default();
        let message = match read(&path) {
            Ok(_) => "it is accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(message.trim_end(), expected.trim_end(), "{}", path.display());
    }
}

#[test]
fn no_message_is_expected_of_a_file_that_is_gone() {
    for entry in fs::read_dir("tests/wrong").expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "expected") {
            assert!(path.with_extension("toml").exists(), "{}", path.display());
        }
    }
}

#[test]
fn what_the_wrong_files_include_is_right() {
    let read = read(Path::new("tests/wrong/common/openstack.toml"));
    assert_eq!(read.map(|topology| topology.federation.name), Ok("wrong".to_owned()));
}

#[test]
fn a_topology_that_cannot_be_read_names_the_file() {
    let error = read(Path::new("tests/wrong/nowhere.toml")).expect_err("it is not there");
    assert!(error.to_string().starts_with("tests/wrong/nowhere.toml: cannot be read: "), "{error}");
}
