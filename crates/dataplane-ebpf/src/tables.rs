//! The pinned maps, typed.

use std::borrow::BorrowMut;

use aya::maps::lpm_trie::Key;
use aya::maps::{
    Array, HashMap, IterableMap, LpmTrie, Map, MapData, MapError, MapInfo, PerCpuArray,
    PerCpuHashMap,
};
use aya::{Ebpf, EbpfLoader, Pod};
use dataplane::DataplaneError;

use crate::batch;
use crate::kernel::Kernel;
use crate::layout::{
    Address, Affinity, AffinityKey, Allowed, AllowedKey, Connection, ConnectionKey, Filter,
    FilterName, FilterNameKey, Flow, FlowKey, Fragment, FragmentKey, Group, HostV4, HostV6,
    Identities, Label, NetV4, NetV6, NextHop, Node, Port, PortName, Route, Shares, Traffic,
    Translation, TranslationKey, Uplink, VrfName,
};
use crate::limits;
use crate::options::Sizes;
use crate::pins::Pins;
use crate::resize::Resize;

/// Lists the maps once: a field, its name, and the sizes that a pinned one must have.
macro_rules! maps {
    ($($(#[$attribute:meta])* $name:ident: $kind:ty, $key:expr, $value:expr;)*) => {
        /// All maps of `bpf/maps.h`.
        pub(crate) struct Tables {
            $($(#[$attribute])* pub(crate) $name: $kind,)*
        }

        /// Name and sizes of key and value of every map.
        const SIZES: &[(&str, usize, usize)] = &[$((stringify!($name), $key, $value)),*];

        impl Tables {
            fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
                Ok(Self { $($name: take(ebpf, stringify!($name))?,)* })
            }
        }
    };
}

maps! {
    node: Array<MapData, Node>, 4, size_of::<Node>();
    uplinks: HashMap<MapData, u32, Uplink>, 4, size_of::<Uplink>();
    ports: Array<MapData, Port>, 4, size_of::<Port>();
    port_of: HashMap<MapData, u32, u32>, 4, 4;
    paces: Array<MapData, u64>, 4, 8;
    allowed_sources: LpmTrie<MapData, AllowedKey, Allowed>, 4 + size_of::<AllowedKey>(), size_of::<Allowed>();
    probers: HashMap<MapData, Address, u32>, size_of::<Address>(), 4;
    labels: HashMap<MapData, u32, Label>, 4, size_of::<Label>();
    vnis: HashMap<MapData, u32, u32>, 4, 4;
    hosts_v4: HashMap<MapData, HostV4, Route>, size_of::<HostV4>(), size_of::<Route>();
    hosts_v6: HashMap<MapData, HostV6, Route>, size_of::<HostV6>(), size_of::<Route>();
    nets_v4: LpmTrie<MapData, NetV4, Route>, 4 + size_of::<NetV4>(), size_of::<Route>();
    nets_v6: LpmTrie<MapData, NetV6, Route>, 4 + size_of::<NetV6>(), size_of::<Route>();
    identity_sets: HashMap<MapData, u32, Identities>, 4, size_of::<Identities>();
    groups: Array<MapData, Group>, 4, size_of::<Group>();
    group_shares: HashMap<MapData, u32, Shares>, 4, size_of::<Shares>();
    next_hops: Array<MapData, NextHop>, 4, size_of::<NextHop>();
    translations: HashMap<MapData, TranslationKey, Translation>, size_of::<TranslationKey>(), size_of::<Translation>();
    flows: HashMap<MapData, FlowKey, Flow>, size_of::<FlowKey>(), size_of::<Flow>();
    new_flows: HashMap<MapData, FlowKey, Flow>, size_of::<FlowKey>(), size_of::<Flow>();
    #[expect(dead_code, reason = "only the programs read it; its sizes are checked")]
    affinities: HashMap<MapData, AffinityKey, Affinity>, size_of::<AffinityKey>(), size_of::<Affinity>();
    #[expect(dead_code, reason = "only the programs read it; its sizes are checked")]
    fragments: HashMap<MapData, FragmentKey, Fragment>, size_of::<FragmentKey>(), size_of::<Fragment>();
    drops: PerCpuArray<MapData, u64>, 4, 8;
    port_traffic: PerCpuArray<MapData, Traffic>, 4, size_of::<Traffic>();
    vrf_traffic: PerCpuArray<MapData, Traffic>, 4, size_of::<Traffic>();
    tunnel_traffic: PerCpuHashMap<MapData, Address, Traffic>, size_of::<Address>(), size_of::<Traffic>();
    filters: HashMap<MapData, u32, Filter>, 4, size_of::<Filter>();
    filter_revisions: Array<MapData, u32>, 4, 4;
    rule_counts: PerCpuArray<MapData, u64>, 4, 8;
    connections: HashMap<MapData, ConnectionKey, Connection>, size_of::<ConnectionKey>(), size_of::<Connection>();
    new_connections: HashMap<MapData, ConnectionKey, Connection>, size_of::<ConnectionKey>(), size_of::<Connection>();
    port_names: HashMap<MapData, u32, PortName>, 4, size_of::<PortName>();
    vrf_names: HashMap<MapData, u32, VrfName>, 4, size_of::<VrfName>();
    filter_names: HashMap<MapData, FilterNameKey, FilterName>, size_of::<FilterNameKey>(), size_of::<FilterName>();
}

/// Opens the pinned maps, or makes and pins them, and loads the programs' code against them.
///
/// The flag says whether the maps were there; what of them has another size now is filled, and has to be
/// [finished](Resize::finish) when the programs are in place.
pub(crate) fn open(
    pins: &Pins,
    sizes: &Sizes,
    kernel: Kernel,
    object: &[u8],
) -> Result<(Ebpf, Tables, bool, Resize), DataplaneError> {
    let found = check_pinned(pins)?;
    let resize = Resize::begin(pins, sizes)?;
    let made = make(pins, sizes, kernel, object).and_then(|made| resize.fill().map(|()| made));
    match made {
        Ok((ebpf, tables)) => Ok((ebpf, tables, found, resize)),
        Err(error) => {
            resize.undo();
            Err(error)
        }
    }
}

fn make(
    pins: &Pins,
    sizes: &Sizes,
    kernel: Kernel,
    object: &[u8],
) -> Result<(Ebpf, Tables), DataplaneError> {
    let mut loader = EbpfLoader::new();
    for (name, limit) in limits::entries(sizes) {
        loader.map_max_entries(name, limit);
    }
    let turns_versions = u8::from(kernel.turns_versions);
    loader.override_global("kernel_turns_versions", &turns_versions, true);
    let mut ebpf = loader
        .default_map_pin_directory(pins.maps())
        .load(object)
        .map_err(|error| DataplaneError::because("cannot make the eBPF maps", error))?;
    let tables = Tables::take(&mut ebpf)?;
    Ok((ebpf, tables))
}

/// Loads other code against the maps that are pinned.
pub(crate) fn open_tracer<T>(
    pins: &Pins,
    kernel: Kernel,
    open: impl FnOnce(&mut EbpfLoader<'_>) -> Result<T, DataplaneError>,
) -> Result<T, DataplaneError> {
    let turns_versions = u8::from(kernel.turns_versions);
    let mut loader = EbpfLoader::new();
    loader.override_global("kernel_turns_versions", &turns_versions, true);
    loader.default_map_pin_directory(pins.maps());
    open(&mut loader)
}

/// aya takes a pinned map as it is. One of another shape would be read past its end.
fn check_pinned(pins: &Pins) -> Result<bool, DataplaneError> {
    let mut found = 0;
    for &(name, key, value) in SIZES {
        let aside = MapInfo::from_pin(pins.old_maps().join(name));
        let Ok(info) = aside.or_else(|_| MapInfo::from_pin(pins.maps().join(name))) else {
            continue;
        };
        if (info.key_size() as usize, info.value_size() as usize) != (key, value) {
            return Err(DataplaneError::new(format!(
                "the pinned map {name} has another layout than this program; purge the plane first"
            )));
        }
        found += 1;
    }
    Ok(found == SIZES.len())
}

pub(crate) fn take<T>(ebpf: &mut Ebpf, name: &str) -> Result<T, DataplaneError>
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

fn put_failed(map: &MapData, what: &str, error: MapError) -> DataplaneError {
    let full = match &error {
        MapError::SyscallError(error) if limits::is_full(&error.io_error) => {
            limits::full_map(what, map)
        }
        _ => None,
    };
    full.unwrap_or_else(|| failed("put", what, error))
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
        self.insert(key, value, 0).map_err(|error| put_failed(self.map(), what, error))
    }

    fn delete(&mut self, key: &K, what: &str) -> Result<(), DataplaneError> {
        absent_is_removed(self.remove(key)).map_err(|error| failed("remove", what, error))
    }

    fn all(&self) -> Result<Vec<(K, V)>, DataplaneError> {
        batch::all(self.map()).map_err(|error| DataplaneError::because("cannot read a map", error))
    }
}

impl<T: BorrowMut<MapData>, K: Pod, V: Pod> Entry<Key<K>, V> for LpmTrie<T, K, V> {
    fn put(&mut self, key: Key<K>, value: V, what: &str) -> Result<(), DataplaneError> {
        self.insert(&key, value, 0).map_err(|error| put_failed(self.map(), what, error))
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
