//! Which member of a group has which flows.
//!
//! The hash of a flow names one of [`SHARES`] places, and each place belongs to a member. Members draw
//! for each place with a number of their own, and the highest draw has it (highest random weight): so
//! a member that goes away moves only its own flows, one that comes takes a fair part from each of the
//! others, the order of members means nothing, and every node finds the same.

use crate::layout::{GROUP_MAX, SHARES, Shares, mix};

/// What a member draws with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stake {
    /// The same on every node and after every restart.
    pub(crate) key: u32,
    pub(crate) weight: u16,
}

/// The places of each member, by its position in `stakes`.
pub(crate) fn shares(stakes: &[Stake]) -> Box<Shares> {
    let mut shares = Box::new(Shares { member: [0; SHARES], weight: [0; GROUP_MAX] });
    for (place, stake) in shares.weight.iter_mut().zip(stakes) {
        *place = stake.weight;
    }
    let equal = stakes.iter().all(|stake| stake.weight == 1);
    for (place, member) in (0..).zip(&mut shares.member) {
        let draws = stakes.iter().map(|stake| draw(place, stake.key));
        let winner = if equal {
            draws.enumerate().max_by_key(|(_, draw)| *draw).map(|(index, _)| index)
        } else {
            // Of exponential waiting times with these rates, the shortest is each one's in proportion
            // to its rate.
            let waits = draws.zip(stakes).map(|(draw, stake)| {
                -((f64::from(draw) + 1.0) / 4_294_967_296.0).ln() / f64::from(stake.weight)
            });
            waits.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
        };
        *member = u8::try_from(winner.unwrap_or_default()).unwrap_or_default();
    }
    shares
}

const fn draw(place: u32, key: u32) -> u32 {
    mix(mix(place ^ 0x9e37_79b9) ^ key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stakes(weights: &[u16]) -> Vec<Stake> {
        (1u32..).zip(weights).map(|(n, weight)| Stake { key: mix(n), weight: *weight }).collect()
    }

    fn counts(stakes: &[Stake]) -> Vec<usize> {
        let shares = shares(stakes);
        let mut counts = vec![0; stakes.len()];
        shares.member.iter().for_each(|member| counts[usize::from(*member)] += 1);
        counts
    }

    #[test]
    fn equals_have_about_as_much() {
        for members in [2usize, 3, 16, 64] {
            let fair = SHARES / members;
            for count in counts(&stakes(&vec![1; members])) {
                assert!(count.abs_diff(fair) < fair / 2, "{members}: {count} of {fair}");
            }
        }
    }

    #[test]
    fn weights_are_kept_in_proportion() {
        let counts = counts(&stakes(&[1, 2, 5]));
        for (count, weight) in counts.iter().zip([1, 2, 5]) {
            let fair = SHARES * weight / 8;
            assert!(count.abs_diff(fair) < fair / 5, "{counts:?}");
        }
    }

    #[test]
    fn who_goes_away_moves_only_its_own_flows() {
        for weights in [vec![1; 7], vec![3, 1, 1, 9, 2, 2, 5]] {
            let before = stakes(&weights);
            let all = shares(&before);
            let mut after = before.clone();
            after.remove(3);
            let fewer = shares(&after);
            for (was, is) in all.member.iter().zip(fewer.member) {
                let (was, is) = (usize::from(*was), usize::from(is));
                if was != 3 {
                    assert_eq!(after[is].key, before[was].key);
                }
            }
        }
    }
}
