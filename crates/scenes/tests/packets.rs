//! Packets as text, as octets and back.

use dataplane::Mac;
use dataplane_scenes::packet::{Bindings, Frame, Ip, Macs};
use proptest::prelude::*;

const MACS: Macs = Macs { from: Mac([2, 0, 0, 0, 0, 1]), to: Mac([2, 0, 0, 0, 0, 2]) };

/// One of each kind, in the form that is printed.
const TEXTS: [&str; 29] = [
    "10.0.1.2:4000 > 10.0.2.2:80 tcp S mss 1460 ttl 64",
    "10.0.1.2:4000 > 10.0.2.2:80 tcp PA len 100 ttl 1 tos 0xb8 ipid 7 df",
    "[2001:db8::1]:4000 > [2001:db8::2]:80 tcp FA badsum",
    "10.0.1.2:4000 > 10.0.2.2:53 udp",
    "10.0.1.2:4000 > 10.0.2.2:53 udp len 0 nosum",
    "[2001:db8::1]:4000 > [2001:db8::2]:53 udp len 9 ttl 3",
    "10.0.1.2:4000 > 10.0.2.2:53 udp len 64 mf",
    "[2001:db8::1]:4000 > [2001:db8::2]:53 udp len 64 ipid 9 mf",
    "10.0.1.2 > 10.0.2.2 proto 17 len 64 ipid 9 frag 126",
    "2001:db8::1 > 2001:db8::2 proto 17 len 64 ipid 9 mf frag 126",
    "10.0.1.2 > 10.0.2.2 echo id 7 seq 3",
    "2001:db8::1 > 2001:db8::2 reply id 7 seq 3 len 56 ttl 9",
    "10.0.1.1 > 10.0.1.2 icmp 3/4 mtu 1372 { 10.0.1.2:4000 > 10.0.2.2:80 tcp A df }",
    "2001:db8::1 > 2001:db8::2 icmp 2/0 mtu 1280 { [2001:db8::2]:9 > [2001:db8::3]:53 udp }",
    "fe80::2 > ff02::1:ff00:1 ns 2001:db8::1 ttl 255",
    "2001:db8::1 > fe80::2 na 2001:db8::1 00:00:5e:00:01:00 ttl 255",
    "2001:db8::1 > fe80::2 na 2001:db8::1 00:00:5e:00:01:00 router ttl 255",
    "fe80::2 > ff02::2 icmp 133/0 ttl 255",
    "10.0.1.2 > 10.0.2.2 proto 132 len 60",
    "192.0.2.1 > 192.0.2.2 gre mpls 200/63 { 10.0.1.2 > 10.0.2.2 echo id 7 ttl 63 } ",
    "192.0.2.1:50000 > 192.0.2.2:6635 udp mpls 16 mpls 17 { 10.0.1.2:1 > 10.0.2.2:2 udp }",
    "[2001:db8::1]:50000 > [2001:db8::2]:4789 udp vxlan 5000 eth 02:00:00:00:00:01 > \
     02:00:00:00:00:02 { 10.0.1.2:1 > 10.0.2.2:2 tcp A }",
    "192.0.2.1 > 192.0.2.2 gre { 10.0.1.2:1 > 10.0.2.2:2 udp }",
    "eth 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff arp who-has 10.0.1.1 tell 10.0.1.2",
    "arp 10.0.1.1 is-at 00:00:5e:00:01:00",
    "vlan 100 10.0.1.2:4000 > 10.0.2.2:53 udp",
    "10.0.1.2:4000 > 10.0.2.2:80 tcp S ttl 64 opts 94040000",
    "[2001:db8::1]:4000 > [2001:db8::2]:53 udp ttl 64 ext 0,60",
    "2001:db8::1 > 2001:db8::2 proto 17 len 64 ipid 9 mf frag 126 ext 43",
];

#[test]
fn a_packet_reads_back_what_it_prints() {
    for text in TEXTS {
        let packet: Frame = text.parse().expect(text);
        assert_eq!(packet.to_string(), text.trim());
    }
}

#[test]
fn what_is_sent_is_what_is_expected_to_be_seen() {
    for text in TEXTS {
        let packet: Frame = text.parse().expect(text);
        let octets = packet.octets(MACS);
        let seen = Frame::read(&octets).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert!(packet.matches(&seen, |macs| macs == MACS, &mut Bindings::new()), "{text}\n{seen}");
        let again = seen.octets(MACS);
        let reread = Frame::read(&again).unwrap_or_else(|why| panic!("{seen}: {why}"));
        assert!(
            packet.matches(&reread, |macs| macs == MACS, &mut Bindings::new()),
            "{text}\n{reread}"
        );
    }
}

#[test]
fn what_differs_does_not_match() {
    let cases = [
        ("10.0.1.2:1 > 10.0.2.2:2 tcp S", "10.0.1.2:1 > 10.0.2.2:2 tcp SA"),
        ("10.0.1.2:1 > 10.0.2.2:2 tcp S", "10.0.1.2:1 > 10.0.2.2:3 tcp S"),
        ("10.0.1.2:1 > 10.0.2.2:2 udp", "10.0.1.2:1 > 10.0.2.2:2 udp len 9"),
        ("10.0.1.2:1 > 10.0.2.2:2 udp", "10.0.1.2:1 > 10.0.2.2:2 udp nosum"),
        ("10.0.1.2:1 > 10.0.2.2:2 udp", "10.0.1.2:1 > 10.0.2.2:2 udp badsum"),
        ("10.0.1.2:1 > 10.0.2.2:2 udp ttl 63", "10.0.1.2:1 > 10.0.2.2:2 udp ttl 64"),
        (
            "1.0.0.1 > 1.0.0.2 gre mpls 99 { 10.0.1.2 > 10.0.2.2 echo }",
            "1.0.0.1 > 1.0.0.2 gre mpls 98 { 10.0.1.2 > 10.0.2.2 echo }",
        ),
        (
            "1.0.0.1 > 1.0.0.2 gre mpls 99 { 10.0.1.2 > 10.0.2.2 echo }",
            "1.0.0.1 > 1.0.0.2 gre mpls 99 { 10.0.1.2 > 10.0.2.3 echo }",
        ),
        (
            "1.0.0.1 > 1.0.0.2:4789 udp vxlan 9 { 10.0.1.2 > 10.0.2.2 echo }",
            "1.0.0.1:1024 > 1.0.0.2:4789 udp vxlan 9 { 10.0.1.2 > 10.0.2.2 echo }",
        ),
    ];
    for (expected, sent) in cases {
        let (expected, sent): (Ip, Ip) =
            (expected.parse().expect(expected), sent.parse().expect(sent));
        let seen = Ip::read(&sent.octets()).expect("readable");
        assert!(!expected.matches(&seen, &mut Bindings::new()), "{expected}\n{seen}");
    }
}

#[test]
fn a_name_is_one_number() {
    let expected: Ip = "10.0.0.1:$p > 10.0.0.2:$p udp".parse().expect("a packet");
    let seen = |text: &str| {
        let packet: Ip = text.parse().expect(text);
        Ip::read(&packet.octets()).expect("readable")
    };
    let mut bindings = Bindings::new();
    assert!(!expected.matches(&seen("10.0.0.1:1 > 10.0.0.2:2 udp"), &mut bindings));
    bindings.clear();
    assert!(expected.matches(&seen("10.0.0.1:7 > 10.0.0.2:7 udp"), &mut bindings));
    assert_eq!(bindings.get("p"), Some(&7));
    let mut sent = expected.clone();
    sent.bind(&bindings);
    assert_eq!(sent.to_string(), "10.0.0.1:7 > 10.0.0.2:7 udp");
}

#[test]
fn what_is_no_packet_says_why() {
    for (text, why) in [
        ("", "too early"),
        ("10.0.0.1 > 10.0.0.2 sctp", "no protocol"),
        ("10.0.0.1 > 2001:db8::1 echo", "two versions"),
        ("10.0.0.1:7 > 10.0.0.2 echo", "no ports"),
        ("10.0.0.1 > 10.0.0.2 echo ttl 256", "fits"),
        ("10.0.0.1:1 > 10.0.0.2:2 tcp X", "no flag"),
        ("10.0.0.1:1 > 10.0.0.2:2 tcp S }", "too many"),
        ("10.0.0.1 > 10.0.0.2 gre mpls 5 { 10.0.0.1 > 10.0.0.2 echo", "too early"),
    ] {
        let error = text.parse::<Ip>().expect_err(text).to_string();
        assert!(error.contains(why), "{error}");
    }
}

proptest! {
    /// Whatever comes out of a plane is read or refused, never a panic.
    #[test]
    fn any_octets_are_read_or_refused(
        which in 0..TEXTS.len(), at in any::<prop::sample::Index>(), octet in any::<u8>(),
        end in any::<prop::sample::Index>(),
    ) {
        let packet: Frame = TEXTS[which].parse().expect("a packet");
        let mut octets = packet.octets(MACS);
        let at = at.index(octets.len());
        octets[at] = octet;
        octets.truncate(1 + end.index(octets.len()));
        if let Ok(seen) = Frame::read(&octets) {
            prop_assert!(!seen.to_string().is_empty());
        }
    }
}
