//! Why a contract refuses a call.

use core::fmt;
use std::{format, string::String};

use alloy_primitives::Bytes;
use alloy_sol_types::{Panic, Revert as Require, SolError, SolInterface};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ProviderError;

#[allow(missing_docs, reason = "documented in IArena.sol")]
mod interface {
    alloy_sol_types::sol! {
        #[derive(Debug, PartialEq, Eq)]
        interface Arena {
            error NotOperator();
            error NotCourt();
            error WrongAsset();
            error ZeroWindow();
            error ZeroAddress();
            error TooMuch();
            error TokenShort(uint256 asked, uint256 delivered);
            error PaymentFailed(address to);
            error BadLength(uint256 expected, uint256 given);
            error BadSignature(uint256 position);
            error Expired(uint256 deadline);
            error NothingToPay();
            error NotAvailable(uint256 available);
            error ExitIsOpen();
            error ExitNotOpen();
            error ExitWindowOver();
            error ExitWindowRuns(uint256 exitAt);
            error BadTerms();
            error BadPayouts();
            error NotFinal();
            error BadSeat(uint256 seat);
            error MatchExpired();
            error MatchConcluded();
            error MatchDisputed();
            error MatchSettled();
            error AlreadyLocked();
            error NotLocked();
            error StillLocked();
            error NotApplied(uint8 reason);
            error WrongClaims(uint256 live, uint256 given);
            error NoClaim(bytes32 matchId);
            error NoticeRuns(uint256 from, uint256 until);
            error PoolOwes(uint256 owed);
            error BadSplit();
            error OtherDocket();
        }

        #[derive(Debug, PartialEq, Eq)]
        interface Court {
            error WrongCourt(address expected);
            error BadArbiters();
            error ShortPatience(uint256 minimum);
            error WindowOver(uint256 until);
            error WindowRuns(uint256 until);
            error ShownLate(uint256 openBy);
            error DoubtedEarly(uint256 openBy);
            error Unlinked(uint256 turn);
            error BadHeader(uint256 turn);
            error WrongMove(uint256 turn);
            error WrongBoard();
            error NotByItsAuthor(uint256 turn);
            error TooManyHeaders(uint256 limit, uint256 from);
            error MoveTooLarge(uint256 limit);
            error NotNewer();
            error Agreed(uint256 turn);
            error BeforeArbiters();
            error NotBeforeArbiters();
            error AlreadyRuled();
            error WrongTrail();
            error SameHeader();
            error MoveIsLegal();
            error TooLittleGas(uint256 needed);
            error InVerdict();
            error WrongBond(uint256 expected);
            error NoBond();
            error WrongCode();
            error NotItself();
        }
    }
}

/// The errors of both contracts, each by its name.
pub use interface::{Arena as ArenaRefusal, Court as CourtRefusal};

/// The arena's own errors.
pub use interface::Arena::ArenaErrors as ContractError;
/// The court's own errors, with those of its referee; what concerns terms, signatures and outcomes it refuses with the arena's.
pub use interface::Court::CourtErrors as CourtError;

/// A contract refused a call: nothing changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revert {
    /// What the contract returned; empty where it said nothing, or the node kept it.
    pub data: Bytes,
}

impl Revert {
    /// The revert that an error of a node stands for; `None` for any other error.
    pub fn of(error: &ProviderError) -> Option<Revert> {
        let ProviderError::Rpc { code, message, data } = error else { return None };
        let data = data.as_ref().and_then(revert_data);
        // 3 is geth's code; others only say it in words, each its own.
        let reverted = *code == 3 || message.contains("revert") || data.is_some();
        reverted.then(|| Revert { data: data.unwrap_or_default() })
    }

    /// The arena's error, if it is one.
    pub fn contract(&self) -> Option<ContractError> {
        ContractError::abi_decode(&self.data).ok()
    }

    /// The court's error, if it is one.
    pub fn court(&self) -> Option<CourtError> {
        CourtError::abi_decode(&self.data).ok()
    }
}

/// The bytes in an error's `data`, wherever this node puts them.
fn revert_data(data: &Value) -> Option<Bytes> {
    match data {
        // Some put words in front: "Reverted 0x...".
        Value::String(text) => text.split_whitespace().find(|word| word.starts_with("0x"))?.parse().ok(),
        Value::Object(fields) => {
            ["data", "originalError", "result"].iter().filter_map(|name| fields.get(*name)).find_map(revert_data)
        }
        _ => None,
    }
}

impl std::error::Error for Revert {}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = self.contract() {
            return f.write_str(&explain(&error));
        }
        if let Some(error) = self.court() {
            return f.write_str(&explain_court(&error));
        }
        if let Ok(require) = Require::abi_decode(&self.data) {
            return write!(f, "the contract refuses: {}", require.reason);
        }
        if let Ok(panic) = Panic::abi_decode(&self.data) {
            return write!(f, "the contract failed: {panic}");
        }
        match self.data.get(..4) {
            None => write!(f, "the contract refuses without a reason"),
            Some(selector) => {
                write!(f, "the contract refuses with error {}", alloy_primitives::hex::encode_prefixed(selector))
            }
        }
    }
}

fn explain(error: &ContractError) -> String {
    use ContractError as E;
    match error {
        E::NotOperator(_) => "only the operator may do this".into(),
        E::NotCourt(_) => "only the court may do this".into(),
        E::WrongAsset(_) => "the arena holds the other kind of asset: coin or token".into(),
        E::ZeroWindow(_) => "the exit window must be above zero".into(),
        E::ZeroAddress(_) => "the zero address cannot be used here".into(),
        E::TooMuch(_) => "the amount does not fit the record: use a smaller one".into(),
        E::TokenShort(e) => {
            format!("the token delivered {} of {}: tokens that take a fee are not supported", e.delivered, e.asked)
        }
        E::PaymentFailed(e) => format!("{} does not accept the payment", e.to),
        E::BadLength(e) => format!("{} bytes were given where {} are needed", e.given, e.expected),
        E::BadSignature(e) => {
            format!(
                "signature {} (seats in order, then the operator) is missing, malformed or another key's",
                e.position
            )
        }
        E::Expired(e) => format!("the deadline {} is over: ask for a new withdrawal", e.deadline),
        E::NothingToPay(_) => "there is nothing new to pay".into(),
        E::NotAvailable(e) => format!("the account can pay only {} now", e.available),
        E::ExitIsOpen(_) => "the account was closed by an exit: use a new account".into(),
        E::ExitNotOpen(_) => "no exit is open: open one first".into(),
        E::ExitWindowOver(_) => "the exit window has passed".into(),
        E::ExitWindowRuns(e) => format!("the exit window runs until {}: wait for it", e.exitAt),
        E::BadTerms(_) => "the match's terms are malformed (R4.10)".into(),
        E::BadPayouts(_) => "the payouts exceed the stakes, or are not one per seat".into(),
        E::NotFinal(_) => "the state is not final".into(),
        E::BadSeat(e) => format!("there is no seat {}", e.seat),
        E::MatchExpired(_) => "the match is past its expiry".into(),
        E::MatchConcluded(_) => "the match has its outcome already".into(),
        E::MatchDisputed(_) => "the match is in dispute already".into(),
        E::MatchSettled(_) => "the match is settled already".into(),
        E::AlreadyLocked(_) => "the stake is locked already".into(),
        E::NotLocked(_) => "the stake is not locked".into(),
        E::StillLocked(_) => "the match is neither settled, concluded nor expired".into(),
        E::NotApplied(e) => format!("the statement was not applied: {}", skip_reason(e.reason)),
        E::WrongClaims(e) => {
            format!("the account has {} live claims, {} were given: give all, in order", e.live, e.given)
        }
        E::NoClaim(e) => format!("match {} is neither a live claim nor a locked stake of the account", e.matchId),
        E::NoticeRuns(e) => format!("the notice runs: possible from {} until {}", e.from, e.until),
        E::PoolOwes(e) => format!("the pool owes players {}: nothing else is paid before", e.owed),
        E::OtherDocket(_) => "no such dispute is open: give the docket of the court's newest event".into(),
        E::BadSplit(_) => "1 to 8 beneficiaries with basis points that add up to 10,000 are needed".into(),
    }
}

fn explain_court(error: &CourtError) -> String {
    use CourtError as E;
    match error {
        E::WrongCourt(e) => format!("the arena's court is {}: deploy the arena with this court's address", e.expected),
        E::BadArbiters(_) => "arbiters must ascend, and be at least as many as the quorum".into(),
        E::ShortPatience(e) => format!("the arbiters' window must be at least {} seconds", e.minimum),
        E::WindowOver(e) => format!("the window ended at {}: only `finalize` is left", e.until),
        E::WindowRuns(e) => format!("the window runs until {}: answer, or wait", e.until),
        E::ShownLate(e) => {
            format!("the opening had to be shown by {}: show a turn that all seats signed (R5.3)", e.openBy)
        }
        E::DoubtedEarly(e) => format!("a match can be doubted only after {}", e.openBy),
        E::Unlinked(e) => format!("the header of turn {} does not follow the one before", e.turn),
        E::BadHeader(e) => format!("the terms do not allow the header of turn {}", e.turn),
        E::WrongMove(e) => format!("these bytes are not the move of turn {}", e.turn),
        E::WrongBoard(_) => "these bytes are not the position before the contested move".into(),
        E::NotByItsAuthor(e) => format!("turn {} lacks the signature of the seat that had to move", e.turn),
        E::TooManyHeaders(e) => format!("at most {} headers at once", e.limit),
        E::MoveTooLarge(e) => format!("a move has at most {} bytes", e.limit),
        E::NotNewer(_) => "nothing of this is newer than what the dispute knows".into(),
        E::Agreed(e) => format!("turn {} is agreed: it cannot be contested", e.turn),
        E::BeforeArbiters(_) => "a header is before the arbiters: wait for their ruling".into(),
        E::NotBeforeArbiters(_) => "this header is not before the arbiters".into(),
        E::AlreadyRuled(_) => "the arbiters have found this header legal already".into(),
        E::WrongTrail(_) => "the headers do not lead to the dispute's top".into(),
        E::SameHeader(_) => "both headers are the same".into(),
        E::MoveIsLegal(_) => "the referee finds the move legal".into(),
        E::TooLittleGas(e) => {
            format!("send the call with more gas: {} have to be left when the referee is asked", e.needed)
        }
        E::InVerdict(_) => "no docket changes while a referee is asked".into(),
        E::WrongCode(_) => "the code is not that of the rules that the terms name".into(),
        E::NotItself(_) => "only the referee runs code".into(),
        E::WrongBond(e) => format!("the call must bring a bond of exactly {}", e.expected),
        E::NoBond(_) => "there is no bond to claim".into(),
    }
}

/// `Skip` of IArena.sol in words (R6.8).
fn skip_reason(reason: u8) -> &'static str {
    match reason {
        1 => "the account's signature is malformed",
        2 => "the account's key is the operator's",
        3 => "its set does not exceed the settled one",
        4 => "it would take the account below its locked stakes",
        5 => "the pool cannot cover the credit",
        6 => "the account has live claims: settle it with them",
        7 => "the exit window is over and money is due: finish the exit first",
        8 => "the receipt is not the operator's",
        9 => "a number does not fit its field",
        _ => "for a reason that this version does not know",
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use serde_json::json;

    use super::*;

    fn rpc(code: i64, message: &str, data: Option<Value>) -> ProviderError {
        ProviderError::Rpc { code, message: message.into(), data }
    }

    #[test]
    fn reverts_are_found_wherever_a_node_puts_them() {
        let error =
            ContractError::NotAvailable(interface::Arena::NotAvailable { available: alloy_primitives::U256::from(7) });
        let hex = alloy_primitives::hex::encode_prefixed(error.abi_encode());
        for data in [
            json!(hex),
            json!({ "data": hex }),
            json!({ "originalError": { "data": hex } }),
            json!(format!("Reverted {hex}")),
        ] {
            let revert = Revert::of(&rpc(-32000, "VM Exception", Some(data))).expect("a revert");
            assert!(matches!(revert.contract(), Some(ContractError::NotAvailable(_))));
            assert_eq!(revert.to_string(), "the account can pay only 7 now");
        }
        assert_eq!(Revert::of(&rpc(3, "execution reverted", None)), Some(Revert::default()));
        assert_eq!(Revert::of(&rpc(-32000, "nonce too low", None)), None);
        assert_eq!(Revert::of(&ProviderError::Rejected), None);
    }
}
