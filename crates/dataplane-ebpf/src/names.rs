//! Names beside the numbers that the programs use, so that the agent that comes after this one can
//! say what it found.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use dataplane::{DataplaneError, FilterId, MplsLabel, PortId, Vni, Vrf};

use crate::layout::{PortName, VrfName};

/// What is kept of a port besides what the programs need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortRecord {
    pub(crate) id: PortId,
    /// Where the workload's network namespace was found, and its inode number there.
    pub(crate) path: PathBuf,
    pub(crate) inode: u64,
    /// Name of the interface inside.
    pub(crate) interface: String,
}

/// Three lengths of two octets, and the inode number.
const PORT_HEADER: usize = 3 * 2 + 8;

impl PortRecord {
    pub(crate) fn encode(&self) -> Result<PortName, DataplaneError> {
        let parts =
            [self.id.0.as_bytes(), self.path.as_os_str().as_bytes(), self.interface.as_bytes()];
        let mut octets = Vec::with_capacity(PORT_HEADER);
        for part in parts {
            let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
            octets.extend(length.to_ne_bytes());
        }
        octets.extend(self.inode.to_ne_bytes());
        octets.extend(parts.concat());
        let mut value = PortName([0; 1024]);
        let room = value.0.get_mut(..octets.len()).ok_or_else(|| {
            DataplaneError::new(format!("the name and the path of port {} are too long", self.id))
        })?;
        room.copy_from_slice(&octets);
        Ok(value)
    }

    /// `None` when no agent of this version wrote it.
    pub(crate) fn decode(value: &PortName) -> Option<Self> {
        let (header, rest) = value.0.split_at(PORT_HEADER);
        let (lengths, inode) = header.split_at(6);
        let mut lengths = lengths
            .chunks_exact(2)
            .map(|length| length.try_into().map(u16::from_ne_bytes).map(usize::from));
        let mut part = |rest| take(rest, lengths.next()?.ok()?);
        let (id, rest) = part(rest)?;
        let (path, rest) = part(rest)?;
        let (interface, _) = part(rest)?;
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).ok();
        Some(Self {
            id: PortId(text(id).filter(|id| !id.is_empty())?),
            path: Path::new(OsStr::from_bytes(path)).to_owned(),
            inode: u64::from_ne_bytes(inode.try_into().ok()?),
            interface: text(interface)?,
        })
    }
}

fn take(octets: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    octets.split_at_checked(length)
}

/// The network's name behind its label and VNI.
pub(crate) fn encode_vrf(vrf: &Vrf) -> VrfName {
    let mut value = VrfName([0; 256]);
    let (label, rest) = value.0.split_at_mut(4);
    let (vni, rest) = rest.split_at_mut(4);
    label.copy_from_slice(&vrf.label.value().to_ne_bytes());
    vni.copy_from_slice(&vrf.vni.map_or(0, Vni::value).to_ne_bytes());
    // A longer one is cut off: it is for people only.
    let (length, room) = rest.split_at_mut(1);
    let name = &vrf.name;
    let mut end = name.len().min(room.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    length[0] = u8::try_from(end).unwrap_or_default();
    room[..end].copy_from_slice(&name.as_bytes()[..end]);
    value
}

/// `None` when no agent of this version wrote it.
pub(crate) fn decode_vrf(value: &VrfName) -> Option<Vrf> {
    let (label, rest) = value.0.split_first_chunk::<4>()?;
    let (vni, rest) = rest.split_first_chunk::<4>()?;
    let (length, room) = rest.split_first()?;
    let name = room.get(..usize::from(*length))?;
    Some(Vrf {
        name: String::from_utf8(name.to_vec()).ok()?,
        label: MplsLabel::new(u32::from_ne_bytes(*label))?,
        vni: Vni::new(u32::from_ne_bytes(*vni)),
    })
}

/// The number of the names, and each behind its length; the filter's own comes first.
pub(crate) fn encode_filter_names<'a>(
    id: &'a FilterId,
    rules: impl Iterator<Item = &'a str> + Clone,
) -> Vec<u8> {
    let names = std::iter::once(id.0.as_str()).chain(rules);
    let mut octets = length(names.clone().count()).to_vec();
    for name in names {
        octets.extend(length(name.len()));
        octets.extend(name.as_bytes());
    }
    octets
}

fn length(octets: usize) -> [u8; 4] {
    u32::try_from(octets).unwrap_or(u32::MAX).to_ne_bytes()
}

/// `None` when they are not whole.
pub(crate) fn decode_filter_names(octets: &[u8]) -> Option<(FilterId, Vec<String>)> {
    let number = |octets: &[u8]| -> Option<(usize, usize)> {
        let first = octets.first_chunk::<4>()?;
        Some((usize::try_from(u32::from_ne_bytes(*first)).ok()?, 4))
    };
    let (count, mut at) = number(octets)?;
    let mut names = Vec::new();
    for _ in 0..count {
        let (length, header) = number(octets.get(at..)?)?;
        at += header;
        let name = octets.get(at..at.checked_add(length)?)?;
        names.push(String::from_utf8(name.to_vec()).ok()?);
        at += length;
    }
    let mut names = names.into_iter();
    Some((FilterId(names.next().filter(|id| !id.is_empty())?), names.collect()))
}

/// Name of the host's end of a port, at most 15 octets: the same on every start, different for
/// every port and plane.
pub(crate) fn host_interface(instance: &str, id: &PortId) -> String {
    let octets = instance.bytes().chain([0]).chain(id.0.bytes());
    format!("arc{:012x}", fnv1a(octets) & 0xffff_ffff_ffff)
}

/// What the flows of a port's group are mixed with.
pub(crate) fn port_key(id: &PortId) -> u32 {
    let hash = fnv1a(id.0.bytes());
    u32::try_from((hash >> 32) ^ (hash & 0xffff_ffff)).unwrap_or_default()
}

/// FNV-1a: as stable as a name must be, which the hashers of the standard library are not.
fn fnv1a(octets: impl Iterator<Item = u8>) -> u64 {
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> PortRecord {
        PortRecord {
            id: id.into(),
            path: "/run/netns/db-1".into(),
            inode: 4_026_532_000,
            interface: "eth0".to_owned(),
        }
    }

    #[test]
    fn a_port_record_reads_back_what_it_was() {
        let record = record("database/db-1");
        assert_eq!(PortRecord::decode(&record.encode().unwrap()), Some(record));
    }

    #[test]
    fn a_port_record_that_does_not_fit_is_refused() {
        assert!(record(&"x".repeat(1000)).encode().is_err());
    }

    #[test]
    fn octets_that_are_no_record_are_none() {
        assert_eq!(PortRecord::decode(&PortName([0; 1024])), None);
        assert_eq!(PortRecord::decode(&PortName([0xff; 1024])), None);
    }

    #[test]
    fn a_network_name_is_cut_between_characters() {
        let vrf = |name: String, vni| Vrf { name, label: MplsLabel::MIN, vni: Vni::new(vni) };
        let long = vrf("ä".repeat(200), 0);
        assert_eq!(decode_vrf(&encode_vrf(&long)), Some(vrf("ä".repeat(123), 0)));
        let short = vrf("database".to_owned(), 5000);
        assert_eq!(decode_vrf(&encode_vrf(&short)), Some(short));
    }

    #[test]
    fn names_of_a_filter_and_its_rules_read_back_what_they_were() {
        let id = FilterId("web".to_owned());
        let rules = ["sql", "", "what ä rule"];
        let octets = encode_filter_names(&id, rules.into_iter());
        let padded = [&octets[..], &[0; 100]].concat();
        let rules: Vec<String> = rules.map(str::to_owned).into();
        assert_eq!(decode_filter_names(&padded), Some((id, rules)));
        for short in 0..octets.len() {
            assert_eq!(decode_filter_names(&octets[..short]), None, "{short}");
        }
        assert_eq!(decode_filter_names(&[0; 100]), None);
        assert_eq!(decode_filter_names(&[0xff; 100]), None);
    }

    #[test]
    fn host_interfaces_are_short_stable_and_apart() {
        let name = host_interface("node-1", &"database/db-1".into());
        assert_eq!(name.len(), 15);
        assert_eq!(name, host_interface("node-1", &"database/db-1".into()));
        assert_ne!(name, host_interface("node-2", &"database/db-1".into()));
        assert_ne!(name, host_interface("node-1", &"database/db-2".into()));
    }
}
