//! What the running kernel can do.

use std::fs;
use std::io;

use dataplane::{DataplaneError, Result};

use crate::options::Hooks;

/// What depends on the kernel's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// Links on interfaces (tcx); without them the classic classifier queue holds the programs.
    pub(crate) tcx: bool,
    /// IPv4 inside a tunnel over IPv6 and the other way round, without a second look at the header.
    pub(crate) turns_versions: bool,
}

impl Kernel {
    /// # Errors
    /// It is too old.
    pub(crate) fn here(hooks: Hooks) -> Result<Self> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let kernel = Self::of(&release).ok_or_else(|| {
            DataplaneError::new(format!(
                "the eBPF data plane needs Linux 6.1 or newer; this is {release}"
            ))
        })?;
        Ok(Self { tcx: kernel.tcx && hooks == Hooks::Best, ..kernel })
    }

    fn of(release: &str) -> Option<Self> {
        let version = version(release)?;
        (version >= (6, 1))
            .then_some(Self { tcx: version >= (6, 6), turns_versions: version >= (6, 3) })
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return None };
    Some((major, minor))
}

/// Lets the programs ask for routes as the node's own sockets do (`bpf/underlay.h`): the kernel answers
/// only where the interface that a packet "comes" from forwards. Loopback then does, which nothing comes
/// from otherwise.
pub(crate) fn let_loopback_forward(version: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{version}/conf/lo/forwarding");
    let done = match fs::read_to_string(&path) {
        Ok(now) if now.trim() == "1" => Ok(()),
        Ok(_) => fs::write(&path, "1"),
        // A kernel without that version of IP has no routes to be asked for.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    done.map_err(|error| DataplaneError::because(format!("cannot set {path}"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        for old in ["5.15.0", "6.0.1", "nonsense", ""] {
            assert_eq!(Kernel::of(old), None, "{old}");
        }
        let least = Kernel { tcx: false, turns_versions: false };
        assert_eq!(Kernel::of("6.1.0-50-amd64"), Some(least));
        assert_eq!(Kernel::of("6.5.13"), Some(Kernel { turns_versions: true, ..least }));
        for new in ["6.6.0", "6.18.44-fc-v669", "7.0", "6.12.38+deb13-cloud-amd64"] {
            let all = Kernel { tcx: true, turns_versions: true };
            assert_eq!(Kernel::of(new), Some(all), "{new}");
        }
    }
}
