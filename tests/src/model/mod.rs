//! The contracts as plain Rust: what every transaction does to an arena of the native coin and to its court.
//!
//! It is written from docs/PROTOCOL.md, reads like it, and packs nothing. [`Model::apply`] takes what the chain takes, block
//! time, sender, value and calldata, and says which logs the transaction leaves or with which error it is refused, word
//! for word. `tests/tests/model.rs` demands that of the real bytecode, call by call.
//!
//! Outside of it: gas, and so rules that exceed their budget, `TooLittleGas`, and calls that run out of it, as an answer
//! with a forged docket may, which is refused here like any other docket than the kept one; arenas of tokens; re-entrancy;
//! calls that contracts make. Calldata is what an ABI encoder writes: words with dirty upper bits, which only hand-made
//! calldata has, are refused here at once, and by the contracts where they meet them.

mod accounts;
mod court;
mod docket;
mod evidence;
mod exits;
mod fouls;
mod outcomes;
mod pool;
mod revenue;
mod settlement;
mod terms;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};

use alloy_primitives::{Address, B256, Log, U256, aliases::U96};
use alloy_sol_types::{SolError, SolEvent, SolInterface};
use matchlock::{
    abi::{Arena, Court, Domain, MatchId, Referee as RefereeInterface},
    account::AccountId,
    chain::{ArenaRefusal, ChainAccount, CourtRefusal, Revert},
    game::{Amount, Seat},
    rules::Rules,
};

use accounts::Account;
use fouls::Bonds;
use outcomes::{Slot, Standing};
use pool::{Notice, Owed, Pool};
use revenue::Revenue;

/// How the two contracts were deployed.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// The arena, its chain and salt.
    pub domain: Domain,
    /// The operator.
    pub operator: Address,
    /// Seconds of an exit.
    pub exit_window: u32,
    /// Who gets the fees, in basis points; empty: the operator.
    pub split: Vec<(Address, u16)>,
    /// The court.
    pub court: ModelCourt,
    /// Contracts that judge one game each, by address. Beside these only arena, court and the court's own referee have code.
    pub referees: BTreeMap<Address, Arc<dyn Referee>>,
    /// Rules that contests bring along, by the hash of their code, for the court's own referee.
    pub rules: BTreeMap<B256, Arc<dyn Referee>>,
}

/// How the court was deployed.
#[derive(Clone, Debug)]
pub struct ModelCourt {
    /// Its address.
    pub address: Address,
    /// Seconds of the shortest window (R7.5).
    pub minimum: u32,
    /// Seconds that the arbiters have (R7.10).
    pub patience: u32,
    /// What a contest before arbiters costs, in wei (R7.9).
    pub bond: u128,
    /// So many arbiters rule.
    pub quorum: u8,
    /// The arbiters (R2.5).
    pub arbiters: Vec<Address>,
}

impl ModelCourt {
    /// The referee that the court deploys.
    pub fn referee(&self) -> Address {
        self.address.create(1)
    }
}

/// What re-runs one move on the chain (R7.8): a contract, or code that a contest brings along.
pub trait Referee: Send + Sync + fmt::Debug {
    /// What it makes of a move; `None` for every answer but "legal".
    fn judge(&self, position: &[u8], seat: u8, action: &[u8]) -> Option<Judgement>;
}

/// A referee's answer to a legal move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// keccak256 of the position afterwards.
    pub board: B256,
    /// Who acts next; 255 at the end.
    pub mover: u8,
    /// The result, or who gets what should the mover never act.
    pub payouts: Vec<Amount>,
}

impl Referee for Arc<dyn Rules> {
    fn judge(&self, position: &[u8], seat: u8, action: &[u8]) -> Option<Judgement> {
        let placed = self.apply(position, Seat(seat), action).ok()?;
        let mover = placed.mover.map_or(matchlock::abi::OVER, |seat| seat.0);
        Some(Judgement { board: placed.commitment(), mover, payouts: placed.payouts })
    }
}

/// What a transaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Its logs, in order.
    pub logs: Vec<Log>,
}

/// A promise of the protocol that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// Money came from nowhere, or went there.
    #[error("R3.3: accounts, pool and revenue hold {claimed}, the arena {held}")]
    Conservation {
        /// What accounts, pool and beneficiaries could be paid together.
        claimed: u128,
        /// What came in minus what went out.
        held: u128,
    },
    /// A call that applies no outcome took an account below its locked stakes.
    #[error("R3.4: {account} can pay {payable}, and {locked} of it is locked")]
    Floor {
        /// Whose.
        account: AccountId,
        /// What it can pay now.
        payable: u128,
        /// Its locked stakes.
        locked: u128,
    },
    /// The sum that the pool shows is not what stands in its queue.
    #[error("R3.5: the queue holds {queued}, the pool says {owed}")]
    Owed {
        /// The queue's sum.
        queued: u128,
        /// The pool's.
        owed: u128,
    },
    /// The court holds another sum than the bonds that it may have to pay.
    #[error("R7.9: bonds and their parts are {claimed}, the court holds {held}")]
    Bonds {
        /// Open, returned and lost bonds.
        claimed: u128,
        /// What it holds.
        held: u128,
    },
}

/// One arena of the native coin, and its court.
#[derive(Clone, Debug)]
pub struct Model {
    config: Arc<ModelConfig>,
    accounts: BTreeMap<AccountId, Account>,
    pool: Pool,
    queue: VecDeque<Owed>,
    notice: Notice,
    revenue: Revenue,
    roots: BTreeMap<u32, B256>,
    slots: BTreeMap<MatchId, Slot>,
    bonds: Bonds,
    /// Wei that the arena holds, and the court.
    held: [u128; 2],
    logs: Vec<Log>,
    outcome_applied: bool,
    breach: Option<Breach>,
}

/// What a call sees of its transaction and block.
#[derive(Clone, Copy, Debug)]
struct Call {
    at: u64,
    from: Address,
    value: U256,
}

impl Model {
    /// The contracts as they are when just deployed.
    pub fn new(config: ModelConfig) -> Model {
        let revenue = Revenue::new(&config);
        Model {
            config: config.into(),
            accounts: BTreeMap::new(),
            pool: Pool::default(),
            queue: VecDeque::new(),
            notice: Notice::default(),
            revenue,
            roots: BTreeMap::new(),
            slots: BTreeMap::new(),
            bonds: Bonds::default(),
            held: [0; 2],
            logs: Vec::new(),
            outcome_applied: false,
            breach: None,
        }
    }

    /// How the contracts were deployed.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What a transaction does in a block of this time (Unix seconds). One to any other address does nothing here.
    ///
    /// # Errors
    /// The contract's refusal, with its whole data; nothing changed. Without data where the contracts have no such call,
    /// the calldata is not a call's, or value comes with a call that takes none.
    pub fn apply(
        &mut self,
        at: u64,
        from: Address,
        to: Address,
        value: U256,
        calldata: &[u8],
    ) -> Result<Applied, Revert> {
        let call = Call { at, from, value };
        let mut next = self.clone();
        (next.logs, next.outcome_applied) = (Vec::new(), false);
        if to == self.arena() {
            next.call_arena(&call, calldata)?;
        } else if to == self.config.court.address {
            next.call_court(&call, calldata)?;
        } else if to == self.config.court.referee() {
            next.call_referee(&call, calldata)?;
        }
        next.breach = self.breach.take().or_else(|| next.floor_broken(self));
        let logs = std::mem::take(&mut next.logs);
        *self = next;
        Ok(Applied { logs })
    }

    /// Both records of an account.
    pub fn account(&self, id: AccountId) -> ChainAccount {
        self.record(id).shown()
    }

    /// The operator's pool.
    pub fn pool(&self) -> Arena::poolReturn {
        let Pool { equity, owed, batches } = self.pool;
        Arena::poolReturn { equity: U96::from(equity), owed, batches }
    }

    /// What the arena shows of a match.
    pub fn outcome(&self, id: MatchId) -> Arena::outcomeOfReturn {
        self.slots.get(&id).cloned().unwrap_or_default().shown()
    }

    /// The docket of a match in dispute.
    pub fn docket(&self, id: MatchId) -> Option<&Court::Docket> {
        match &self.slots.get(&id)?.standing {
            Standing::Disputed(docket) => Some(docket),
            Standing::None | Standing::Concluded { .. } => None,
        }
    }

    /// The payouts of a match that has its outcome.
    pub fn payouts(&self, id: MatchId) -> Option<&[Amount]> {
        match &self.slots.get(&id)?.standing {
            Standing::Concluded { payouts, .. } => Some(payouts),
            Standing::None | Standing::Disputed(_) => None,
        }
    }

    /// The results root of a batch; zero for none.
    pub fn results_root(&self, batch: u32) -> B256 {
        self.roots.get(&batch).copied().unwrap_or_default()
    }

    /// What a beneficiary could claim in a block of this time (R6.13).
    pub fn revenue_of(&self, beneficiary: Address, at: u64) -> u128 {
        self.revenue.claimable(beneficiary, self.epoch(at))
    }

    /// Bonds that a contester could claim.
    pub fn bond_of(&self, contester: Address) -> u128 {
        self.bonds.returned.get(&contester).copied().unwrap_or(0)
    }

    /// Parts of lost bonds that an account's owner could claim.
    pub fn share_of(&self, account: AccountId) -> u128 {
        self.bonds.shares.get(&account).copied().unwrap_or(0)
    }

    /// Wei that the arena holds, and the court.
    pub fn held(&self) -> [u128; 2] {
        self.held
    }

    /// Whether money is conserved (R3.3, R3.5, R7.9) and no floor was broken by any call so far (R3.4).
    ///
    /// # Errors
    /// The first promise that does not hold.
    pub fn check(&self) -> Result<(), Breach> {
        if let Some(breach) = &self.breach {
            return Err(breach.clone());
        }
        let [held, bonds_held] = self.held;
        let payable: u128 = self.accounts.values().map(Account::payable).sum();
        let claimed = payable + self.pool.equity + self.revenue.unclaimed();
        if claimed != held {
            return Err(Breach::Conservation { claimed, held });
        }
        let queued = self.queue.iter().map(|owed| owed.amount).sum();
        if queued != self.pool.owed {
            return Err(Breach::Owed { queued, owed: self.pool.owed });
        }
        let claimed = self.bonds.claimed(self.config.court.bond);
        if claimed != bonds_held {
            return Err(Breach::Bonds { claimed, held: bonds_held });
        }
        Ok(())
    }

    fn floor_broken(&self, before: &Model) -> Option<Breach> {
        let lowered = |(id, account): (&AccountId, &Account)| {
            let (payable, locked) = (account.payable(), account.locked);
            let broken = payable < locked && payable < before.record(*id).payable();
            broken.then_some(Breach::Floor { account: *id, payable, locked })
        };
        (!self.outcome_applied).then(|| self.accounts.iter().find_map(lowered))?
    }

    fn arena(&self) -> Address {
        self.config.domain.arena
    }

    fn call_arena(&mut self, call: &Call, calldata: &[u8]) -> Result<(), Revert> {
        use Arena::ArenaCalls as To;
        let to = To::abi_decode_validate(calldata).map_err(|_| Revert::default())?;
        if call.value != U256::ZERO && !matches!(to, To::deposit(_) | To::fund(_)) {
            return Err(Revert::default());
        }
        match to {
            To::deposit(to) => self.deposit(call, to.account),
            To::settle(batch) => self.settle(call, &batch),
            To::settleSigned(batch) => self.settle_signed(call, &batch.entries),
            To::settleClaimed(one) => self.settle_claimed(call, &one),
            To::withdraw(withdrawal) => self.withdraw(call, &withdrawal),
            To::exit(exit) => self.exit(call, &exit),
            To::lock(lock) => self.lock(call, &lock),
            To::release(release) => self.release(call, &release),
            To::finishExit(exit) => self.finish_exit(call, exit.owner, exit.key),
            To::conclude(last) => self.conclude(&last),
            To::fund(_) => self.fund(call),
            To::requestPool(request) => self.request_pool(call, request.amount.to()),
            To::withdrawPool(_) => self.withdraw_pool(call),
            To::payOwed(n) => self.pay_owed(n.n),
            To::proposeSplit(split) => self.propose_split(call, &split.beneficiaries, &split.basisPoints),
            To::claimRevenue(claim) => self.claim_revenue(call, claim.beneficiary),
            // This arena's asset is the native coin.
            To::depositToken(_) | To::fundToken(_) => refuse(ArenaRefusal::WrongAsset {}),
            // The court calls these itself; nobody else may.
            To::dispute(_) | To::outcome(_) => refuse(ArenaRefusal::NotCourt {}),
            To::accountOf(_)
            | To::pool(_)
            | To::accountId(_)
            | To::resultsRoot(_)
            | To::revenueOf(_)
            | To::outcomeOf(_)
            | To::proveResult(_)
            | To::matchId(_)
            | To::domainSeparator(_)
            | To::operator(_)
            | To::token(_)
            | To::court(_)
            | To::exitWindow(_)
            | To::eip712Domain(_) => Ok(()),
        }
    }

    fn call_court(&mut self, call: &Call, calldata: &[u8]) -> Result<(), Revert> {
        use Court::CourtCalls as To;
        let to = To::abi_decode_validate(calldata).map_err(|_| Revert::default())?;
        if call.value != U256::ZERO && !matches!(to, To::contest(_)) {
            return Err(Revert::default());
        }
        match to {
            To::challenge(challenge) => self.challenge(call, &challenge),
            To::respond(answer) => self.respond(call, &answer),
            To::contest(contest) => self.contest(call, &contest),
            To::rule(ruling) => self.rule(call, &ruling),
            To::testify(testimony) => self.testify(&testimony),
            To::equivocate(proof) => self.equivocate(call, &proof),
            To::void(doubt) => self.void(call, &doubt),
            To::finalize(end) => self.finalize(call, &end),
            To::reclaim(reclaim) => self.reclaim(MatchId(reclaim.id)),
            To::claimBond(claim) => self.claim_bond(claim.contester),
            To::claimShare(claim) => self.claim_share(claim.owner, claim.key),
            To::arena(_)
            | To::REFEREE(_)
            | To::limits(_)
            | To::isArbiter(_)
            | To::bondOf(_)
            | To::shareOf(_)
            | To::docketHash(_)
            | To::accountId(_)
            | To::matchId(_)
            | To::domainSeparator(_)
            | To::eip712Domain(_) => Ok(()),
        }
    }

    fn call_referee(&mut self, call: &Call, calldata: &[u8]) -> Result<(), Revert> {
        use RefereeInterface::RefereeCalls as To;
        let to = To::abi_decode_validate(calldata).map_err(|_| Revert::default())?;
        if call.value != U256::ZERO {
            return Err(Revert::default());
        }
        match to {
            // A verdict that nobody asked for changes nothing.
            To::judge(question) => self.judged(&question).map(drop),
            To::run(_) => refuse(CourtRefusal::NotItself {}),
        }
    }

    fn expect_operator(&self, call: &Call) -> Result<(), Revert> {
        require(call.from == self.config.operator, ArenaRefusal::NotOperator {})
    }

    /// Sends wei to somebody. Neither contract takes any: not even from each other.
    fn push(&self, to: Address) -> Result<(), Revert> {
        require(to != self.arena() && to != self.config.court.address, ArenaRefusal::PaymentFailed { to })
    }

    /// A log of the arena's.
    fn log(&mut self, event: impl SolEvent) {
        self.logs.push(Log { address: self.arena(), data: event.encode_log_data() });
    }

    /// A log of the court's.
    fn log_of_court(&mut self, event: impl SolEvent) {
        self.logs.push(Log { address: self.config.court.address, data: event.encode_log_data() });
    }
}

/// The contract says no.
fn refuse<T>(error: impl SolError) -> Result<T, Revert> {
    Err(Revert { data: error.abi_encode().into() })
}

/// The contract says no unless this holds.
fn require(holds: bool, error: impl SolError) -> Result<(), Revert> {
    if holds { Ok(()) } else { refuse(error) }
}

fn amounts(words: &[U96]) -> Vec<Amount> {
    words.iter().map(|word| Amount::new(word.to()).expect("96 bits fit an amount")).collect()
}
