//! What the running kernel can do.

use std::fs;
use std::io;

use dataplane::{DataplaneError, PortRange, Result};

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

/// Source ports that the kernel gives to nobody, in this network namespace; of both versions of IP.
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// Keeps the node's own sockets from the ports of a range. What else is reserved stays so, and nothing
/// is ever given back: somebody else may count on it.
pub(crate) fn reserve_ports(range: PortRange) -> Result<()> {
    let cannot = |error| DataplaneError::because(format!("cannot set {RESERVED}"), error);
    let now = fs::read_to_string(RESERVED).map_err(cannot)?;
    if covers(&now, range) {
        return Ok(());
    }
    let now = now.trim();
    let comma = if now.is_empty() { "" } else { "," };
    fs::write(RESERVED, format!("{now}{comma}{range}")).map_err(cannot)
}

/// Whether the kernel still knows.
pub(crate) fn are_reserved(range: PortRange) -> bool {
    fs::read_to_string(RESERVED).is_ok_and(|now| covers(&now, range))
}

/// The kernel lists ranges in order, those that touch as one.
fn covers(list: &str, range: PortRange) -> bool {
    list.trim().split(',').any(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        from.parse().is_ok_and(|from: u16| from <= range.first())
            && to.parse().is_ok_and(|to: u16| range.last() <= to)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_reserved_when_one_of_the_list_has_all_of_it() {
        let range = PortRange::new(40_000, 49_999).unwrap();
        for list in ["40000-49999\n", "22,30000-60000", "1-2,40000-49999,50001"] {
            assert!(covers(list, range), "{list}");
        }
        for list in ["\n", "40001-49999", "40000-49998", "40000", "40000-44999,45001-49999"] {
            assert!(!covers(list, range), "{list}");
        }
        assert!(covers("5,7", PortRange::new(7, 7).unwrap()));
    }

    #[test]
    fn versions_are_told_apart() {
        for old in ["5.15.0", "6.0.1", "nonsense", ""] {
            assert_eq!(Kernel::of(old), None, "{old}");
        }
        let kernels: [(&[&str], Kernel); 3] = [
            (&["6.1.0-50-amd64", "6.2.16"], Kernel { tcx: false, turns_versions: false }),
            (&["6.3.0", "6.5.13"], Kernel { tcx: false, turns_versions: true }),
            (
                &["6.6.0", "6.18.44-fc-v669", "7.0", "6.12.38+deb13-cloud-amd64"],
                Kernel { tcx: true, turns_versions: true },
            ),
        ];
        for (releases, kernel) in kernels {
            for release in releases {
                assert_eq!(Kernel::of(release), Some(kernel), "{release}");
            }
        }
    }
}
