//! What holds for any octets; shared with the fuzz target.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bfd::{
    Action, AuthKey, AuthType, Authenticator, ControlPacket, EchoConfig, EchoSession, Input, Role,
    Session, SessionConfig, Timing,
};
use tokio::time::Instant;

/// Each 26 octets are a packet and how much later it comes, in milliseconds. Nothing panics, what is
/// accepted is written as it was read, and a session answers each packet at most once and always serves
/// its clock. Nobody is believed who has no key.
pub(crate) fn check(octets: &[u8]) {
    let mut now = Instant::now().into_std();
    let mut session = Session::new(
        now,
        SessionConfig {
            discriminator: NonZeroU32::MIN,
            role: Role::Active,
            timing: Timing::DEFAULT,
            seed: 1,
        },
    );
    let key = AuthKey::new(AuthType::Sha1, 1, b"a secret").expect("a key");
    let mut signs = Authenticator::new(Some(Arc::new(key)), 0);
    let config = EchoConfig { discriminator: NonZeroU32::MIN, timing: Timing::DEFAULT, seed: 1 };
    let mut echo = EchoSession::new(now, config);
    let mut actions = Vec::new();
    for (at, chunk) in octets.chunks(26).enumerate() {
        let (later, datagram) = chunk.split_at(chunk.len().min(2));
        now += later.iter().map(|octet| Duration::from_millis(u64::from(*octet) * 16)).sum();
        // Silence, then a packet that is due for two reasons at most.
        for _ in 0..3 {
            if session.deadline().is_some_and(|at| at <= now) {
                session.step(now, Input::Tick, &mut actions);
            }
        }
        assert!(session.deadline().is_none_or(|at| at > now), "the clock is not served");
        actions.clear();
        // With room for a section behind it.
        let signed = octets.get(at * 26 + 2..).unwrap_or_default();
        if let Ok(packet) = ControlPacket::read(signed) {
            let interval = Timing::DEFAULT.interval();
            assert!(signs.check(now, signed, &packet, interval).is_err(), "a key was guessed");
            echo.step(now, Input::Packet(packet), &mut actions);
            echo.step(now, Input::Tick, &mut actions);
            assert!(echo.deadline().is_none_or(|at| at > now), "the clock of echoes is not served");
            actions.clear();
        }
        if let Ok(packet) = ControlPacket::decode(datagram) {
            let mut sent = datagram[..24].to_vec();
            // Longer ones have something behind that is not ours.
            sent[3] = 24;
            assert_eq!(packet.encode()[..], sent, "what was read is not what is written");
            session.step(now, Input::Packet(packet), &mut actions);
            let answers = actions.iter().filter(|action| matches!(action, Action::Send(_)));
            assert!(answers.count() <= 1, "a packet has several answers");
            actions.clear();
        }
    }
}
