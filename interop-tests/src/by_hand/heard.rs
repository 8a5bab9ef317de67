//! What a peer of the daemon was told, taken apart without the codec of the daemon.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

use super::octets::{EVPN, Family, IPV4, KEEPALIVE, ROUTE_REFRESH, UPDATE, VPNV4, VPNV6};

/// A destination: its family, the path identifier (0 where there is none), and the octets of the
/// route that make its key, without label.
pub type Key = (Family, u32, Vec<u8>);

/// Attributes by code: flags, without that of the long length, and value.
pub type Attributes = BTreeMap<u8, (u8, Vec<u8>)>;

/// One route as it was told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// As octets of MP_REACH_NLRI or NEXT_HOP.
    pub next_hop: Vec<u8>,
    /// The octets of the route, length and label included.
    pub nlri: Vec<u8>,
    /// Without MP_REACH_NLRI, MP_UNREACH_NLRI and NEXT_HOP.
    pub attributes: Attributes,
    /// Which UPDATE of the session it was, counted from 1.
    pub update: u64,
}

impl Told {
    pub fn value(&self, code: u8) -> Option<&[u8]> {
        self.attributes.get(&code).map(|(_, value)| &value[..])
    }
}

/// All that was told.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    pub routes: BTreeMap<Key, Told>,
    /// How many of them each family has.
    counts: BTreeMap<Family, usize>,
    /// How often each route was announced, also those that are gone.
    pub announced: BTreeMap<Key, u32>,
    pub withdrawn: BTreeMap<Key, u32>,
    /// End-of-RIB marks: after how many UPDATEs each came.
    pub ends: Vec<(Family, u64)>,
    /// ROUTE-REFRESH messages: family and subtype, and after how many UPDATEs.
    pub refreshes: Vec<(Family, u8, u64)>,
    pub keepalives: u64,
    pub updates: u64,
    /// The longest message, header included.
    pub longest: usize,
    /// Families in which routes have path identifiers.
    pub add_path: Vec<Family>,
}

impl Heard {
    pub fn get(&self, key: &Key) -> Option<&Told> {
        self.routes.get(key)
    }

    /// Routes of one family.
    pub fn count(&self, family: Family) -> usize {
        self.counts.get(&family).copied().unwrap_or_default()
    }

    pub fn has_end(&self, family: Family) -> bool {
        self.ends.iter().any(|(ended, _)| *ended == family)
    }

    /// Takes a message.
    pub fn message(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        match (kind, body) {
            (UPDATE, body) => {
                self.update(body).with_context(|| format!("UPDATE {body:02x?}"))?;
            }
            (KEEPALIVE, []) => self.keepalives += 1,
            (ROUTE_REFRESH, [high, low, subtype, safi]) => {
                let family = (u16::from_be_bytes([*high, *low]), *safi);
                self.refreshes.push((family, *subtype, self.updates));
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes the body of an UPDATE.
    fn update(&mut self, body: &[u8]) -> Result<()> {
        self.updates += 1;
        let (withdrawn, rest) = sized(body).context("withdrawn routes")?;
        let (mut attributes, nlri) = sized(rest).context("attributes")?;
        let mut found = Attributes::new();
        let (mut reached, mut unreached) = (None, None);
        let mut order = Vec::new();
        while let [flags, code, rest @ ..] = attributes {
            let (value, rest) = if flags & 0x10 == 0 {
                let (length, rest) = rest.split_first().context("a length")?;
                rest.split_at_checked(usize::from(*length)).context("a short attribute")?
            } else {
                sized(rest).context("a long attribute")?
            };
            attributes = rest;
            order.push(*code);
            match code {
                14 => reached = Some(value),
                15 => unreached = Some(value),
                code => {
                    let twice = found.insert(*code, (flags & !0x10, value.to_vec()));
                    ensure!(twice.is_none(), "attribute {code} is there twice");
                }
            }
        }
        ensure!(attributes.is_empty(), "octets after the attributes");
        if withdrawn.is_empty() && nlri.is_empty() && order.is_empty() {
            self.ends.push((IPV4, self.updates));
            return Ok(());
        }
        self.withdraw(IPV4, withdrawn)?;
        if let Some(value) = unreached {
            let (family, routes) = family(value)?;
            if routes.is_empty() && order == [15] {
                self.ends.push((family, self.updates));
            }
            self.withdraw(family, routes)?;
        }
        let classic = found.remove(&3).map(|(_, value)| value);
        if !nlri.is_empty() {
            self.announce(IPV4, nlri, &classic.context("NEXT_HOP")?, &found)?;
        }
        if let Some(value) = reached {
            let (family, rest) = family(value)?;
            let (length, rest) = rest.split_first().context("a next hop")?;
            let (next_hop, rest) =
                rest.split_at_checked(usize::from(*length)).context("a short next hop")?;
            let (_reserved, routes) = rest.split_first().context("a reserved octet")?;
            self.announce(family, routes, next_hop, &found)?;
        }
        Ok(())
    }

    fn announce(
        &mut self,
        family: Family,
        routes: &[u8],
        next_hop: &[u8],
        attributes: &Attributes,
    ) -> Result<()> {
        for (key, nlri) in self.split(family, routes)? {
            *self.announced.entry(key.clone()).or_default() += 1;
            let told = Told {
                next_hop: next_hop.to_vec(),
                nlri,
                attributes: attributes.clone(),
                update: self.updates,
            };
            if self.routes.insert(key, told).is_none() {
                *self.counts.entry(family).or_default() += 1;
            }
        }
        Ok(())
    }

    fn withdraw(&mut self, family: Family, routes: &[u8]) -> Result<()> {
        for (key, _) in self.split(family, routes)? {
            *self.withdrawn.entry(key.clone()).or_default() += 1;
            if self.routes.remove(&key).is_some() {
                *self.counts.entry(family).or_default() -= 1;
            }
        }
        Ok(())
    }

    fn split(&self, family: Family, mut routes: &[u8]) -> Result<Vec<(Key, Vec<u8>)>> {
        let mut found = Vec::new();
        while !routes.is_empty() {
            let mut path = 0;
            if self.add_path.contains(&family) {
                let (id, rest) = routes.split_first_chunk::<4>().context("a path identifier")?;
                (path, routes) = (u32::from_be_bytes(*id), rest);
            }
            let length = if family == EVPN {
                2 + usize::from(*routes.get(1).context("a length")?)
            } else {
                1 + usize::from(routes[0]).div_ceil(8)
            };
            let (nlri, rest) = routes.split_at_checked(length).context("a short route")?;
            routes = rest;
            found.push(((family, path, key_octets(family, nlri)), nlri.to_vec()));
        }
        Ok(found)
    }
}

/// A length of two octets, so many octets, and the rest.
fn sized(octets: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<2>().context("a length of two octets")?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).context("too short")
}

fn family(octets: &[u8]) -> Result<(Family, &[u8])> {
    let [high, low, safi, rest @ ..] = octets else { bail!("a family") };
    Ok(((u16::from_be_bytes([*high, *low]), *safi), rest))
}

/// What of a route tells it from others.
pub fn key_octets(family: Family, nlri: &[u8]) -> Vec<u8> {
    match family {
        // Past the label, which may come with any value.
        VPNV4 | VPNV6 | (1 | 2, 4) => [&nlri[..1], &nlri[4..]].concat(),
        EVPN => match nlri {
            // Past the label.
            [1, _, rest @ ..] if rest.len() == 25 => [&[1], &rest[..22]].concat(),
            // RD, tag, MAC and IP; not ESI and labels.
            [2, _, rest @ ..] if rest.len() >= 33 => {
                let address = usize::from(rest[29]) / 8;
                [&[2], &rest[..8], &rest[18..30 + address]].concat()
            }
            // RD, tag, prefix; not ESI, gateway and label.
            [5, _, rest @ ..] if rest.len() == 34 => {
                [&[5], &rest[..8], &rest[18..22], &rest[22..27]].concat()
            }
            [5, _, rest @ ..] if rest.len() == 58 => {
                [&[5], &rest[..8], &rest[18..22], &rest[22..39]].concat()
            }
            other => other.to_vec(),
        },
        _ => nlri.to_vec(),
    }
}

/// The key of a route without path identifier.
pub fn key(family: Family, nlri: &[u8]) -> Key {
    (family, 0, key_octets(family, nlri))
}
