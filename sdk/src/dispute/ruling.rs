//! What goes before the arbiters, and what they say of it (R7.9, R7.10).

use alloc::{collections::BTreeMap, vec::Vec};

use alloy_primitives::{Address, keccak256};
use serde::{Deserialize, Serialize};

use super::{
    Docket, Motion, Plea,
    counsel::{moment_of, plea},
};
use crate::{
    abi::{Court, MatchId, MatchTerms, Ruling, State, StateHash},
    rules::Rules,
    sign::Signature,
};

/// Testimonies that are kept of one dispute. An honest arbiter gives one for each header that is contested; what a dishonest one
/// floods with pushes out its own.
const MOST_TESTIMONIES: usize = 64;

/// A contest as its call made it: enough for a judge who has the rules and nothing else of the match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contest {
    terms: MatchTerms,
    /// The parent, the header in question, and all others up to the docket's top.
    trail: Vec<State>,
    /// The position before the move and the move, where they are what the headers commit to.
    step: Option<(Vec<u8>, Vec<u8>)>,
}

impl Contest {
    /// What the terms are that the court was told.
    pub fn terms(&self) -> &MatchTerms {
        &self.terms
    }

    /// The trail, if it is of this docket.
    pub(super) fn trail(&self, id: MatchId, docket: &Docket) -> Option<&[State]> {
        let (header, last) = (self.trail.get(1)?, self.trail.last()?);
        let linked = self.trail.windows(2).all(|pair| pair[1].prev == pair[0].hash(id));
        let is_its = docket.contested() == Some(header.turn) && last.hash(id) == docket.top();
        (linked && is_its).then_some(&self.trail[..])
    }

    /// What the rules say of the step alone: whether the header is what they make of its parent's position and the move. `None`: the
    /// contest does not give these, is of another docket, or of other rules.
    pub fn judgment(&self, id: MatchId, docket: &Docket, rules: &dyn Rules) -> Option<Judgment> {
        let (position, action) = self.step.as_ref().filter(|_| rules.id() == self.terms.rules)?;
        let trail = self.trail(id, docket)?;
        let (parent, header) = (&trail[0], &trail[1]);
        let legal = rules.apply(position, parent.mover()?, action).is_ok_and(|placed| {
            let made = State::after(parent.turn + 1, header.prev, header.action, &placed);
            made == *header && (made.is_final() || made.turn < self.terms.max_turns)
        });
        Some(Judgment::new(id, trail.to_vec(), legal))
    }
}

impl From<&Court::contestCall> for Contest {
    fn from(call: &Court::contestCall) -> Contest {
        let trail: Vec<State> = call.trail.iter().map(Into::into).collect();
        let step = (trail.first().zip(trail.get(1)))
            .filter(|(parent, header)| {
                parent.board == keccak256(&call.position) && header.action == keccak256(&call.action)
            })
            .map(|_| (call.position.to_vec(), call.action.to_vec()));
        Contest { terms: (&call.terms).into(), trail, step }
    }
}

/// A word on a header that is before the arbiters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgment {
    /// The header's turn.
    pub turn: u32,
    /// To be signed, or signed.
    pub ruling: Ruling,
    /// The parent, the header, and all others up to the docket's top.
    trail: Vec<State>,
}

impl Judgment {
    /// `trail` holds the parent and the header at least.
    pub(super) fn new(id: MatchId, trail: Vec<State>, legal: bool) -> Judgment {
        let header = &trail[1];
        Judgment { turn: header.turn, ruling: Ruling { match_id: id, top: header.hash(id), legal }, trail }
    }

    /// Brings the ruling: the signatures of exactly the quorum, ascending by signer.
    pub fn rule(&self, terms: &MatchTerms, docket: &Docket, signatures: &[Signature]) -> Plea {
        let Judgment { turn, ruling, trail } = self;
        let call = Court::ruleCall {
            terms: terms.into(),
            docket: docket.into(),
            trail: trail.iter().map(Into::into).collect(),
            legal: ruling.legal,
            signatures: signatures.iter().flat_map(|signature| signature.0).collect::<Vec<u8>>().into(),
        };
        plea(ruling.match_id, Motion::Rule { turn: *turn, legal: ruling.legal }, moment_of(docket), &call)
    }

    /// Publishes an arbiter's signature on the ruling, for whoever brings the quorum together.
    pub fn testify(&self, signature: &Signature) -> Plea {
        let Ruling { match_id, top, legal } = self.ruling;
        let call = Court::testifyCall { id: match_id.0, top: top.0, legal, signature: signature.0.to_vec().into() };
        plea(match_id, Motion::Testify { turn: self.turn, legal }, alloc::format!("{}", top.0), &call)
    }
}

/// What an arbiter has said on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Testimony {
    /// Who; the court has checked it.
    pub arbiter: Address,
    /// What was signed.
    pub ruling: Ruling,
    /// The arbiter's signature.
    pub signature: Signature,
}

/// Everything that arbiters have said in one dispute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Testimonies(Vec<Testimony>);

impl Testimonies {
    /// Adds one; whether it is new.
    pub(super) fn add(&mut self, testimony: Testimony) -> bool {
        if self.0.iter().any(|known| known.arbiter == testimony.arbiter && known.ruling == testimony.ruling) {
            return false;
        }
        if self.0.len() == MOST_TESTIMONIES {
            let mut counts: BTreeMap<Address, usize> = BTreeMap::new();
            self.0.iter().for_each(|known| *counts.entry(known.arbiter).or_default() += 1);
            let loudest = counts.into_iter().max_by_key(|(_, count)| *count).map(|(arbiter, _)| arbiter);
            let oldest = self.0.iter().position(|known| Some(known.arbiter) == loudest).unwrap_or(0);
            self.0.remove(oldest);
        }
        self.0.push(testimony);
        true
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Testimony> {
        self.0.iter()
    }

    /// Signatures of exactly the quorum on this ruling, ascending by signer; `None`: there are not as many.
    pub(super) fn on(
        &self,
        ruling: &Ruling,
        own: Option<(Address, Signature)>,
        quorum: usize,
    ) -> Option<Vec<Signature>> {
        let said = self.0.iter().filter(|said| said.ruling == *ruling).map(|said| (said.arbiter, said.signature));
        let all: BTreeMap<Address, Signature> = said.chain(own).collect();
        (all.len() >= quorum).then(|| all.into_values().take(quorum).collect())
    }

    /// What the quorum says of this header.
    pub(super) fn verdict(&self, id: MatchId, top: StateHash, quorum: usize) -> Option<(bool, Vec<Signature>)> {
        [false, true].into_iter().find_map(|legal| {
            let ruling = Ruling { match_id: id, top, legal };
            Some((legal, self.on(&ruling, None, quorum)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    fn testimony(arbiter: u8, header: u8, legal: bool) -> Testimony {
        let ruling = Ruling { match_id: MatchId(B256::ZERO), top: StateHash(B256::repeat_byte(header)), legal };
        Testimony { arbiter: Address::repeat_byte(arbiter), ruling, signature: Signature([arbiter; 64]) }
    }

    #[test]
    fn a_quorum_is_of_different_arbiters_on_one_ruling_in_ascending_order() {
        let mut said = Testimonies::default();
        let (id, top) = (MatchId(B256::ZERO), StateHash(B256::repeat_byte(9)));
        assert!(said.add(testimony(3, 9, false)));
        assert!(!said.add(testimony(3, 9, false)), "the same again");
        assert!(said.add(testimony(2, 9, true)) && said.add(testimony(1, 8, false)));
        assert_eq!(said.verdict(id, top, 2), None);
        let own = (Address::repeat_byte(1), Signature([1; 64]));
        let ruling = testimony(1, 9, false).ruling;
        assert_eq!(said.on(&ruling, Some(own), 2), Some([1, 3].map(|n| Signature([n; 64])).to_vec()));
        assert!(said.add(testimony(2, 9, false)) && said.add(testimony(1, 9, false)));
        assert_eq!(said.verdict(id, top, 2), Some((false, [1, 2].map(|n| Signature([n; 64])).to_vec())));
    }

    #[test]
    fn an_arbiter_who_floods_pushes_out_nobody_but_itself() {
        let mut said = Testimonies::default();
        said.add(testimony(1, 0, false));
        for header in 0..=255 {
            said.add(testimony(2, header, false));
        }
        said.add(testimony(3, 0, false));
        assert_eq!(said.iter().count(), MOST_TESTIMONIES);
        let ruling = testimony(1, 0, false).ruling;
        assert!(said.on(&ruling, None, 2).is_some());
    }
}
