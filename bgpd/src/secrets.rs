//! The keys of sessions that are signed: read from files of this machine, which nobody else may read.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use arcus_config::{AoAlgorithm, BfdAuth, BfdKey, FilePath, PeerSpec};
use bfd::{AuthKey, AuthType};
use bgp_peer::{AoKey, AoKeys, Secret, Security};

/// Longest key that TCP-MD5 takes, in octets.
const LONGEST: usize = 80;

/// The keys of all peers, by the file that they stand in.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    passwords: BTreeMap<FilePath, Secret>,
    keys: BTreeMap<FilePath, AoKeys>,
    /// Of BFD.
    paths: BTreeMap<BfdKey, Arc<AuthKey>>,
}

impl Secrets {
    /// Reads the files that these entries name.
    ///
    /// # Errors
    /// Which file of which peer cannot be used, why, and what to do about it.
    pub(crate) fn read(peers: &[Arc<PeerSpec>]) -> Result<Self, String> {
        let mut secrets = Self::default();
        for peer in peers {
            let said = |error: String| format!("peer `{}`: {error}", peer.name);
            if let Some(file) = &peer.options.password_file {
                let password = password(file.as_ref()).map_err(said)?;
                secrets.passwords.insert(file.clone(), password);
            }
            if let Some(file) = &peer.options.ao_keys {
                let keys = ao_keys(file.as_ref()).map_err(said)?;
                secrets.keys.insert(file.clone(), keys);
            }
            if let Some(key) = peer.options.bfd.as_ref().and_then(|bfd| bfd.key.as_ref()) {
                let secret = bfd_key(key).map_err(said)?;
                secrets.paths.insert(key.clone(), Arc::new(secret));
            }
        }
        Ok(secrets)
    }

    /// What keeps strangers from the session with this peer.
    pub(crate) fn security(&self, peer: &PeerSpec) -> Security {
        let options = &peer.options;
        Security {
            md5: options.password_file.as_ref().and_then(|file| self.passwords.get(file)).cloned(),
            ao: options.ao_keys.as_ref().and_then(|file| self.keys.get(file)).cloned(),
            ttl_security: options.ttl_security,
        }
    }

    /// What packets of BFD to this peer are signed with.
    pub(crate) fn path(&self, peer: &PeerSpec) -> Option<Arc<AuthKey>> {
        self.paths.get(peer.options.bfd.as_ref()?.key.as_ref()?).cloned()
    }
}

fn password(path: &Path) -> Result<Secret, String> {
    let line = line(path)?;
    if !(1..=LONGEST).contains(&line.len()) {
        return Err(unusable(path, format!("a password has 1 to {LONGEST} octets")));
    }
    Ok(Secret::new(line))
}

fn bfd_key(key: &BfdKey) -> Result<AuthKey, String> {
    let path = key.file.as_ref();
    let kind = match key.auth {
        BfdAuth::Password => AuthType::Password,
        BfdAuth::Md5 => AuthType::Md5,
        BfdAuth::MeticulousMd5 => AuthType::MeticulousMd5,
        BfdAuth::Sha1 => AuthType::Sha1,
        BfdAuth::MeticulousSha1 => AuthType::MeticulousSha1,
    };
    AuthKey::new(kind, key.id, &line(path)?).map_err(|error| unusable(path, error))
}

/// The one line of a file.
fn line(path: &Path) -> Result<Vec<u8>, String> {
    is_secret(path)?;
    let octets = fs::read(path).map_err(|error| unusable(path, error))?;
    let line = octets.strip_suffix(b"\n").unwrap_or(&octets);
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

fn ao_keys(path: &Path) -> Result<AoKeys, String> {
    is_secret(path)?;
    let keys = arcus_config::ao_keys(path).map_err(|error| error.to_string())?;
    let keys: Vec<AoKey> = keys
        .into_iter()
        .map(|key| AoKey {
            send_id: key.send_id,
            receive_id: key.receive_id,
            algorithm: match key.algorithm {
                AoAlgorithm::HmacSha1 => bgp_peer::AoAlgorithm::HmacSha1,
                AoAlgorithm::AesCmac => bgp_peer::AoAlgorithm::AesCmac,
                AoAlgorithm::HmacSha256 => bgp_peer::AoAlgorithm::HmacSha256,
            },
            secret: Secret::new(key.secret.into_bytes()),
            exclude_options: key.exclude_options,
        })
        .collect();
    AoKeys::new(keys).ok_or_else(|| unusable(path, "there is no key"))
}

/// Refuses a file that others of the machine may read.
fn is_secret(path: &Path) -> Result<(), String> {
    let mode = fs::metadata(path).map_err(|error| unusable(path, error))?.mode() & 0o777;
    let others = mode % 0o100;
    if others == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err(format!("{shown} has mode {mode:04o}, so others may read it; run `chmod 0600 {shown}`"))
}

fn unusable(path: &Path, error: impl Display) -> String {
    format!("{} cannot be used: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(octets: &[u8], mode: u32) -> Result<Secret, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mx1.password");
        fs::write(&path, octets).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        password(&path)
    }

    #[test]
    fn a_password_is_the_line_of_its_file() {
        for octets in [&b"pass1234"[..], b"pass1234\n", b"pass1234\r\n"] {
            assert_eq!(read(octets, 0o600), Ok(Secret::new(*b"pass1234")));
        }
        assert!(read(b"\n", 0o600).unwrap_err().contains("1 to 80 octets"));
        assert!(read(&[b'x'; 81], 0o600).unwrap_err().contains("1 to 80 octets"));
    }

    #[test]
    fn a_password_that_others_may_read_is_none() {
        for mode in [0o640, 0o604, 0o644] {
            let error = read(b"pass1234", mode).unwrap_err();
            assert!(error.contains("run `chmod 0600"), "{error}");
            assert!(!error.contains("pass1234"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = password(Path::new("/nowhere/mx1.password")).unwrap_err();
        assert!(error.starts_with("/nowhere/mx1.password cannot be used: "), "{error}");
    }
}
