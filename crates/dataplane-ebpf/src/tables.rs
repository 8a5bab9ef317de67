//! The pinned maps, typed.

use std::borrow::BorrowMut;

use aya::maps::lpm_trie::Key;
use aya::maps::{
    Array, HashMap, IterableMap, LpmTrie, Map, MapData, MapError, MapInfo, PerCpuArray,
    PerCpuHashMap,
};
use aya::{Ebpf, EbpfLoader, Pod};
use dataplane::DataplaneError;

use crate::layout::{
    Be32, Flow, FlowKey, Group, HostKey, NetKey, NextHop, Node, Port, PortName, Traffic,
    Translation, TranslationKey, Uplink, VrfName,
};
use crate::options::Sizes;
use crate::pins::Pins;

/// All maps of `bpf/maps.h`.
pub(crate) struct Tables {
    pub(crate) node: Array<MapData, Node>,
    pub(crate) uplinks: HashMap<MapData, u32, Uplink>,
    pub(crate) ports: Array<MapData, Port>,
    pub(crate) port_of: HashMap<MapData, u32, u32>,
    pub(crate) labels: HashMap<MapData, u32, u32>,
    pub(crate) hosts: HashMap<MapData, HostKey, u32>,
    pub(crate) nets: LpmTrie<MapData, NetKey, u32>,
    pub(crate) groups: Array<MapData, Group>,
    pub(crate) next_hops: Array<MapData, NextHop>,
    pub(crate) translations: HashMap<MapData, TranslationKey, Translation>,
    pub(crate) flows: HashMap<MapData, FlowKey, Flow>,
    pub(crate) drops: PerCpuArray<MapData, u64>,
    pub(crate) port_traffic: PerCpuArray<MapData, Traffic>,
    pub(crate) tunnel_traffic: PerCpuHashMap<MapData, Be32, Traffic>,
    pub(crate) port_names: HashMap<MapData, u32, PortName>,
    pub(crate) vrf_names: HashMap<MapData, u32, VrfName>,
}

/// Name and sizes of key and value of every map.
const SIZES: [(&str, usize, usize); 16] = [
    ("node", 4, size_of::<Node>()),
    ("uplinks", 4, size_of::<Uplink>()),
    ("ports", 4, size_of::<Port>()),
    ("port_of", 4, 4),
    ("labels", 4, 4),
    ("hosts", size_of::<HostKey>(), 4),
    ("nets", 4 + size_of::<NetKey>(), 4),
    ("groups", 4, size_of::<Group>()),
    ("next_hops", 4, size_of::<NextHop>()),
    ("translations", size_of::<TranslationKey>(), size_of::<Translation>()),
    ("flows", size_of::<FlowKey>(), size_of::<Flow>()),
    ("drops", 4, size_of::<u64>()),
    ("port_traffic", 4, size_of::<Traffic>()),
    ("tunnel_traffic", 4, size_of::<Traffic>()),
    ("port_names", 4, size_of::<PortName>()),
    ("vrf_names", 4, size_of::<VrfName>()),
];

/// Opens the pinned maps, or makes and pins them, and loads the programs' code against them.
///
/// The flag says whether the maps were there.
pub(crate) fn open(
    pins: &Pins,
    sizes: &Sizes,
    object: &[u8],
) -> Result<(Ebpf, Tables, bool), DataplaneError> {
    let found = check_pinned(pins)?;
    let mut loader = EbpfLoader::new();
    let limits = [
        ("ports", sizes.ports),
        ("port_of", sizes.ports),
        ("port_traffic", sizes.ports),
        ("port_names", sizes.ports),
        ("labels", sizes.vrfs),
        ("vrf_names", sizes.vrfs),
        ("hosts", sizes.routes),
        ("nets", sizes.routes),
        ("groups", sizes.groups),
        ("next_hops", sizes.next_hops),
        ("translations", sizes.translations),
        ("flows", sizes.flows),
    ];
    for (name, limit) in limits {
        loader.map_max_entries(name, limit.max(1));
    }
    let mut ebpf = loader
        .default_map_pin_directory(pins.maps())
        .load(object)
        .map_err(|error| DataplaneError::because("cannot make the eBPF maps", error))?;
    let tables = Tables::take(&mut ebpf)?;
    Ok((ebpf, tables, found))
}

/// aya takes a pinned map as it is. One of another shape would be read past its end.
fn check_pinned(pins: &Pins) -> Result<bool, DataplaneError> {
    let mut found = 0;
    for (name, key, value) in SIZES {
        let Ok(info) = MapInfo::from_pin(pins.maps().join(name)) else { continue };
        if (info.key_size() as usize, info.value_size() as usize) != (key, value) {
            return Err(DataplaneError::new(format!(
                "the pinned map {name} has another layout than this program; purge the plane first"
            )));
        }
        found += 1;
    }
    Ok(found == SIZES.len())
}

impl Tables {
    fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        Ok(Self {
            node: take(ebpf, "node")?,
            uplinks: take(ebpf, "uplinks")?,
            ports: take(ebpf, "ports")?,
            port_of: take(ebpf, "port_of")?,
            labels: take(ebpf, "labels")?,
            hosts: take(ebpf, "hosts")?,
            nets: take(ebpf, "nets")?,
            groups: take(ebpf, "groups")?,
            next_hops: take(ebpf, "next_hops")?,
            translations: take(ebpf, "translations")?,
            flows: take(ebpf, "flows")?,
            drops: take(ebpf, "drops")?,
            port_traffic: take(ebpf, "port_traffic")?,
            tunnel_traffic: take(ebpf, "tunnel_traffic")?,
            port_names: take(ebpf, "port_names")?,
            vrf_names: take(ebpf, "vrf_names")?,
        })
    }
}

fn take<T>(ebpf: &mut Ebpf, name: &str) -> Result<T, DataplaneError>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = ebpf
        .take_map(name)
        .ok_or_else(|| DataplaneError::new(format!("the eBPF object has no map {name}")))?;
    T::try_from(map).map_err(|error| failed("open the map", name, error))
}

fn failed(what: &str, name: &str, error: MapError) -> DataplaneError {
    DataplaneError::because(format!("cannot {what} {name}"), error)
}

/// The entries of a map. One that is removed meanwhile is left out.
pub(crate) fn entries<K: Pod, V, M: IterableMap<K, V>>(
    map: &M,
    keys: impl Iterator<Item = Result<K, MapError>>,
    get: impl Fn(&M, &K) -> Result<V, MapError>,
) -> Result<Vec<(K, V)>, DataplaneError> {
    let mut found = Vec::new();
    for key in keys {
        let key = key.map_err(|error| DataplaneError::because("cannot read a map", error))?;
        match get(map, &key) {
            Ok(value) => found.push((key, value)),
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(DataplaneError::because("cannot read a map", error)),
        }
    }
    Ok(found)
}

/// What the maps' methods have in common, with errors that say what was tried.
pub(crate) trait Entry<K, V> {
    fn put(&mut self, key: K, value: V, what: &str) -> Result<(), DataplaneError>;

    /// What is not there is removed.
    fn delete(&mut self, key: &K, what: &str) -> Result<(), DataplaneError>;

    fn all(&self) -> Result<Vec<(K, V)>, DataplaneError>;
}

impl<T: BorrowMut<MapData>, K: Pod, V: Pod> Entry<K, V> for HashMap<T, K, V> {
    fn put(&mut self, key: K, value: V, what: &str) -> Result<(), DataplaneError> {
        self.insert(key, value, 0).map_err(|error| failed("put", what, error))
    }

    fn delete(&mut self, key: &K, what: &str) -> Result<(), DataplaneError> {
        absent_is_removed(self.remove(key)).map_err(|error| failed("remove", what, error))
    }

    fn all(&self) -> Result<Vec<(K, V)>, DataplaneError> {
        entries(self, self.keys(), |map, key| map.get(key, 0))
    }
}

impl<T: BorrowMut<MapData>, K: Pod, V: Pod> Entry<Key<K>, V> for LpmTrie<T, K, V> {
    fn put(&mut self, key: Key<K>, value: V, what: &str) -> Result<(), DataplaneError> {
        self.insert(&key, value, 0).map_err(|error| failed("put", what, error))
    }

    fn delete(&mut self, key: &Key<K>, what: &str) -> Result<(), DataplaneError> {
        absent_is_removed(self.remove(key)).map_err(|error| failed("remove", what, error))
    }

    fn all(&self) -> Result<Vec<(Key<K>, V)>, DataplaneError> {
        entries(self, self.keys(), |map, key| map.get(key, 0))
    }
}

fn absent_is_removed(done: Result<(), MapError>) -> Result<(), MapError> {
    match done {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        done => done,
    }
}

/// One element of an array.
pub(crate) trait Element<V> {
    fn read(&self, index: u32, what: &str) -> Result<V, DataplaneError>;
    fn write(&mut self, index: u32, value: V, what: &str) -> Result<(), DataplaneError>;
}

impl<T: BorrowMut<MapData>, V: Pod> Element<V> for Array<T, V> {
    fn read(&self, index: u32, what: &str) -> Result<V, DataplaneError> {
        self.get(&index, 0).map_err(|error| failed("read", what, error))
    }

    fn write(&mut self, index: u32, value: V, what: &str) -> Result<(), DataplaneError> {
        self.set(index, value, 0).map_err(|error| failed("write", what, error))
    }
}
