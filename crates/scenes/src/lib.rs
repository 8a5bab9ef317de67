//! Small scenes of packets that every data plane must play alike.
//!
//! A scene is data: the state of a node, packets that come in, packets and counters that must follow
//! (`scenes/*.toml`; `docs/scenes.md` tells how to write one). What plays them knows no plane: a
//! [`Stage`] is one, with ways to put packets in and to see what comes out.
//!
//! ```text
//! scenes/*.toml -> load -> [Scene{state: Desired, steps}] -> play(scene, stage) -> Failure as text
//! ```

mod counted;
mod file;
mod play;
mod stage;
mod state;
mod step;
mod words;

pub mod packet;

use std::path::PathBuf;

pub use file::{FileError, Scene, load};
pub use play::{Failure, play};
pub use stage::{Result, Stage, StageError};
pub use state::{FAR_ROUTER_MAC, ROUTER_MAC, UPLINK, empty};
pub use step::{Action, Counter, Expected, Placed, RuleIndex, Step, Way};

/// Where the scenes of this repository are.
pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenes")
}

/// Plays all scenes that the stage can, or of them those that have `SCENE` of the environment in
/// subject or name. What failed comes back as text, with how many were played.
pub fn play_all(stage: &mut impl Stage) -> (usize, Vec<String>) {
    let scenes = match load(&directory()) {
        Ok(scenes) => scenes,
        Err(error) => return (0, vec![error.to_string()]),
    };
    let wanted = std::env::var("SCENE").unwrap_or_default();
    let can = |scene: &&Scene| {
        scene.planes.is_empty() || scene.planes.iter().any(|plane| plane == stage.name())
    };
    let is_wanted = |scene: &&Scene| format!("{}: {}", scene.subject, scene.name).contains(&wanted);
    let chosen: Vec<&Scene> = scenes.iter().filter(can).filter(is_wanted).collect();
    let failures = chosen.iter().filter_map(|scene| {
        let failure = play(scene, stage).err()?.to_string();
        // At once, too: a plane that waits in vain a hundred times takes its time.
        eprintln!("{failure}");
        Some(failure)
    });
    (chosen.len(), failures.collect())
}
