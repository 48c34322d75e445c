//! One call in a test says what a dispute of a game can cost on the chain: [`budget`].
//!
//! A match that nobody stalls costs the chain nothing. One that is stalled is shown to a court, and what has to be shown
//! then (headers, moves, signatures) depends on the game: how many seats it has, how long its moves are, how many turns
//! pass before everyone has signed. A game whose evidence does not fit a transaction has no court at all, and one whose
//! answers cost much more than the challenges is an invitation to grief.

mod cost;

use alloc::{boxed::Box, vec, vec::Vec};
use core::fmt;

use alloy_primitives::{Address, B256, Bytes, U256};

pub use cost::{Cost, DisputeCall};

use crate::{
    abi::{Arena, Court, MatchId, MatchTerms, State},
    account::AccountId,
    chance::LinkChain,
    dispute::Signed,
    game::{Amount, BasisPoints, Game, Seat},
    local::{Bot, Dice},
    rules::{self, GameRules, Placed, Rules, RulesError, RulesId},
    sign::Signature,
    wire::Turn,
};

/// Most gas that a transaction may ask for (EIP-7825).
pub const TRANSACTION_GAS: u64 = 1 << 24;
/// Most bytes of calldata that reach a block by themselves: nodes pass on no transaction above 128 KiB, envelope included.
pub const TRANSACTION_CALLDATA: u64 = 128 * 1024 - 512;
/// Most bytes of code and question that a referee can run (EIP-3860).
pub const MAX_INIT_CODE: usize = 48 * 1024;
/// Bytes of a question beside position and action: the seat, and the position's length.
pub const QUESTION_HEAD: usize = 3;

/// What a game's disputes may cost, as its developer sets it. Wherever a limit is wider than what the chain takes
/// ([`TRANSACTION_GAS`], [`TRANSACTION_CALLDATA`]), the chain's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of calldata of any one call.
    pub calldata: u64,
    /// Gas of any one call.
    pub gas: u64,
    /// What a victim may have to pay for every 100 gas of a griefer's.
    pub griefing: u64,
    /// Gas that the rules may take for one move on the chain, `budget` of the terms; 0 for arbiters.
    pub referee: u64,
    /// Bytes of the rules that a contest brings along, each counted as dear as it can be; 0 for arbiters, and for a contract
    /// that judges this game alone.
    pub code: usize,
}

impl Default for Limits {
    /// What the chain takes, arbiters, and no limit on griefing.
    fn default() -> Limits {
        Limits { calldata: TRANSACTION_CALLDATA, gas: TRANSACTION_GAS, griefing: u64::MAX, referee: 0, code: 0 }
    }
}

/// What disputes of a game cost at most, over random play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DisputeCost {
    /// Matches that were played for it.
    pub matches: u32,
    /// Opening a dispute with everything that was signed.
    pub challenge: Worst,
    /// Answering one with everything that was signed.
    pub respond: Worst,
    /// Naming a header as illegal: before the referee with all of its gas, or before the arbiters.
    pub contest: Worst,
    /// Applying what a dispute has come to.
    pub finalize: Worst,
    /// One dispute, opened as cheaply as can be, and answered with everything that was signed.
    pub stale: Griefing,
    /// A whole match on the chain: the griefer opens the dispute and makes each of its moves there, which forces each of
    /// the victim's. The seat with the fewest turns against the one with the most.
    pub whole: Griefing,
}

/// The dearest calls of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worst {
    /// By bytes of calldata.
    pub calldata: Peak,
    /// By gas.
    pub gas: Peak,
}

/// The largest of some figures, and where it was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// The figure.
    pub value: u64,
    /// Where.
    pub place: Place,
}

/// A position of random play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// How many played.
    pub seats: usize,
    /// The match's seed: `budget` with `seed..seed + 1` shows it again.
    pub seed: u64,
    /// Turns that were signed, reveals included.
    pub turn: u32,
}

/// What it takes one party to make another pay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Griefing {
    /// Gas that the griefer pays.
    pub griefer: u64,
    /// Gas that the victim pays for it.
    pub victim: u64,
    /// Where.
    pub place: Place,
}

impl Griefing {
    /// What the victim pays for every 100 gas of the griefer's, rounded up.
    pub fn hundredths(&self) -> u64 {
        match self.griefer {
            0 => 0,
            griefer => (self.victim * 100).div_ceil(griefer),
        }
    }
}

/// A game whose disputes cost more than they may, or that cannot be played.
#[derive(Debug, thiserror::Error)]
#[error("{game} with {seats} seats, seed {seed}, turn {turn}: {excess}", seats = place.seats, seed = place.seed, turn = place.turn)]
pub struct BudgetError {
    /// The game.
    pub game: &'static str,
    /// Where it shows.
    pub place: Place,
    /// What is too much there.
    pub excess: Excess,
}

/// What can be too much.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Excess {
    /// A bot's move was refused, or the rules broke their contract; `check` tells more.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The moves that have to be shown are too long, or too many.
    #[error(
        "{call} takes {bytes} bytes of calldata, and {limit} are allowed; make moves shorter, or let seats act in turn"
    )]
    Calldata {
        /// Which call.
        call: &'static str,
        /// What it takes.
        bytes: u64,
        /// What it may.
        limit: u64,
    },
    /// No referee can run these rules on this position.
    #[error(
        "the rules have {code} bytes and a position {position}: with the largest action {bytes}, and {limit} can be run; \
        make the code or the board smaller, or deploy a contract that judges this game"
    )]
    TooLarge {
        /// Bytes of the rules.
        code: usize,
        /// Bytes of the position.
        position: usize,
        /// What they come to, with the largest action that fits.
        bytes: usize,
        /// What they may.
        limit: usize,
    },
    /// The same in gas.
    #[error("{call} takes {gas} gas, and {limit} are allowed; make moves shorter, or let seats act in turn")]
    Gas {
        /// Which call.
        call: &'static str,
        /// What it takes.
        gas: u64,
        /// What it may.
        limit: u64,
    },
    /// A victim pays too much.
    #[error(
        "{how} costs the victim {victim} gas for {griefer} of the griefer's: {hundredths} for 100, and {limit} are allowed"
    )]
    Griefing {
        /// In which way.
        how: &'static str,
        /// What the griefer pays.
        griefer: u64,
        /// What the victim pays.
        victim: u64,
        /// The victim's part for 100 of the griefer's.
        hundredths: u64,
        /// What that may be.
        limit: u64,
    },
}

/// Plays one match for every seed with bots made by `bot`, at every number of seats, and computes at every turn what the
/// calls of a dispute would cost there: each is encoded as it would be sent, its bytes are counted, and its execution is
/// bounded as [`DisputeCall`] says. Called as [`check`](crate::check::check) is.
///
/// Figures are bounds from above: hashes and signatures count as if no byte of them were zero, stakes as the largest that
/// fit. What only a cheat can cause is not in them: a branch of its own that an answer has to show too (R7.4 c), or
/// headers above an illegal one.
///
/// ```
/// # use matchlock::{doc::TicTacToe, game::Seat, local::{Bot, Dice}};
/// # struct Anywhere(Dice);
/// # impl Bot<TicTacToe> for Anywhere {
/// #     fn choose(&mut self, board: &[Option<Seat>; 9], _: Seat) -> u8 {
/// #         let free: Vec<u8> = (0..9).filter(|cell| board[usize::from(*cell)].is_none()).collect();
/// #         *self.0.pick(&free)
/// #     }
/// # }
/// use matchlock::budget::{Limits, budget};
///
/// let bot = |seat: Seat, seed| Box::new(Anywhere(Dice::new(seed * 2 + u64::from(seat.0)))) as Box<dyn Bot<TicTacToe>>;
/// let limits = Limits { calldata: 3_000, gas: 110_000, griefing: 150, ..Limits::default() };
/// let cost = budget(&TicTacToe, 0..20, bot, &limits).unwrap_or_else(|error| panic!("{error}"));
/// println!("{cost}");
/// ```
///
/// # Errors
/// The game cannot be played, or costs more than `limits`: which call, how much, and the seed and turn that show it.
pub fn budget<G: Game>(
    game: &G,
    seeds: core::ops::Range<u64>,
    mut bot: impl FnMut(Seat, u64) -> Box<dyn Bot<G>>,
    limits: &Limits,
) -> Result<DisputeCost, BudgetError> {
    let mut cost = DisputeCost::default();
    for seed in seeds {
        for seats in game.seats() {
            let mut bots: Vec<_> = (0..seats).map(|i| bot(Seat(i as u8), seed)).collect();
            let mut place = Place { seats, seed, turn: 0 };
            let played = Played::new(game, &mut place, &mut bots).map_err(|error| BudgetError {
                game: G::NAME,
                place,
                excess: error.into(),
            })?;
            played.tried(limits.code, place).map_err(|(place, excess)| BudgetError { game: G::NAME, place, excess })?;
            played.add_to(&mut cost, limits, Place { turn: 0, ..place });
        }
    }
    cost.within(limits).map_err(|(place, excess)| BudgetError { game: G::NAME, place, excess })?;
    Ok(cost)
}

/// A hash, an id, an address without a zero byte: none costs more.
const HASH: B256 = B256::repeat_byte(0xff);
const ADDRESS: Address = Address::repeat_byte(0xff);
const SIGNATURE: Signature = Signature([0xff; 64]);

/// A match that was played, as a court would be shown it.
struct Played {
    terms: MatchTerms,
    start: State,
    owners: Vec<Address>,
    opening: Vec<Signature>,
    turns: Vec<Turn>,
    /// The largest position, in bytes, and the largest of its bytes: only a referee is shown one.
    positions: Vec<Vec<u8>>,
}

impl Played {
    fn new<G: Game>(game: &G, place: &mut Place, bots: &mut [Box<dyn Bot<G>>]) -> Result<Played, RulesError> {
        let rules = GameRules::new(game.clone(), BasisPoints::ZERO);
        // As large as eight of them can be, all different.
        let stakes: Vec<_> = (0..place.seats as u128)
            .map(|i| Amount::new((1 << 93) - 1 - i))
            .collect::<Result<_, _>>()
            .expect("96 bits");
        let mut dice = Dice::new(place.seed);
        let length = if G::CHANCE { rules.max_turns() / 2 + 1 } else { 0 };
        let chains: Vec<_> = stakes.iter().map(|_| LinkChain::new(B256::from(dice.bytes()), length)).collect();
        let anchors: Vec<_> = chains.iter().map(LinkChain::anchor).collect();

        let mut placed = rules.start(&stakes, &anchors)?;
        let start = header(0, &placed);
        let (mut turns, mut positions) = (Vec::new(), vec![placed.position.clone()]);
        while let Some(seat) = placed.mover {
            if place.turn >= rules.max_turns() {
                return Err(RulesError::Broken { game: G::NAME, why: "a match outlasts max_turns" });
            }
            let link = |tip: &B256| chains[seat.index()].after(tip);
            let (action, next) = if placed.reveal {
                rules.reveal(&placed.position, seat, &link)?
            } else {
                let play = bots[seat.index()].choose(&rules::board(&placed.position)?, seat);
                let play = postcard::to_allocvec(&play).map_err(|_| RulesError::Undecodable { what: "move" })?;
                rules.compose(&placed.position, seat, play, &link)?
            };
            place.turn += 1;
            turns.push(Turn { state: header(place.turn, &next), action: action.encode(), signature: SIGNATURE });
            positions.push(next.position.clone());
            placed = next;
        }
        let terms = MatchTerms {
            seats: vec![AccountId(ADDRESS); place.seats],
            indexes: vec![u32::MAX; place.seats],
            stakes,
            rules: RulesId(HASH),
            budget: 0,
            referee: Address::ZERO,
            clock: u32::MAX,
            max_turns: rules.max_turns(),
            chain_time: u32::MAX,
            open_by: u64::from(u32::MAX),
            expiry: u64::from(u32::MAX),
            seeds: vec![HASH; place.seats],
            start: HASH,
            salt: HASH,
        };
        let (owners, opening) = (vec![ADDRESS; place.seats], vec![SIGNATURE; place.seats]);
        Ok(Played { terms, start, owners, opening, turns, positions })
    }

    /// Whether a referee can run code of this size on every position, with whatever action a cheat signs.
    fn tried(&self, code: usize, place: Place) -> Result<(), (Place, Excess)> {
        let sizes = self.positions.iter().map(Vec::len).zip(0..);
        let Some((position, turn)) = sizes.max_by_key(|(size, _)| *size).filter(|_| code > 0) else { return Ok(()) };
        let bytes = code + QUESTION_HEAD + position + rules::MAX_ACTION;
        let place = Place { turn, ..place };
        let limit = MAX_INIT_CODE;
        if bytes <= limit { Ok(()) } else { Err((place, Excess::TooLarge { code, position, bytes, limit })) }
    }

    fn up_to(&self, turn: u32) -> Signed<'_> {
        let turns = &self.turns[..turn as usize];
        Signed { id: MatchId(HASH), start: &self.start, owners: &self.owners, opening: &self.opening, turns }
    }

    fn add_to(&self, cost: &mut DisputeCost, limits: &Limits, mut place: Place) {
        let terms = Arena::Match::from(&self.terms);
        let opening = self.cheapest_opening(&terms);
        let mut spent = vec![0; place.seats];
        let mut author = self.start.mover();
        for turn in 0..=self.turns.len() as u32 {
            place.turn = turn;
            let signed = self.up_to(turn);
            let shown = signed.evidence();
            let answer = self.respond(&terms, turn, shown.clone());
            if turn > 0 {
                cost.stale.raise(Griefing { griefer: opening, victim: answer.gas, place });
                let one = self.respond(&terms, turn - 1, signed.above(turn - 1));
                if let Some(spent) = author.and_then(|seat| spent.get_mut(seat.index())) {
                    *spent += one.gas;
                }
            }
            let top = signed.header(turn).unwrap_or(&self.start);
            author = top.mover();
            cost.finalize.raise(self.finalize(&terms, top).cost(), place);
            cost.respond.raise(answer, place);
            if let Some(contest) = self.contest(&terms, &shown, limits) {
                cost.contest.raise(contest.cost(), place);
            }
            let guarantee = SIGNATURE.0.to_vec().into();
            cost.challenge.raise(Court::challengeCall { terms: terms.clone(), guarantee, shown }.cost(), place);
        }
        let most = spent.iter().max().copied().unwrap_or(0);
        // The one who pays most is the victim; where two are equal it is either.
        let least = spent.iter().min().copied().unwrap_or(0);
        cost.whole.raise(Griefing { griefer: opening + least, victim: most, place });
        cost.matches += 1;
    }

    /// What the cheapest way into a dispute costs: State 0 alone, or a doubt (R7.12).
    fn cheapest_opening(&self, terms: &Arena::Match) -> u64 {
        let (owners, guarantee) = (self.owners.clone(), SIGNATURE.0.to_vec().into());
        let challenge = Court::challengeCall { terms: terms.clone(), guarantee, shown: self.up_to(0).evidence() };
        let signatures = SIGNATURE.0.repeat(self.owners.len() + 1).into();
        let void = Court::voidCall { terms: terms.clone(), owners, signatures };
        challenge.cost().gas.min(void.cost().gas)
    }

    fn respond(&self, terms: &Arena::Match, top: u32, shown: Court::Evidence) -> Cost {
        Court::respondCall { terms: terms.clone(), docket: self.docket(top), shown, fork: vec![] }.cost()
    }

    fn finalize(&self, terms: &Arena::Match, top: &State) -> Court::finalizeCall {
        Court::finalizeCall { terms: terms.clone(), docket: self.docket(top.turn), top: top.into() }
    }

    /// The header above the agreed one is accused, under all that follow; with the largest of their moves and positions.
    fn contest(&self, terms: &Arena::Match, shown: &Court::Evidence, limits: &Limits) -> Option<Court::contestCall> {
        let top = shown.headers.last()?.turn;
        let mut terms = terms.clone();
        let (mut code, mut position, mut action) = (Bytes::new(), Bytes::new(), Bytes::new());
        if limits.referee > 0 {
            (terms.referee, terms.budget) = (ADDRESS, limits.referee);
            code = vec![0xff; limits.code].into();
            let positions = &self.positions[shown.base.turn as usize..top as usize];
            position = positions.iter().max_by_key(|position| position.len())?.clone().into();
            action = shown.moves.iter().max_by_key(|action| action.len())?.clone();
        }
        let trail = core::iter::once(&shown.base).chain(&shown.headers).cloned().collect();
        Some(Court::contestCall { terms, docket: self.docket(top), trail, code, position, action })
    }

    /// A docket with this top: every moment and every chain time as late as their fields hold.
    fn docket(&self, top: u32) -> Court::Docket {
        let each_seat =
            |value: u32| (0..self.owners.len()).fold(U256::ZERO, |all, seat| all | U256::from(value) << (32 * seat));
        let brief = U256::from(top) | U256::MAX >> 64 << 32;
        Court::Docket { top: HASH, brief, acks: each_seat(top), spent: each_seat(u32::MAX) }
    }
}

/// The header of a position, with every hash as dear as it can be.
fn header(turn: u32, placed: &Placed) -> State {
    let mut header = State::after(turn, crate::abi::StateHash(HASH), HASH, placed);
    header.board = HASH;
    header
}

impl DisputeCost {
    fn within(&self, limits: &Limits) -> Result<(), (Place, Excess)> {
        let (calldata, gas) = (limits.calldata.min(TRANSACTION_CALLDATA), limits.gas.min(TRANSACTION_GAS));
        for (call, worst) in self.calls() {
            let Peak { value: bytes, place } = worst.calldata;
            if bytes > calldata {
                return Err((place, Excess::Calldata { call, bytes, limit: calldata }));
            }
            let Peak { value, place } = worst.gas;
            if value > gas {
                return Err((place, Excess::Gas { call, gas: value, limit: gas }));
            }
        }
        for (how, grief) in [("a stale challenge", self.stale), ("a match made on the chain", self.whole)] {
            let (Griefing { griefer, victim, place }, hundredths) = (grief, grief.hundredths());
            if hundredths > limits.griefing {
                let limit = limits.griefing;
                return Err((place, Excess::Griefing { how, griefer, victim, hundredths, limit }));
            }
        }
        Ok(())
    }

    fn calls(&self) -> [(&'static str, Worst); 4] {
        [
            ("challenge", self.challenge),
            ("respond", self.respond),
            ("contest", self.contest),
            ("finalize", self.finalize),
        ]
    }
}

impl Worst {
    fn raise(&mut self, cost: Cost, place: Place) {
        for (peak, value) in [(&mut self.calldata, cost.bytes), (&mut self.gas, cost.gas)] {
            if value > peak.value {
                *peak = Peak { value, place };
            }
        }
    }
}

impl Griefing {
    fn raise(&mut self, other: Griefing) {
        if other.hundredths() > self.hundredths() {
            *self = other;
        }
    }
}

impl fmt::Display for DisputeCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} matches; at most:", self.matches)?;
        for (call, worst) in self.calls() {
            let (Peak { value: bytes, .. }, Peak { value: gas, place }) = (worst.calldata, worst.gas);
            writeln!(f, "  {call:<10}{gas:>10} gas {bytes:>8} bytes   {place}")?;
        }
        for (how, grief) in [("a stale challenge", self.stale), ("a whole match", self.whole)] {
            let (Griefing { griefer, victim, place }, hundredths) = (grief, grief.hundredths());
            writeln!(f, "  {how}: {victim} gas for {griefer} of the griefer's, {hundredths} for 100   {place}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} seats, seed {}, turn {})", self.seats, self.seed, self.turn)
    }
}
