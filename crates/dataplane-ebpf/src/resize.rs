//! Pinned maps that are to have another size than an earlier run gave them.
//!
//! ```text
//! <version>/maps/<name>   what the programs of this run use
//!          /old/<name>    while its entries are brought over; the programs of the earlier run use it
//! ```
//!
//! The old programs forward by the old maps until the new ones are filled and the new programs are in
//! their place. Cut short at any moment, the next run begins anew from the old map. Maps become smaller
//! only where what they hold fits, and arrays never: their elements have numbers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{MapData, MapInfo, MapType};
use dataplane::{DataplaneError, Result};
use tracing::{info, warn};

use crate::batch::{self, Copied};
use crate::limits;
use crate::options::Sizes;
use crate::pins::{Pins, unless_absent};

/// Maps that are being replaced.
#[derive(Debug)]
pub(crate) struct Resize {
    maps: PathBuf,
    old: PathBuf,
    names: Vec<&'static str>,
}

impl Resize {
    /// Puts pinned maps of another size aside, so that they are made anew.
    pub(crate) fn begin(pins: &Pins, sizes: &Sizes) -> Result<Self> {
        let mut resize = Self { maps: pins.maps(), old: pins.old_maps(), names: Vec::new() };
        for (name, limit) in limits::entries(sizes) {
            if let Err(error) = resize.put_aside(name, limit) {
                resize.undo();
                return Err(error);
            }
        }
        Ok(resize)
    }

    fn put_aside(&mut self, name: &'static str, limit: u32) -> Result<()> {
        let (here, aside) = (self.maps.join(name), self.old.join(name));
        if aside.exists() {
            // An earlier run came no further than this.
            unless_absent(fs::remove_file(&here))
                .map_err(|error| cannot("remove", &here, error))?;
            self.names.push(name);
            return Ok(());
        }
        let Ok(info) = MapInfo::from_pin(&here) else { return Ok(()) };
        let before = info.max_entries();
        if before == limit {
            return Ok(());
        }
        if before > limit && !fits(&here, &info, limit)? {
            warn!(map = name, entries = before, wanted = limit, "a map stays larger than wanted");
            return Ok(());
        }
        fs::create_dir_all(&self.old).map_err(|error| cannot("make", &self.old, error))?;
        fs::rename(&here, &aside).map_err(|error| cannot("move", &here, error))?;
        self.names.push(name);
        info!(map = name, before, entries = limit, "a map is made anew");
        Ok(())
    }

    /// Brings over what the old maps hold, into the new ones, which are pinned by now.
    pub(crate) fn fill(&self) -> Result<()> {
        self.names.iter().try_for_each(|name| self.copy(name, Copied::All))
    }

    /// The new programs are in place: brings over what the old ones have added meanwhile, and forgets the
    /// old maps.
    pub(crate) fn finish(self) -> Result<()> {
        for name in &self.names {
            let is_theirs = MapInfo::from_pin(self.old.join(name))
                .and_then(|info| info.map_type())
                .is_ok_and(|kind| matches!(kind, MapType::LruHash));
            if is_theirs {
                self.copy(name, Copied::Missing)?;
            }
        }
        unless_absent(fs::remove_dir_all(&self.old))
            .map_err(|error| cannot("remove", &self.old, error))
    }

    /// Everything is as it was.
    pub(crate) fn undo(self) {
        for name in &self.names {
            let back = unless_absent(fs::remove_file(self.maps.join(name)))
                .and_then(|()| fs::rename(self.old.join(name), self.maps.join(name)));
            if let Err(error) = back {
                warn!(map = name, %error, "an old map is not back in its place; the next start tries again");
            }
        }
    }

    fn copy(&self, name: &str, what: Copied) -> Result<()> {
        let failed = |error: io::Error| {
            DataplaneError::because(format!("cannot bring over the entries of map {name}"), error)
        };
        let open =
            |directory: &Path| MapData::from_pin(directory.join(name)).map_err(io::Error::other);
        let (from, to) = (open(&self.old).map_err(failed)?, open(&self.maps).map_err(failed)?);
        let info = from.info().map_err(io::Error::other).map_err(failed)?;
        batch::copy(&from, &to, sizes(&info).map_err(failed)?, what).map_err(failed)
    }
}

/// Octets of a key, and of what the kernel gives out of an entry.
fn sizes(info: &MapInfo) -> io::Result<(usize, usize)> {
    let (key, value) = (info.key_size() as usize, info.value_size() as usize);
    let of_each_cpu = matches!(
        info.map_type().map_err(io::Error::other)?,
        MapType::PerCpuArray | MapType::PerCpuHash | MapType::LruPerCpuHash
    );
    if !of_each_cpu {
        return Ok((key, value));
    }
    let cpus = aya::util::nr_cpus().map_err(|(_, error)| error)?;
    Ok((key, value.next_multiple_of(8) * cpus))
}

fn fits(path: &Path, info: &MapInfo, limit: u32) -> Result<bool> {
    let failed = |error: io::Error| cannot("count the entries of", path, error);
    let kind = info.map_type().map_err(io::Error::other).map_err(failed)?;
    if matches!(kind, MapType::Array | MapType::PerCpuArray) {
        return Ok(false);
    }
    let map = MapData::from_pin(path).map_err(io::Error::other).map_err(failed)?;
    let entries = batch::count(&map, sizes(info).map_err(failed)?).map_err(failed)?;
    Ok(u32::try_from(entries).is_ok_and(|entries| entries <= limit))
}

fn cannot(verb: &str, path: &Path, error: io::Error) -> DataplaneError {
    DataplaneError::because(format!("cannot {verb} {}", path.display()), error)
}
