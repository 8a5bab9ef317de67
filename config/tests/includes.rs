//! Topologies of several files.

use std::{fs, path::Path};

use arcus_config::read;

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
}

const LAB: &str = "[cloud.lab]\nasn = 64512\n[cloud.lab.control-node.ctl-1]\naddress = \
                   \"10.1.0.11\"\n";

#[test]
fn a_file_that_two_others_include_is_read_once() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        &[
            ("top.toml", "include = [\"a.toml\", \"b.toml\"]\n[federation]\nname = \"top\"\n"),
            ("a.toml", "include = [\"lab.toml\"]\n"),
            ("b.toml", "include = [\"./lab.toml\"]\n"),
            ("lab.toml", LAB),
        ],
    );
    let topology = read(&folder.path().join("top.toml"));
    assert_eq!(topology.map(|topology| topology.clouds.len()), Ok(1));
}

#[test]
fn a_path_is_relative_to_the_file_that_it_stands_in() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        &[
            ("top.toml", "include = [\"teams/all.toml\"]\n[federation]\nname = \"top\"\n"),
            ("teams/all.toml", "include = [\"lab.toml\"]\n"),
            ("teams/lab.toml", LAB),
        ],
    );
    let topology = read(&folder.path().join("top.toml"));
    assert_eq!(topology.map(|topology| topology.clouds.len()), Ok(1));
}

#[test]
fn the_last_of_several_includes_is_shown_where_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        &[
            ("top.toml", "include = [\n  \"lab.toml\",\n  \"nowhere.toml\",\n]\n"),
            ("lab.toml", &["include = [\"empty.toml\"]\n", LAB].concat()),
            ("empty.toml", ""),
        ],
    );
    let error = read(&folder.path().join("top.toml")).expect_err("one is not there");
    assert_eq!((error.line, error.column, error.excerpt.as_str()), (3, 3, "  \"nowhere.toml\","));
}
