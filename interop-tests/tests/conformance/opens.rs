//! RFC 4271 §4.2 and §6.2, RFC 5492, 6286, 6793, 7607, 9072: OPEN messages, right and wrong.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail, ensure};

use crate::bed::{Bed, HOME, Seat, Sort};
use crate::cases::{Case, case, run};
use crate::octets::{self, KEEPALIVE, OVERLAY, Open, capability, multiprotocol};
use crate::speaker::{CEILING, Got};

/// What comes of an OPEN.
enum Expect {
    Up,
    /// A NOTIFICATION of code 2 with this subcode, and with data that starts so.
    Refused(u8, Vec<u8>),
}

type Write = Box<dyn Fn(&Bed, Seat) -> Vec<u8> + Send + Sync>;

struct Try {
    name: &'static str,
    sort: Sort,
    open: Write,
    expect: Expect,
}

fn tries() -> Vec<Try> {
    let mut tries = accepted();
    tries.extend(refused());
    tries.extend(parameters());
    tries
}

/// A change to an OPEN that is right.
fn changed(change: impl Fn(Open) -> Open + Send + Sync + 'static) -> Write {
    Box::new(move |_, seat| change(seat.open(&OVERLAY)).octets())
}

fn up(name: &'static str, open: Write) -> Try {
    Try { name, sort: Sort::Client, open, expect: Expect::Up }
}

fn refusal(name: &'static str, open: Write, subcode: u8, data: &[u8]) -> Try {
    Try { name, sort: Sort::Client, open, expect: Expect::Refused(subcode, data.to_vec()) }
}

fn accepted() -> Vec<Try> {
    vec![
        up("as it should be", changed(|open| open)),
        up("no hold time", changed(|open| open.hold(0))),
        up("the shortest hold time", changed(|open| open.hold(3))),
        up("the longest hold time", changed(|open| open.hold(65_535))),
        up(
            "an identifier that is no address of a host",
            changed(|open| Open {
                // RFC 6286 §2.1: any that is not zero.
                id: Ipv4Addr::new(224, 0, 0, 1),
                ..open
            }),
        ),
        up("the highest identifier", changed(|open| Open { id: Ipv4Addr::BROADCAST, ..open })),
        up(
            "AS_TRANS before four octets that are right",
            changed(|open| Open { asn: 23_456, ..open }),
        ),
        // RFC 6793 §4.1: the capability counts in lieu of the two octets.
        up(
            "another AS before four octets that are right",
            changed(|open| Open { asn: 64_513, ..open }),
        ),
        up("two-octet AS numbers only", changed(|open| open.without(65))),
        up("no route refresh", changed(|open| open.without(2))),
        up(
            "unknown capabilities",
            changed(|open| open.and(99, &[1, 2, 3]).and(200, &[]).and(255, &[0; 40])),
        ),
        up(
            "every capability twice",
            changed(|mut open| {
                open.capabilities.extend(open.capabilities.clone());
                open
            }),
        ),
        up(
            "one family of ours and one we do not speak",
            Box::new(|_, seat| {
                seat.open(&[octets::VPNV4, (1, 2), (16_388, 71), (25, 65)]).octets()
            }),
        ),
        up("the capability of old route refresh", changed(|open| open.and(128, &[]))),
        up(
            "dynamic capability, paths limit",
            changed(|open| open.and(67, &[]).and(76, &[0, 1, 128, 0, 5])),
        ),
        up("names in UTF-8", changed(|open| open.and(73, &[4, 0xc3, 0xbc, b'-', b'1', 0]))),
        up("a software version", changed(|open| open.and(75, b"\x08x/1.2-34"))),
        up("outbound route filters", changed(|open| open.and(3, &[0, 1, 0, 1, 1, 64, 3]))),
        up("graceful restart without families", changed(|open| open.and(64, &[0x80, 120]))),
        up(
            "long-lived restart without graceful restart",
            changed(|open| open.and(71, &[0, 1, 128, 0x80, 0, 0, 60])),
        ),
        Try { name: "another AS", sort: Sort::Far, open: changed(|open| open), expect: Expect::Up },
        Try {
            name: "another AS with our identifier",
            sort: Sort::Far,
            // RFC 6286 §2.1: identifiers are unique within an AS only.
            open: Box::new(|bed, seat| Open { id: bed.id(), ..seat.open(&OVERLAY) }.octets()),
            expect: Expect::Up,
        },
    ]
}

fn refused() -> Vec<Try> {
    let four = |asn: u32| changed(move |open| open.without(65).and(65, &asn.to_be_bytes()));
    vec![
        refusal("version 3", changed(|open| Open { version: 3, ..open }), 1, &[0, 4]),
        refusal("version 5", changed(|open| Open { version: 5, ..open }), 1, &[0, 4]),
        refusal("version 0", changed(|open| Open { version: 0, ..open }), 1, &[0, 4]),
        refusal("version 255", changed(|open| Open { version: 255, ..open }), 1, &[0, 4]),
        refusal(
            "the wrong AS",
            Box::new(|_, seat| Open::new(HOME + 1, seat.address, &OVERLAY).octets()),
            2,
            &[],
        ),
        refusal(
            "the wrong AS in two octets only",
            changed(|open| Open { asn: 64_513, ..open }.without(65)),
            2,
            &[],
        ),
        refusal("AS 0", changed(|open| Open { asn: 0, ..open }.without(65)), 2, &[]),
        // RFC 7607 §2.
        refusal(
            "AS 0 before four octets that are right",
            changed(|open| Open { asn: 0, ..open }),
            2,
            &[],
        ),
        refusal(
            "AS_TRANS without four octets",
            changed(|open| Open { asn: 23_456, ..open }.without(65)),
            2,
            &[],
        ),
        refusal("the wrong AS in four octets", four(HOME + 1), 2, &[]),
        refusal("AS 0 in four octets", four(0), 2, &[]),
        refusal(
            "another AS that says it is ours",
            Box::new(|_, seat| Open::new(HOME, seat.address, &OVERLAY).octets()),
            2,
            &[],
        )
        .by(Sort::Far),
        refusal("identifier 0", changed(|open| Open { id: Ipv4Addr::UNSPECIFIED, ..open }), 3, &[]),
        refusal(
            "our identifier in our AS",
            Box::new(|bed, seat| Open { id: bed.id(), ..seat.open(&OVERLAY) }.octets()),
            3,
            &[],
        ),
        refusal(
            "our identifier in our AS, no client",
            Box::new(|bed, seat| Open { id: bed.id(), ..seat.open(&OVERLAY) }.octets()),
            3,
            &[],
        )
        .by(Sort::Sibling),
        refusal("a hold time of 1", changed(|open| open.hold(1)), 6, &[]),
        refusal("a hold time of 2", changed(|open| open.hold(2)), 6, &[]),
        // RFC 5492 §3: the capabilities that are missed are named.
        refusal(
            "no common family",
            Box::new(|_, seat| seat.open(&[(1, 2), (25, 65)]).octets()),
            7,
            &[1, 4],
        ),
        refusal("no family", Box::new(|_, seat| seat.open(&[]).octets()), 7, &[1, 4]),
        refusal(
            "no capability at all",
            Box::new(|_, seat| Open { capabilities: vec![], ..seat.open(&[]) }.octets()),
            7,
            &[1, 4],
        ),
    ]
}

/// A length of one octet.
fn short(length: usize) -> u8 {
    u8::try_from(length).expect("a short list")
}

/// How capabilities are put into optional parameters.
fn parameters() -> Vec<Try> {
    let each_alone = |open: &Open| -> Vec<u8> {
        open.capabilities
            .iter()
            .flat_map(|capability| [&[2, short(capability.len())], &capability[..]].concat())
            .collect()
    };
    let long = |kind: u8, open: &Open, capabilities: &[u8]| {
        let parameter = [&[2], &octets::be16(capabilities.len())[..], capabilities].concat();
        let tail = [&[kind], &octets::be16(parameter.len())[..], &parameter].concat();
        open.with_tail(255, &tail)
    };
    let write = |write: fn(&Open) -> Vec<u8>| -> Write {
        Box::new(move |_, seat| write(&seat.open(&OVERLAY)))
    };
    vec![
        up(
            "a parameter for each capability",
            Box::new(move |_, seat| {
                let open = seat.open(&OVERLAY);
                open.with_parameters(&each_alone(&open))
            }),
        ),
        up(
            "an empty parameter before",
            write(|open| {
                let all = open.capabilities.concat();
                open.with_parameters(&[&[2, 0, 2, short(all.len())], &all[..]].concat())
            }),
        ),
        up(
            "long parameters",
            Box::new(move |_, seat| {
                let open = seat.open(&OVERLAY);
                long(255, &open, &open.capabilities.concat())
            }),
        ),
        up(
            "long parameters with a length that is not 255",
            write(|open| {
                // RFC 9072 §2: the length is not looked at, but must not be 0.
                let all = open.capabilities.concat();
                let parameter = [&[2], &octets::be16(all.len())[..], &all].concat();
                let tail = [&[255], &octets::be16(parameter.len())[..], &parameter].concat();
                open.with_tail(1, &tail)
            }),
        ),
        up(
            "more than 255 octets of capabilities",
            Box::new(move |_, seat| {
                let open = seat.open(&OVERLAY);
                let many: Vec<_> = (0..40).flat_map(|_| capability(201, &[7; 20])).collect();
                long(255, &open, &[many, open.capabilities.concat()].concat())
            }),
        ),
        refusal("an unknown parameter", write(|open| open.with_parameters(&[1, 1, 0])), 4, &[]),
        refusal(
            "an unknown parameter after capabilities",
            write(|open| {
                let all = open.capabilities.concat();
                open.with_parameters(&[&[2, short(all.len())], &all[..], &[77, 0]].concat())
            }),
            4,
            &[],
        ),
        refusal(
            "parameters longer than the message",
            write(|open| open.with_tail(60, &[2, 6, 1, 4, 0, 1, 0, 128])),
            0,
            &[],
        ),
        refusal(
            "parameters shorter than the message",
            write(|open| open.with_tail(8, &[2, 6, 1, 4, 0, 1, 0, 128, 2, 0])),
            0,
            &[],
        ),
        refusal(
            "a parameter longer than all",
            write(|open| open.with_parameters(&[2, 40, 1, 4, 0, 1, 0, 128])),
            0,
            &[],
        ),
        refusal("half a parameter", write(|open| open.with_parameters(&[2])), 0, &[]),
        refusal(
            "a capability longer than its parameter",
            write(|open| open.with_parameters(&[2, 6, 1, 40, 0, 1, 0, 128])),
            0,
            &[],
        ),
        refusal("half a capability", write(|open| open.with_parameters(&[2, 1, 65])), 0, &[]),
        refusal(
            "long parameters without a length",
            write(|open| open.with_tail(255, &[255, 0])),
            0,
            &[],
        ),
        refusal(
            "long parameters that are too short",
            write(|open| open.with_tail(255, &[255, 0, 40, 2, 0, 6, 1, 4, 0, 1, 0, 128])),
            0,
            &[],
        ),
        refusal(
            "four-octet AS of three octets",
            changed(|open| open.without(65).and(65, &[0, 0, 1])),
            0,
            &[],
        ),
    ]
}

impl Try {
    fn by(self, sort: Sort) -> Self {
        Self { sort, ..self }
    }

    fn run(&self, bed: &Bed) -> Result<()> {
        let seat = bed.seat(self.sort)?;
        let mut speaker = bed.connect(seat)?;
        speaker.take_open()?;
        speaker.send(&(self.open)(bed, seat))?;
        match &self.expect {
            Expect::Up => {
                match speaker.next(CEILING)? {
                    Got::Message(KEEPALIVE, _) => {}
                    other => bail!("not confirmed: {other:02x?}"),
                }
                speaker.send(&octets::keepalive())?;
                bed.is_up(seat)
            }
            Expect::Refused(subcode, data) => {
                let (code, found, said) = speaker.refusal(CEILING)?;
                ensure!((code, found) == (2, *subcode), "{code}/{found}, not 2/{subcode}");
                ensure!(said.starts_with(data), "data {said:?}, not {data:?}");
                Ok(())
            }
        }
    }
}

#[test]
fn an_open_is_taken_or_refused_by_its_subcode() {
    let bed = Bed::start().expect("a control node");
    let tries = tries();
    let mut cases: Vec<Case<'_>> =
        tries.iter().map(|one| case(one.name, move |bed| one.run(bed))).collect();
    cases.extend(ours());
    run("open", &bed, cases);
}

/// What the daemon says of itself.
fn ours<'a>() -> Vec<Case<'a>> {
    let said = |code: u8, value: fn(&Bed) -> Vec<u8>| {
        move |bed: &Bed| {
            let speaker = bed.up(Sort::Client)?;
            let found = speaker.capability(code).context("it is not there")?;
            ensure!(found == value(bed), "{found:02x?}");
            Ok(())
        }
    };
    let mut cases = vec![
        case("ours: version, AS, hold time, identifier", |bed| {
            let speaker = bed.up(Sort::Client)?;
            let fixed = [&[4, 0xfc, 0, 0, 90][..], &bed.id().octets()].concat();
            ensure!(speaker.open.starts_with(&fixed), "{:02x?}", speaker.open);
            Ok(())
        }),
        case("ours: four-octet AS", said(65, |_| HOME.to_be_bytes().to_vec())),
        case("ours: route refresh", said(2, |_| vec![])),
        case("ours: extended messages", said(6, |_| vec![])),
        case("ours: graceful restart in every family", |bed| {
            let speaker = bed.up(Sort::Client)?;
            let value = speaker.capability(64).context("it is not there")?;
            ensure!(u16::from_be_bytes([value[0] & 0xf, value[1]]) == 120, "{value:02x?}");
            ensure!(value.len() == 2 + 4 * OVERLAY.len(), "{value:02x?}");
            ensure!(value[2..].chunks(4).all(|family| family[3] & 0x80 != 0), "{value:02x?}");
            Ok(())
        }),
    ];
    for family in OVERLAY {
        cases.push(case(format!("ours: family {family:?}"), move |bed| {
            let speaker = bed.up(Sort::Client)?;
            let wanted = (1, multiprotocol(family)[2..].to_vec());
            ensure!(speaker.capabilities().contains(&wanted), "{:02x?}", speaker.open);
            Ok(())
        }));
    }
    cases
}
