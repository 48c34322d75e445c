//! The terms of a match, and who signed what of it (R4.1, R4.2, R4.8, R4.10).

use alloy_primitives::{Address, B256, U256};
use matchlock::{
    abi::{Arena, MatchId, MatchTerms, State, StateHash},
    account::{AccountId, Player},
    chain::{ArenaRefusal, Revert},
    game::{Amount, MAX_SEATS, MIN_SEATS},
    sign::{self, Signature},
};

use super::{Model, refuse, require};

/// Bytes of a signature.
pub(super) const SIGNATURE: usize = 64;

/// Terms that were checked.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) terms: MatchTerms,
    pub(super) id: MatchId,
}

impl Table {
    pub(super) fn seats(&self) -> usize {
        self.terms.seats.len()
    }

    /// The sum of all stakes, which an amount need not hold.
    pub(super) fn pot(&self) -> u128 {
        self.terms.stakes.iter().map(|stake| stake.units()).sum()
    }

    /// What a seat gains by these payouts.
    pub(super) fn delta(&self, seat: usize, payouts: &[Amount]) -> i128 {
        payouts[seat].signed() - self.terms.stakes[seat].signed()
    }

    pub(super) fn hash(&self, state: &Arena::State) -> StateHash {
        State::from(state).hash(self.id)
    }
}

impl Model {
    /// Checks R4.10 but for signatures and payouts.
    pub(super) fn open(&self, terms: &Arena::Match) -> Result<Table, Revert> {
        let n = terms.seats.len();
        let alike = [terms.indexes.len(), terms.stakes.len(), terms.seeds.len()] == [n; 3];
        let distinct = (terms.seats.iter().enumerate())
            .all(|(i, seat)| *seat != Address::ZERO && !terms.seats[..i].contains(seat));
        require((MIN_SEATS..=MAX_SEATS).contains(&n) && alike && distinct, ArenaRefusal::BadTerms {})?;
        let terms = MatchTerms::from(terms);
        let id = terms.id(&self.config.domain);
        Ok(Table { terms, id })
    }

    /// The same, and that there is such a seat.
    pub(super) fn open_at(&self, terms: &Arena::Match, seat: u8) -> Result<Table, Revert> {
        let table = self.open(terms)?;
        require(usize::from(seat) < table.seats(), ArenaRefusal::BadSeat { seat: U256::from(seat) })?;
        Ok(table)
    }

    /// Everybody's signature on one digest: the seats' in order, then the operator's.
    pub(super) fn expect_everybody(
        &self,
        table: &Table,
        owners: &[Address],
        signatures: &[u8],
        digest: B256,
    ) -> Result<(), Revert> {
        let seats = table.seats();
        require(owners.len() == seats, ArenaRefusal::BadTerms {})?;
        expect_length(signatures, (seats + 1) * SIGNATURE)?;
        for (seat, owner) in owners.iter().enumerate() {
            let key = signer(digest, signatures, seat);
            require(self.sits(table, seat, *owner, key), bad_signature(seat))?;
        }
        self.expect_operators(digest, signatures, seats)
    }

    /// Whether this key, of an account of this owner, may sign for the seat. The operator's key is no account's (R2.4).
    pub(super) fn sits(&self, table: &Table, seat: usize, owner: Address, key: Option<Address>) -> bool {
        key.is_some_and(|key| key != self.config.operator && id_of(owner, key) == table.terms.seats[seat])
    }

    /// The operator's signature at this position.
    pub(super) fn expect_operators(&self, digest: B256, signatures: &[u8], position: usize) -> Result<(), Revert> {
        require(signer(digest, signatures, position) == Some(self.config.operator), bad_signature(position))
    }

    /// What is signed for a struct of this hash (R4.1).
    pub(super) fn digest(&self, struct_hash: B256) -> B256 {
        self.config.domain.digest(struct_hash)
    }
}

/// The account of an owner and a key (R2.3).
pub(super) fn id_of(owner: Address, key: Address) -> AccountId {
    Player { owner, key }.account()
}

/// Who signed a digest, by the signature at a position; `None` for what is malformed or malleable (R4.8). What is missing
/// reads as zeros, as behind the end of calldata: evidence is measured last.
pub(super) fn signer(digest: B256, signatures: &[u8], position: usize) -> Option<Address> {
    let given = signatures.get(position * SIGNATURE..).unwrap_or_default();
    let mut bytes = [0; SIGNATURE];
    let length = given.len().min(SIGNATURE);
    bytes[..length].copy_from_slice(&given[..length]);
    sign::recover(digest, &Signature(bytes)).ok()
}

pub(super) fn expect_length(packed: &[u8], length: usize) -> Result<(), Revert> {
    if packed.len() == length { Ok(()) } else { bad_length(length, packed.len()) }
}

pub(super) fn bad_length<T>(expected: usize, given: usize) -> Result<T, Revert> {
    refuse(ArenaRefusal::BadLength { expected: U256::from(expected), given: U256::from(given) })
}

pub(super) fn bad_signature(position: usize) -> ArenaRefusal::BadSignature {
    ArenaRefusal::BadSignature { position: U256::from(position) }
}
