//! Where the plane's maps and links are pinned.
//!
//! ```text
//! <bpffs>/arcus/<instance>/v3/maps/<name>
//!                         /v3/links/<hook>-<interface number>
//! ```
//!
//! The version names the layout of what is in the maps.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use dataplane::DataplaneError;
use rustix::fs::{FlockOperation, Mode, OFlags, statfs};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::options::Options;

/// Changes with `bpf/layout.h` and `bpf/maps.h`. The plane of another version goes on forwarding by its own maps
/// until the ones of this version are filled ([`crate::programs::Programs::relieve`]).
const VERSION: &str = "v3";

const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// The directories of one plane.
#[derive(Debug, Clone)]
pub(crate) struct Pins {
    bpffs: PathBuf,
    instance: PathBuf,
    version: PathBuf,
}

impl Pins {
    pub(crate) fn new(options: &Options) -> Result<Self, DataplaneError> {
        let name = &options.instance;
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(DataplaneError::new(format!(
                "`{name}` cannot name a plane; use 1 to 64 letters, digits, - and _"
            )));
        }
        let instance = options.bpffs.join("arcus").join(name);
        let version = instance.join(VERSION);
        Ok(Self { bpffs: options.bpffs.clone(), instance, version })
    }

    pub(crate) fn maps(&self) -> PathBuf {
        self.version.join("maps")
    }

    /// Where maps are while others of another size take their place.
    pub(crate) fn old_maps(&self) -> PathBuf {
        self.version.join("old")
    }

    pub(crate) fn links(&self) -> PathBuf {
        self.version.join("links")
    }

    pub(crate) fn link(&self, hook: &str, ifindex: u32) -> PathBuf {
        self.links().join(format!("{hook}-{ifindex}"))
    }

    /// Mounts what is not mounted and makes what is not there.
    pub(crate) fn prepare(&self) -> Result<(), DataplaneError> {
        let at = |path: &Path, error: io::Error| {
            DataplaneError::because(format!("cannot make {}", path.display()), error)
        };
        fs::create_dir_all(&self.bpffs).map_err(|error| at(&self.bpffs, error))?;
        if !self.is_mounted() {
            rustix::mount::mount("bpf", &self.bpffs, "bpf", MountFlags::empty(), None).map_err(
                |error| {
                    let what =
                        format!("cannot mount a BPF file system at {}", self.bpffs.display());
                    DataplaneError::because(what, io::Error::from(error))
                },
            )?;
        }
        for directory in [self.maps(), self.links()] {
            fs::create_dir_all(&directory).map_err(|error| at(&directory, error))?;
        }
        Ok(())
    }

    pub(crate) fn is_mounted(&self) -> bool {
        statfs(&self.bpffs).is_ok_and(|found| u64::try_from(found.f_type) == Ok(BPF_FS_MAGIC))
    }

    /// Claims the plane for as long as the result is kept: two processes that change one plane would
    /// each take away what only the other one wants. The kernel lets go of a process that has ended.
    pub(crate) fn lock(&self) -> Result<OwnedFd, DataplaneError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&self.instance, flags, Mode::empty());
        let locked = directory.and_then(|directory| {
            rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
            Ok(directory)
        });
        locked.map_err(|error| {
            let place = self.instance.display();
            if error == Errno::WOULDBLOCK {
                return DataplaneError::new(format!(
                    "another process has the plane at {place} open; stop it first, or name another \
                     instance"
                ));
            }
            DataplaneError::because(format!("cannot lock {place}"), io::Error::from(error))
        })
    }

    /// Whether the plane has pinned anything.
    pub(crate) fn exist(&self) -> bool {
        self.instance.exists()
    }

    /// The links of this version, by the interfaces that their names say.
    pub(crate) fn pinned_links(&self) -> Vec<(PathBuf, u32)> {
        let number = |path: &PathBuf| path.file_name()?.to_str()?.rsplit_once('-')?.1.parse().ok();
        let links = entries(&self.links()).into_iter();
        links.filter_map(|path| number(&path).map(|ifindex| (path, ifindex))).collect()
    }

    /// All links of ours on this BPF file system, of every plane and version.
    pub(crate) fn links_of_all(&self) -> Vec<PathBuf> {
        let instances = entries(&self.bpffs.join("arcus")).into_iter();
        let versions = instances.flat_map(|instance| entries(&instance));
        versions.flat_map(|version| entries(&version.join("links"))).collect()
    }

    /// Whether another version of this plane has pinned such things: `links`, or `maps`.
    pub(crate) fn have_other_versions(&self, things: &str) -> bool {
        let mut others = entries(&self.instance).into_iter().filter(|path| *path != self.version);
        others.any(|version| !entries(&version.join(things)).is_empty())
    }

    /// Removes what older versions of this plane pinned.
    pub(crate) fn remove_other_versions(&self) -> io::Result<()> {
        let mut others = entries(&self.instance).into_iter().filter(|path| *path != self.version);
        others.try_for_each(|path| remove_tree(&path))
    }

    /// Removes all that this plane pinned, links first: nothing forwards with half of the maps.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_tree(&self.links())?;
        remove_tree(&self.instance)?;
        // Other planes may have theirs beside it.
        match fs::remove_dir(self.bpffs.join("arcus")) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            done => unless_absent(done),
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = found.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_unstable();
    paths
}

fn remove_tree(path: &Path) -> io::Result<()> {
    unless_absent(fs::remove_dir_all(path))
}

pub(crate) fn unless_absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_named_by_one_directory() {
        for wrong in ["", "a/b", "..", "a.b", "a b"] {
            assert!(Pins::new(&Options::new(wrong)).is_err(), "{wrong}");
        }
        let pins = Pins::new(&Options::new("k8s-node_1")).unwrap();
        assert_eq!(pins.link("port", 7), Path::new("/sys/fs/bpf/arcus/k8s-node_1/v3/links/port-7"));
    }
}
