//! The law of the codec: what was read, written and read again says the same. Used by tests and by
//! the fuzz targets.

use std::collections::BTreeMap;

use bgp_wire::{AfiSafi, Message, Negotiated, NextHop, Update, for_each_family, frame};

pub(crate) mod targets;

/// A peer in our own AS, with which stacks of labels were agreed on.
pub(crate) fn internal() -> Negotiated {
    let all = Negotiated::everything();
    let labels = all.families.iter().map(|family| (*family, u8::MAX)).collect();
    Negotiated { labels, ..all }
}

pub(crate) fn external() -> Negotiated {
    Negotiated { internal: false, ..internal() }
}

/// Externally only: where segments of confederations stand in a path, its AS4_PATH cannot say.
pub(crate) fn two_octet_as() -> Negotiated {
    Negotiated { four_octet_as: false, ..external() }
}

pub(crate) fn add_path() -> Negotiated {
    let families = internal().families;
    Negotiated { add_path_receive: families.clone(), add_path_send: families, ..internal() }
}

/// Reads `octets` as one message of every sort of peer, and holds what could be read to the law.
///
/// # Panics
/// If the law is broken.
pub(crate) fn check(octets: &[u8]) {
    for negotiated in [two_octet_as(), add_path(), internal(), external()] {
        check_from(octets, &negotiated);
    }
}

/// [`check`] of one sort of peer.
pub(crate) fn check_from(octets: &[u8], negotiated: &Negotiated) {
    // Where they were not, other stacks are found, and not all of them may be told again.
    let without_stacks = Negotiated { labels: Vec::new(), ..negotiated.clone() };
    if let Err(error) = Message::decode(octets, &without_stacks) {
        assert!(error.offset <= octets.len(), "{error}");
    }
    match Message::decode(octets, negotiated) {
        Ok(message) => check_message(message, negotiated),
        Err(error) => {
            assert!(error.offset <= octets.len(), "{error}");
            let notification = error.notification_for(octets);
            assert!(notification.data.len() <= octets.len(), "{error}, {notification}");
        }
    }
}

fn check_message(message: Message, negotiated: &Negotiated) {
    let mut octets = Vec::new();
    message.encode(negotiated, &mut octets);
    let again = split(&octets, negotiated);
    match message {
        Message::Update(update) => {
            let updates = again.into_iter().map(|message| match message {
                Message::Update(update) => update,
                other => unreachable!("an UPDATE became {other:?}"),
            });
            assert_eq!(Said::by(updates), Said::by([without_faults(update)]));
        }
        message => assert_eq!(again, [message]),
    }
}

fn without_faults(update: Update) -> Update {
    Update { faults: Vec::new(), ..update }
}

/// The messages that our own `octets` consist of.
pub(crate) fn split(mut octets: &[u8], negotiated: &Negotiated) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(length) =
        frame::length(octets, negotiated.max_message()).expect("our own header")
    {
        let (message, rest) = octets.split_at(length);
        messages.push(Message::decode(message, negotiated).expect("our own octets"));
        octets = rest;
    }
    assert!(octets.is_empty(), "a whole number of messages");
    messages
}

/// What updates say, however it is spread over messages.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Said {
    withdrawn: BTreeMap<AfiSafi, Vec<String>>,
    announced: BTreeMap<(NextHop, AfiSafi), Vec<String>>,
    attributes: Vec<String>,
    end_of_rib: Vec<AfiSafi>,
    faults: Vec<String>,
}

impl Said {
    pub(crate) fn by(updates: impl IntoIterator<Item = Update>) -> Self {
        let mut said = Self::default();
        for update in updates {
            for list in &update.withdrawn {
                let texts = for_each_family!(Withdrawals, list, list => texts(list));
                said.withdrawn.entry(list.family()).or_default().extend(texts);
            }
            for (next_hop, list) in &update.announced {
                let texts = for_each_family!(Routes, list, list => texts(list));
                said.announced.entry((*next_hop, list.family())).or_default().extend(texts);
                let attributes = format!("{:?}", update.attributes);
                if said.attributes.last() != Some(&attributes) {
                    said.attributes.push(attributes);
                }
            }
            said.end_of_rib.extend(update.end_of_rib);
            said.faults.extend(update.faults.iter().map(ToString::to_string));
        }
        said
    }
}

fn texts<T: std::fmt::Debug>(list: &[T]) -> Vec<String> {
    list.iter().map(|route| format!("{route:?}")).collect()
}
