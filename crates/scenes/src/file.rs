//! Files of scenes, and scenes that stand for several.
//!
//! ```toml
//! base = """..."""              # state that all scenes of the file begin with
//!
//! [[sets.version]]              # a scene with vary = ["version"] is played once for each row,
//! name = "IPv4"                 # with <version> replaced by the name and <far> by this
//! far = "10.0.2.2"
//!
//! [[scene]]
//! name = "a packet to another node, <version>"
//! vary = ["version"]
//! state = """..."""             # see the module `state`
//! play = """..."""              # see the module `step`
//! planes = ["memory"]           # only where another plane cannot yet; also for a whole file
//! ```
//!
//! Sets in `sets.toml` are there for all files. What a row says may use `<..>` itself, and `=1400-28`
//! is calculated.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::step::Step;
use crate::{state, step};
use dataplane::Desired;

/// The file of sets that all others may use.
const SHARED: &str = "sets.toml";

/// One scene, ready to be played.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The file that it stands in, without the ending.
    pub subject: String,
    pub name: String,
    /// Names of the planes that can play it; empty: all.
    pub planes: Vec<String>,
    pub state: Desired,
    pub steps: Vec<Step>,
}

/// A file that is not as it should be.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", file.display())]
pub struct FileError {
    file: PathBuf,
    what: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    base: String,
    /// Of scenes that do not say.
    #[serde(default)]
    planes: Vec<String>,
    #[serde(default)]
    sets: Sets,
    #[serde(default)]
    scene: Vec<Text>,
}

type Row = BTreeMap<String, String>;
type Sets = BTreeMap<String, Vec<Row>>;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    name: String,
    #[serde(default)]
    vary: Vec<String>,
    #[serde(default)]
    planes: Vec<String>,
    #[serde(default)]
    state: String,
    play: String,
}

/// All scenes of a directory, in the order of its files.
pub fn load(directory: &Path) -> Result<Vec<Scene>, FileError> {
    let fault = |file: &Path, what: String| FileError { file: file.to_owned(), what };
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).map_err(|error| fault(path, error.to_string()))?;
        toml::from_str::<File>(&text).map_err(|error| fault(path, error.to_string()))
    };
    let shared = read(&directory.join(SHARED))?.sets;
    let listed =
        std::fs::read_dir(directory).map_err(|error| fault(directory, error.to_string()))?;
    let mut paths: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    paths.retain(|path| path.file_name().is_some_and(|name| name != SHARED));
    paths.sort();
    let mut scenes = Vec::new();
    for path in paths {
        let File { base, planes, sets, scene } = read(&path)?;
        let sets: Sets = shared.clone().into_iter().chain(sets).collect();
        let subject = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for mut text in scene {
            if text.planes.is_empty() {
                text.planes.clone_from(&planes);
            }
            let rows = rows(&text.vary, &sets).map_err(|what| fault(&path, what))?;
            for row in rows {
                let scene = expand(&subject, &base, &text, &row);
                scenes.push(scene.map_err(|what| fault(&path, format!("{}: {what}", text.name)))?);
            }
        }
    }
    Ok(scenes)
}

/// Every combination of a row of each of these sets.
fn rows(vary: &[String], sets: &Sets) -> Result<Vec<Row>, String> {
    let mut combined = vec![Row::new()];
    for name in vary {
        let set = sets.get(name).ok_or_else(|| format!("there is no set `{name}`"))?;
        let with = |so_far: &Row, row: &Row| {
            let mut all = so_far.clone();
            all.extend(
                row.iter().filter(|(key, _)| *key != "name").map(|(k, v)| (k.clone(), v.clone())),
            );
            all.insert(name.clone(), row.get("name").cloned().unwrap_or_default());
            all
        };
        let rows = combined.iter().flat_map(|so_far| set.iter().map(|row| with(so_far, row)));
        combined = rows.collect();
    }
    Ok(combined)
}

fn expand(subject: &str, base: &str, text: &Text, row: &Row) -> Result<Scene, String> {
    let mut wanted = state::empty();
    let lines = format!("{}\n{}", replace(base, row), replace(&text.state, row));
    for line in meaningful(&lines) {
        let line = state::name_macs(line, &wanted);
        state::put(&mut wanted, &line)?;
    }
    let play = replace(&text.play, row);
    let steps = step::read(meaningful(&play))?;
    let (subject, name) = (subject.to_owned(), replace(&text.name, row));
    Ok(Scene { subject, name, planes: text.planes.clone(), state: wanted, steps })
}

/// Lines that say something; the rest is comment.
fn meaningful(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("# "))
}

fn replace(text: &str, row: &Row) -> String {
    let mut text = text.to_owned();
    // What a row says may use what another one says.
    for _ in 0..4 {
        for (key, value) in row {
            text = text.replace(&format!("<{key}>"), value);
        }
    }
    text.split_inclusive([' ', '\n']).map(calculate).collect()
}

/// `=1372-40` is 1332; also inside of a word, as in `1/=20+8`.
fn calculate(word: &str) -> Cow<'_, str> {
    let Some((before, sum)) = word.split_once('=') else { return Cow::Borrowed(word) };
    let space = &word[word.trim_end().len()..];
    let mut result = 0_i64;
    for term in sum.trim_end().split_inclusive(['-', '+']).scan(1, |sign, term| {
        let signed = term.trim_end_matches(['-', '+']).parse::<i64>().ok().map(|n| n * *sign);
        *sign = if term.ends_with('-') { -1 } else { 1 };
        Some(signed)
    }) {
        let Some(term) = term else { return Cow::Borrowed(word) };
        result += term;
    }
    format!("{before}{result}{space}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<const N: usize>(pairs: [(&str, &str); N]) -> Row {
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn what_a_row_says_may_use_what_another_says() {
        let row =
            row([("v", "6"), ("fits6", "1352"), ("hop", "gre <remote> 200"), ("remote", "f::2")]);
        assert_eq!(replace("route <hop>, mtu <fits<v>>", &row), "route gre f::2 200, mtu 1352");
        assert_eq!(replace("a > b <unknown>", &row), "a > b <unknown>");
    }

    #[test]
    fn sums_are_calculated() {
        assert_eq!(replace("len =1372-40+1 df\nrx 1/=20+8", &Row::new()), "len 1333 df\nrx 1/28");
        assert_eq!(replace("a=b", &Row::new()), "a=b");
    }

    #[test]
    fn sets_are_combined() {
        let set = |name: &str| vec![row([("name", name)]), row([("name", "other")])];
        let sets = Sets::from([("a".to_owned(), set("1")), ("b".to_owned(), set("2"))]);
        let vary = ["a".to_owned(), "b".to_owned()];
        assert_eq!(rows(&vary, &sets).map(|rows| rows.len()), Ok(4));
        assert!(rows(&["c".to_owned()], &sets).is_err());
    }
}
