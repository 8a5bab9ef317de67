//! The file with the keys of TCP-AO (RFC 5925) that `ao-keys` names.

use std::{cell::RefCell, fs, path::Path};

use toml::de::DeTable;

use crate::{
    ConfigError,
    options::{AoAlgorithm, KeyId},
    places::Places,
    read::syntax,
    table::Table,
};

/// `[key.NAME]`: one master key.
#[derive(Clone, PartialEq, Eq)]
pub struct AoKey {
    /// Stands in what we send.
    pub send_id: u8,
    /// Stands in what the peer sends.
    pub receive_id: u8,
    pub algorithm: AoAlgorithm,
    /// 1 to 80 octets.
    pub secret: String,
    /// Whether other TCP options are left out of the signature.
    pub exclude_options: bool,
}

/// Reads the keys, by name: the first one signs what is sent first.
///
/// # Errors
///
/// The first mistake, with its line but not with what stands there.
pub fn ao_keys(path: &Path) -> Result<Vec<AoKey>, ConfigError> {
    // An error is logged, and the line may hold a secret.
    parse(path).map_err(|error| ConfigError { excerpt: String::new(), other: None, ..error })
}

fn parse(path: &Path) -> Result<Vec<AoKey>, ConfigError> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| ConfigError::whole_file(&shown, format!("cannot be read: {error}")))?;
    let document = DeTable::parse(&text).map_err(|error| {
        let at = error.span().unwrap_or_default().start;
        ConfigError::at(&shown, &text, at, syntax(&error))
    })?;
    let mut places = Places::default();
    let source = places.add_source(shown, text.clone());
    let places = RefCell::new(places);
    let mut root = Table::new(&places, source, String::new(), document.get_ref());
    root.only(&["key"])?;
    let mut keys = Vec::new();
    for (name, mut table) in root.named("key")? {
        table.only(&["send-id", "receive-id", "algorithm", "secret", "exclude-options"])?;
        let secret: String = table.required("secret", "\"...\"")?;
        if !(1..=80).contains(&secret.len()) {
            return Err(table.error("secret", "a secret has 1 to 80 octets"));
        }
        let KeyId(send_id) = table.required("send-id", "1")?;
        let KeyId(receive_id) = table.required("receive-id", "1")?;
        let key = AoKey {
            send_id,
            receive_id,
            algorithm: table.optional("algorithm")?.unwrap_or(AoAlgorithm::HmacSha1),
            secret,
            exclude_options: table.optional("exclude-options")?.unwrap_or_default(),
        };
        if keys
            .iter()
            .any(|other: &AoKey| other.send_id == send_id || other.receive_id == receive_id)
        {
            let message = format!("key `{name}` has an identifier of another one; give it its own");
            return Err(table.error("send-id", message));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        let message = "there is no key; write [key.first] with send-id, receive-id and secret";
        return Err(places.into_inner().error_in_whole(message));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<AoKey>, ConfigError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mx1.keys");
        fs::write(&path, text).expect("the file");
        ao_keys(&path)
    }

    #[test]
    fn keys_come_in_the_order_of_their_names() {
        let text = "[key.b]\nsend-id = 2\nreceive-id = 3\nsecret = \"two\"\nalgorithm = \
                    \"hmac-sha-256\"\nexclude-options = true\n[key.a]\nsend-id = 0\nreceive-id = \
                    255\nsecret = \"one\"\n";
        let keys = read(text).map_err(|error| error.to_string()).expect("two keys");
        let ids: Vec<_> = keys.iter().map(|key| (key.send_id, key.receive_id)).collect();
        assert_eq!(ids, [(0, 255), (2, 3)]);
        assert_eq!((keys[0].algorithm, keys[0].exclude_options), (AoAlgorithm::HmacSha1, false));
        assert_eq!((keys[1].algorithm, keys[1].exclude_options), (AoAlgorithm::HmacSha256, true));
        assert_eq!(keys[1].secret, "two");
    }

    #[test]
    fn a_mistake_is_told_without_the_secret() {
        let texts = [
            "[key.a]\nsend-id = 1\nreceive-id = 1\nsecret = \"hidden\" x\n",
            "[key.a]\nsend-id = 1\nreceive-id = 1\nsecret = [\"hidden\"]\n",
            "[key.a]\nsend-id = 256\nreceive-id = 1\nsecret = \"hidden\"\n",
            "[key.a]\nsend-id = 1\nreceive-id = 1\nsecret = \"\"\n",
            "[key.a]\nsend-id = 1\nreceive-id = 1\nsecret = \"hidden\"\n[key.b]\nsend-id = 1\n\
             receive-id = 2\nsecret = \"hidden\"\n",
            "",
        ];
        for text in texts {
            let error = read(text).map(|keys| keys.len()).expect_err(text).to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }
}
