//! The [model](crate::model) against the bytecode: seeded random calls, valid and nearly so, with the same answer demanded of
//! both after every one of them. `tests/tests/model.rs` runs it, and `cargo run --bin mutants` against broken contracts.

mod cast;
mod court;
mod leaving;
mod money;
mod stage;

use std::{collections::BTreeMap, fmt};

use alloy_primitives::{Address, Bytes, Log, U256};
use alloy_sol_types::{SolCall, SolEvent, SolEventInterface};
use matchlock::{
    abi::{Arena, Court, Domain, Referee},
    chain::{ChainAccount, Revert},
    local::Dice,
    sign::Signer,
};

use crate::{
    model::{Applied, Model, ModelConfig, ModelCourt},
    world::Failure,
};
use cast::Cast;
pub use stage::Contracts;
use stage::{ALL_GAS, START, Sent, Stage, dev_key, salt};

/// Calls of one schedule.
pub const CALLS: usize = 60;
/// Matches of one schedule.
const BOUTS: usize = 8;

/// Where the model and the bytecode said something different.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The schedule.
    pub seed: u64,
    /// Which of its calls, from 0.
    pub call: usize,
    /// The function that was called.
    pub name: String,
    /// Who called it, and when.
    pub what: String,
    /// What was compared.
    pub of: String,
    /// What the model says of it.
    pub model: String,
    /// What the chain says.
    pub chain: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Divergence { seed, call, name: _, what, of, model, chain } = self;
        write!(f, "seed {seed}, call {call}: {of} differs\n  {what}\n  model: {model}\n  chain: {chain}")
    }
}

impl std::error::Error for Divergence {}

impl Divergence {
    /// In few words: the call that showed it, and in what.
    pub fn by(&self) -> String {
        format!("`{}`, {}", self.name, self.of.split(" 0x").next().unwrap_or_default())
    }
}

/// How often each call was answered in which way, over any number of schedules.
#[derive(Clone, Debug, Default)]
pub struct Tally(pub BTreeMap<(String, String), u64>);

impl Tally {
    /// Calls that were made.
    pub fn calls(&self) -> u64 {
        self.0.values().sum()
    }

    /// Answers of this kind to this call.
    pub fn count(&self, call: &str, answer: &str) -> u64 {
        self.0.get(&(call.to_owned(), answer.to_owned())).copied().unwrap_or(0)
    }
}

/// One call that somebody makes.
#[derive(Clone, Debug)]
struct Attempt {
    from: Address,
    to: Address,
    value: U256,
    data: Bytes,
    gas: u64,
}

/// Runs one schedule, and adds its answers to the tally.
///
/// # Errors
/// A [`Divergence`], or the chain does not work.
pub fn run(seed: u64, contracts: &Contracts, tally: &mut Tally) -> Result<(), Failure> {
    let mut play = Play::new(seed, contracts)?;
    for call in 0..CALLS {
        let attempt = play.choose();
        play.step(call, attempt, tally)?;
    }
    play.compare_purses()?;
    Ok(())
}

/// A schedule under way.
struct Play {
    seed: u64,
    dice: Dice,
    stage: Stage,
    model: Model,
    cast: Cast,
    now: u64,
    /// When the newest notice of the operator's matures.
    notice: u64,
    /// Whether all play before anybody has paid in.
    poor: bool,
    /// How often the pool could not pay.
    owed_added: usize,
}

impl Play {
    fn new(seed: u64, contracts: &Contracts) -> Result<Play, Failure> {
        let mut dice = Dice::new(seed);
        let mut arbiters: Vec<Address> = (6..9).map(|n| dev_key(n).address()).collect();
        arbiters.sort_unstable();
        let mut config = ModelConfig {
            domain: Domain { chain_id: 0, arena: Address::ZERO, salt: salt(seed) },
            operator: Address::ZERO,
            exit_window: *dice.pick(&[300, 700]),
            split: match dice.below(2) {
                0 => Vec::new(),
                _ => vec![(dev_key(0).address(), 3_333), (dev_key(9).address(), 6_667)],
            },
            court: ModelCourt {
                address: Address::ZERO,
                minimum: 60,
                patience: *dice.pick(&[60, 100]),
                bond: 1_001,
                quorum: 1 + dice.below(3) as u8,
                arbiters,
            },
            referees: BTreeMap::new(),
            rules: BTreeMap::new(),
        };
        let (stage, referee) = Stage::open(contracts, &mut config)?;
        config.referees.insert(referee, std::sync::Arc::new(cast::tictactoe()));
        let brought = cast::brought();
        config.rules.insert(brought.id().0, std::sync::Arc::new(brought));
        // Somebody has more than any record holds.
        stage.set_balance(dev_key(9).address(), U256::ONE << 120)?;
        let cast = Cast::new(&config);
        Ok(Play {
            seed,
            dice,
            stage,
            model: Model::new(config),
            cast,
            now: START + 10,
            notice: 0,
            poor: seed % 8 == 3,
            owed_added: 0,
        })
    }

    /// The next call: some whole way of paying, leaving or arguing is always under way.
    fn choose(&mut self) -> Attempt {
        self.pass_time();
        self.open_bouts();
        let focus = match self.seed.is_multiple_of(2) {
            _ if self.poor => 5,
            true => 85,
            false => 30,
        };
        let rare = match self.dice.below(12) {
            0 | 1 => self.outlive(),
            2 => self.hold_back(),
            _ => None,
        };
        let mut attempt = if let Some(attempt) = rare {
            attempt
        } else if self.dice.below(100) < focus {
            self.argue()
        } else if self.dice.below(100) < 55 {
            self.pay()
        } else {
            self.leave()
        };
        self.spoil(&mut attempt);
        attempt
    }

    /// Two matches at least are neither over nor past their expiry.
    fn open_bouts(&mut self) {
        let (config, left) = (self.model.config().clone(), |id| self.model.account(id).special);
        let staying: Vec<usize> =
            (0..self.cast.players.len() - 1).filter(|at| !left(self.cast.players[*at].id)).collect();
        let most = if self.poor { 2 * BOUTS } else { BOUTS };
        while (0..self.cast.bouts.len()).filter(|at| self.is_live(*at)).count() < 2 && self.cast.bouts.len() < most {
            self.cast.open_bout(&config, self.now, &staying, &mut self.dice);
        }
    }

    fn is_live(&self, at: usize) -> bool {
        let bout = &self.cast.bouts[at];
        match self.model.outcome(bout.id).status {
            0 => self.now <= bout.terms.expiry,
            1 => true,
            _ => false,
        }
    }

    /// One of the matches, mostly one that is not over.
    fn some_bout(&mut self) -> usize {
        let all: Vec<usize> = (0..self.cast.bouts.len()).collect();
        let live: Vec<usize> = all.iter().copied().filter(|at| self.is_live(*at)).collect();
        if live.is_empty() || self.dice.below(12) == 0 { *self.dice.pick(&all) } else { *self.dice.pick(&live) }
    }

    /// A few seconds, or on to a moment at which something begins or ends.
    fn pass_time(&mut self) {
        let minimum = u64::from(self.model.config().court.minimum);
        let step = match self.dice.below(40) {
            0 => self.dice.below(2 * minimum as u32).into(),
            1 => {
                let far = *self.dice.pick(&[100, 2_000]);
                let moments = self.moments();
                let ahead: Vec<u64> = moments.into_iter().filter(|at| *at > self.now && *at < self.now + far).collect();
                if ahead.is_empty() { 0 } else { *self.dice.pick(&ahead) - self.now - 1 }
            }
            _ => self.dice.below(4).into(),
        };
        self.now += step + 1;
    }

    /// What nobody who can write calldata does: the wrong sender, money for nothing, half a call.
    fn spoil(&mut self, attempt: &mut Attempt) {
        match self.dice.below(120) {
            0 => attempt.value = U256::ONE,
            1 => attempt.from = dev_key(9).address(),
            2 => {
                let end = self.dice.below(attempt.data.len() as u32) as usize;
                // Within a call's fixed part nothing else can be wrong first.
                attempt.data = attempt.data.slice(..end.min(4 + 31));
            }
            3 => attempt.to = self.model.config().court.address,
            _ => {}
        }
    }

    /// Sends the call, and compares everything that it can have changed.
    fn step(&mut self, call: usize, attempt: Attempt, tally: &mut Tally) -> Result<(), Failure> {
        let Attempt { from, to, value, data, gas } = &attempt;
        let sent = self.stage.send(self.now, *from, *to, *value, data, *gas)?;
        let mut model = self.model.clone();
        let said = model.apply(self.now, *from, *to, *value, data);
        let (name, seed) = (self.name(&attempt), self.seed);
        let what = format!("at {}, {from} calls {name} with {value}", self.now);
        let differ = |of: &str, model: String, chain: String| Divergence {
            seed,
            call,
            name: name.clone(),
            what: what.clone(),
            of: of.to_owned(),
            model,
            chain,
        };
        let answer = match (&said, &sent) {
            // Gas is outside of the model; a call that ran out of it has changed nothing.
            (_, Sent::Reverted(_)) if *gas < ALL_GAS => "starved".to_owned(),
            // The court counts from the docket's turn to the one shown: with a forged docket, until the gas is gone.
            (Err(refusal), Sent::Reverted(None)) if named(refusal).starts_with("OtherDocket") => "starved".to_owned(),
            // Enough for a verdict is enough for the right one (R7.8).
            // Enough gas for a verdict is enough for the right one (R7.8).
            (Ok(Applied { logs }), Sent::Done(seen)) => {
                if logs != seen {
                    return Err(differ("its logs", told(logs), told(seen)).into());
                }
                let before = std::mem::replace(&mut self.model, model);
                // Whatever it was not to change is looked at in the end.
                self.compare_records(&differ, Some(&before))?;
                for log in seen {
                    self.owed_added += usize::from(kind(log) == "OwedAdded");
                    *tally.0.entry(("logs".to_owned(), kind(log))).or_default() += 1;
                }
                "done".to_owned()
            }
            (Err(refusal), Sent::Reverted(Some(seen))) if refusal == seen => {
                named(refusal).split('(').next().unwrap_or_default().to_owned()
            }
            (said, Sent::Done(logs)) => {
                let said = said.as_ref().map_or_else(named, |applied| told(&applied.logs));
                return Err(differ("the answer", said, told(logs)).into());
            }
            (said, Sent::Reverted(seen)) => {
                let said = said.as_ref().map_or_else(named, |applied| told(&applied.logs));
                let seen = seen.as_ref().map_or_else(|| "no gas".to_owned(), named);
                return Err(differ("the answer", said, seen).into());
            }
        };
        *tally.0.entry((name, answer)).or_default() += 1;
        self.model.check()?;
        Ok(())
    }

    /// Every account, the pool, every match; or those that have changed.
    fn compare_records(
        &self,
        differ: &impl Fn(&str, String, String) -> Divergence,
        before: Option<&Model>,
    ) -> Result<(), Failure> {
        let arena = self.model.config().domain.arena;
        for player in &self.cast.players {
            if before.is_some_and(|before| before.account(player.id) == self.model.account(player.id)) {
                continue;
            }
            let seen: ChainAccount = self.stage.view(arena, &Arena::accountOfCall { account: player.id.0 })?.into();
            let said = self.model.account(player.id);
            if said != seen {
                let of = format!("the account {}", player.id);
                return Err(differ(&of, format!("{said:?}"), format!("{seen:?}")).into());
            }
        }
        let (said, seen) = (self.model.pool(), self.stage.view(arena, &Arena::poolCall {})?);
        if said != seen {
            return Err(differ("the pool", format!("{said:?}"), format!("{seen:?}")).into());
        }
        for bout in &self.cast.bouts {
            if before.is_some_and(|before| before.outcome(bout.id) == self.model.outcome(bout.id)) {
                continue;
            }
            let (said, seen) =
                (self.model.outcome(bout.id), self.stage.view(arena, &Arena::outcomeOfCall { id: bout.id.0 })?);
            if said != seen {
                let of = format!("the outcome of {}", bout.id);
                return Err(differ(&of, format!("{said:?}"), format!("{seen:?}")).into());
            }
        }
        Ok(())
    }

    /// At the end: what the contracts hold, and what everybody could still claim.
    fn compare_purses(&self) -> Result<(), Failure> {
        let differ = |of: &str, model: String, chain: String| Divergence {
            seed: self.seed,
            call: CALLS,
            name: "views".to_owned(),
            what: "in the end".to_owned(),
            of: of.to_owned(),
            model,
            chain,
        };
        self.compare_records(&differ, None)?;
        let config = self.model.config();
        let (arena, court) = (config.domain.arena, config.court.address);
        for (contract, held) in [arena, court].into_iter().zip(self.model.held()) {
            let seen = self.stage.balance(contract)?;
            if seen != U256::from(held) {
                return Err(differ(&format!("what {contract} holds"), held.to_string(), seen.to_string()).into());
            }
        }
        for who in (0..10).map(|n| dev_key(n).address()) {
            let revenue = self.stage.view(arena, &Arena::revenueOfCall { beneficiary: who })?.claimable;
            let bond = self.stage.view(court, &Court::bondOfCall { contester: who })?;
            let said = [self.model.revenue_of(who, self.now), self.model.bond_of(who)].map(U256::from);
            if said != [revenue, bond] {
                let seen = format!("{:?}", [revenue, bond]);
                return Err(differ(&format!("revenue and bonds of {who}"), format!("{said:?}"), seen).into());
            }
        }
        for player in &self.cast.players {
            let seen = self.stage.view(court, &Court::shareOfCall { account: player.id.0 })?;
            let said = U256::from(self.model.share_of(player.id));
            if said != seen {
                return Err(differ(&format!("shares of {}", player.id), said.to_string(), seen.to_string()).into());
            }
        }
        Ok(())
    }

    fn to_arena(&self, from: Address, call: &impl SolCall) -> Attempt {
        let to = self.model.config().domain.arena;
        Attempt { from, to, value: U256::ZERO, data: call.abi_encode().into(), gas: ALL_GAS }
    }

    fn to_court(&self, from: Address, call: &impl SolCall) -> Attempt {
        Attempt { to: self.model.config().court.address, ..self.to_arena(from, call) }
    }

    fn name(&self, attempt: &Attempt) -> String {
        let selector = attempt.data.get(..4).and_then(|selector| selector.try_into().ok()).unwrap_or_default();
        let known = if attempt.to == self.model.config().court.address {
            Court::CourtCalls::name_by_selector(selector)
        } else if attempt.to == self.model.config().court.referee() {
            Referee::RefereeCalls::name_by_selector(selector)
        } else {
            Arena::ArenaCalls::name_by_selector(selector)
        };
        known.unwrap_or("nothing known").to_owned()
    }
}

/// A refusal by its name.
fn named(refusal: &Revert) -> String {
    if refusal.data.is_empty() {
        return "refused without a reason".to_owned();
    }
    let arena = refusal.contract().map(|error| format!("{error:?}"));
    arena.or_else(|| refusal.court().map(|error| format!("{error:?}"))).unwrap_or_else(|| refusal.to_string())
}

fn told(logs: &[Log]) -> String {
    format!("[{}]", logs.iter().map(read).collect::<Vec<_>>().join(", "))
}

fn read(log: &Log) -> String {
    let arena = Arena::ArenaEvents::decode_log(log).map(|event| format!("{:?}", event.data));
    let court = |_| Court::CourtEvents::decode_log(log).map(|event| format!("{:?}", event.data));
    arena.or_else(court).unwrap_or_else(|_| format!("{log:?}"))
}

/// An event's name; of a skip the reason too.
fn kind(log: &Log) -> String {
    match Arena::Skipped::decode_log(log) {
        Ok(skipped) => format!("Skipped {}", skipped.reason),
        Err(_) => read(log).split('(').next().unwrap_or_default().to_owned(),
    }
}
