//! Every scene of `dataplane-scenes` on the real plane.

use anyhow::{Result, ensure};
use dataplane_scenes::play_all;

use crate::stage::NetnsStage;

#[test]
#[ignore = "needs root: make test-netns"]
fn every_scene_is_played_as_written() -> Result<()> {
    let mut stage = NetnsStage::new()?;
    let (played, failures) = play_all(&mut stage);
    ensure!(failures.is_empty(), "{} of {played} fail\n\n{}", failures.len(), failures.join("\n"));
    eprintln!("{played} scenes");
    Ok(())
}
