//! What holds for any octets; shared with the fuzz target.

use std::num::NonZeroU32;
use std::time::Duration;

use bfd::{Action, ControlPacket, Input, Role, Session, SessionConfig, Timing};
use tokio::time::Instant;

/// Each 26 octets are a packet and how much later it comes, in milliseconds. Nothing panics, what is
/// accepted is written as it was read, and a session answers each packet at most once and always serves
/// its clock.
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
    let mut actions = Vec::new();
    for chunk in octets.chunks(26) {
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
