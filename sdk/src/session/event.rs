//! What happens to a session, what it remembers of it, and what follows.

use alloc::vec::Vec;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use super::{
    Server, Waiting, Wanted,
    clock::{self, Clock, Hearing},
};
use crate::{
    abi::{MatchId, Statement, Withdrawal},
    channel::{self, Channel, Effect as ChannelEffect, Step},
    dispute::{Docket, Shown},
    game::{Amount, Seat},
    rules::RulesId,
    sign::Signature,
    wire::{About, AccountView, Pair, Refusal, ResultLeaf, TableId, TableInfo, TableSpec, ToClient, ToServer},
};

/// What happens to a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum SessionInput {
    /// A frame from the server.
    Frame(ToClient),
    /// Open a table.
    Create { tag: u32, spec: TableSpec },
    /// Sit down at a table.
    Join { tag: u32, table: TableId, wanted: Wanted },
    /// Sit down wherever this is played.
    Quick { tag: u32, spec: TableSpec },
    /// Leave a table.
    Leave { tag: u32, table: TableId },
    /// List tables.
    List { tag: u32, rules: Option<RulesId> },
    /// Move.
    Play { match_id: MatchId, play: Vec<u8> },
    /// Take money out.
    Withdraw { tag: u32, amount: Amount },
    /// See the account.
    Account { tag: u32 },
    /// Prove a settled result.
    Prove { tag: u32, match_id: MatchId },
    /// What time it is, in Unix seconds: expiries are judged by it (R5.11).
    Time(u64),
    /// What a chain that the player trusts says of the account. Until it is told so, a session takes its server's word.
    OnChain(Statement),
    /// A chain that the player trusts has applied this outcome of a match.
    Outcome { match_id: MatchId, payouts: Vec<Amount> },
    /// What the court of such a chain knows of a match; `None`: it is in no dispute.
    Docket { match_id: MatchId, docket: Option<Docket> },
    /// What was shown to that court, oldest first (R7.2).
    Shown { match_id: MatchId, shown: Vec<Shown> },
    /// Some time has passed: asks for receipts where another seat lets a match wait. See
    /// [`Session::silence_at`](super::Session::silence_at).
    Silence,
}

/// What a session remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Record {
    /// The server it is bound to.
    Server(Server),
    /// Something happened in a match.
    Channel { match_id: MatchId, event: channel::Event },
    /// The account signed a statement.
    Statement { statement: Statement, signature: Signature },
    /// The operator signed it too.
    Receipt { statement: Statement, signature: Signature },
    /// An opponent's pair (R6.5).
    Opponent(Pair),
    /// A match is settled on the chain at depth: its records may be dropped.
    Settled { match_id: MatchId },
    /// When a match's newest turn came here, in Unix seconds: the clock runs from then.
    Clock { match_id: MatchId, turn: u32, since: u64 },
}

/// What to do once a step is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEffect {
    /// To be sent.
    Send(ToServer),
    /// To be shown.
    Notify(SessionNotice),
}

/// What a player wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum SessionNotice {
    /// Logged in.
    Ready(AccountView),
    /// Tables in the lobby.
    Tables { tag: u32, tables: Vec<TableInfo> },
    /// Sat down.
    Seated { tag: u32, table: TableId },
    /// Left a table.
    Left { tag: u32, table: TableId },
    /// The seat taken under this tag is gone: its player left, or the connection did.
    Unseated { tag: u32 },
    /// A match was proposed for the seat taken under this tag, and agreed to.
    Matched { tag: u32, match_id: MatchId },
    /// Something happened in a match.
    Match { match_id: MatchId, notice: channel::Notice },
    /// Both parties signed a statement.
    Receipted(Statement),
    /// A statement is on the chain.
    Settled { statement: Statement, batch: u32, matches: Vec<MatchId> },
    /// A withdrawal that both parties signed: to be submitted.
    Withdrawal { tag: u32, withdrawal: Withdrawal, account: Signature, operator: Signature },
    /// The account.
    Account { tag: u32, account: AccountView },
    /// A settled result.
    Proof { tag: u32, batch: u32, result: ResultLeaf, path: Vec<B256> },
    /// Half of the player's own clock is used; from `until` on the others may go to court.
    Hurry { match_id: MatchId, turn: u32, until: u64 },
    /// Another seat has used half of its clock; `None`: signatures under the result are missing.
    Silent { match_id: MatchId, seat: Option<Seat>, turn: u32, until: u64 },
    /// A clock has run out, this player's own or another seat's.
    Overdue { match_id: MatchId, seat: Option<Seat>, turn: u32 },
    /// A match is in dispute on the chain: the seat has to answer until then, in the chain's Unix seconds.
    Disputed { match_id: MatchId, turn: u32, mover: Option<Seat>, until: u64 },
    /// Something newer was shown to the court, and the next seat has to answer.
    Answered { match_id: MatchId, turn: u32, mover: Option<Seat>, until: u64 },
    /// A header that was shown is said to be illegal; the arbiters have until then.
    Contested { match_id: MatchId, until: u64 },
    /// A seat was proved to have played foul in the turn after this one; unless something agreed and newer is shown until then, it
    /// counts as having never acted.
    Closed { match_id: MatchId, turn: u32, guilty: Option<Seat>, until: u64 },
    /// The chain took a dispute back: it was reorganised.
    Undisputed { match_id: MatchId },
    /// The server said no.
    Refused { about: About, refusal: Refusal },
}

/// A decided change that has not happened yet.
#[derive(Debug, Default)]
#[must_use = "a step has no effect until it is stored and committed"]
pub struct SessionStep {
    pub(super) records: Vec<Record>,
    pub(super) channel: Option<ChannelChange>,
    pub(super) changes: Vec<Change>,
    pub(super) effects: Vec<SessionEffect>,
}

#[derive(Debug)]
pub(super) enum ChannelChange {
    New(Channel, Step),
    Step(MatchId, Step),
    Several(MatchId, Channel, Vec<ChannelEffect>),
}

/// What changes without having to be durable.
#[derive(Debug)]
pub(super) enum Change {
    Waiting(u32, Waiting),
    Seated(u32, TableId),
    Gone(u32),
    Connected,
    View(AccountView),
    Floor(u32),
    Now(u64),
    OnChain(Statement),
    Clock(MatchId, Clock),
    Heard(MatchId, Option<Hearing>),
}

impl SessionStep {
    /// What must be durable before the step is committed.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub(super) fn send(&mut self, frame: ToServer) {
        self.effects.push(SessionEffect::Send(frame));
    }

    pub(super) fn notify(&mut self, notice: SessionNotice) {
        self.effects.push(SessionEffect::Notify(notice));
    }

    pub(super) fn remember_events(&mut self, match_id: MatchId, step: &Step, now: u64) {
        self.records.extend(step.events().iter().map(|event| Record::Channel { match_id, event: event.clone() }));
        self.records.extend(clock::begins(match_id, step, now));
    }
}
