//! What a seed stands for: who plays, who cheats and how, and how bad the world is.

use std::fmt;

use matchlock::{local::Dice, rules::Rules};

/// How a player behaves.
#[allow(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// As the client does.
    Honest,
    /// Makes no move from this turn on.
    Stalls { from: u32 },
    /// Signs an illegal move in this turn, and asserts it in court.
    Cheats { turn: u32 },
    /// Shows the court another header for a turn than it sent.
    Forks { turn: u32 },
    /// Acknowledges no final that it did not write.
    RefusesFinals,
    /// Signs no statements.
    RefusesStatements,
    /// Exits in mid-match, with the oldest receipt it has.
    Exits { turn: u32 },
    /// Takes old states to court, again and again.
    Rewinds,
    /// Sends the contracts whatever it ever signed or saw, out of place.
    Replays,
    /// Is gone from this turn on.
    Vanishes { from: u32 },
    /// Stalls from this turn on, exits, and makes calls that lack a signature or claim too much.
    Forges { from: u32 },
}

impl Conduct {
    /// Whether it is as the client behaves.
    pub fn is_honest(self) -> bool {
        self == Conduct::Honest
    }
}

/// How the operator behaves.
#[allow(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// As the server does.
    Honest,
    /// The server is gone for good from then on, in seconds.
    Gone { at: u64 },
    /// The server answers nobody from then on, and runs on.
    Deaf { at: u64 },
    /// The pool holds less than the server believes.
    Overguarantees,
    /// Signs withdrawals and receipts for who cheats, whatever hangs on it.
    Colludes,
}

/// How an arbiter behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arbitration {
    /// Replays and rules.
    Honest,
    /// Says nothing.
    Silent,
    /// Says the opposite.
    Lies,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where it comes from.
    pub seed: u64,
    /// The game of its matches.
    pub game: &'static str,
    /// Seats of a match.
    pub seats: usize,
    /// The players.
    pub players: Vec<Conduct>,
    /// Matches that each honest player wants to begin.
    pub matches: u32,
    /// Seconds in which matches are begun.
    pub play: u64,
    /// The operator.
    pub operation: Operation,
    /// The arbiters.
    pub arbiters: Vec<Arbitration>,
    /// Of 1,000 durable writes of a client, so many crash it.
    pub client_crashes: u32,
    /// Of 1,000 durable writes of the server, so many crash it.
    pub server_crashes: u32,
    /// Of 1,000 frames, so many break their connection,
    pub breaks: u32,
    /// are lost, though it stays,
    pub losses: u32,
    /// come twice,
    pub repeats: u32,
    /// or overtake the one before.
    pub swaps: u32,
    /// Of 1,000 blocks, so many begin a reorg.
    pub reorgs: u32,
    /// Of 1,000 blocks, so many find the server cut off from its node, for a while.
    pub cuts: u32,
    /// Longest way of a frame, in milliseconds.
    pub latency: u32,
    /// Whether contested moves are re-run on the chain; arbiters rule on them otherwise.
    pub refereed: bool,
}

impl Plan {
    /// The schedule of a seed.
    pub fn of(seed: u64) -> Plan {
        let mut dice = Dice::new(seed);
        let (game, seats) = if dice.below(16) == 0 { ("pig", 3) } else { ("tictactoe", 2) };
        let count = seats + usize::from(dice.below(4) == 0);
        let mut players = vec![Conduct::Honest; count];
        // Every third schedule has honest players only: what the world alone can do to them.
        if dice.below(3) != 0 {
            let villains = 1 + dice.below(count as u32 - 1) as usize;
            for _ in 0..villains {
                let who = 1 + dice.below(count as u32 - 1) as usize;
                players[who] = conduct(&mut dice);
            }
        }
        let villainy = players.iter().any(|conduct| !conduct.is_honest());
        let operation = match dice.below(12) {
            0 | 1 => Operation::Gone { at: 5 + u64::from(dice.below(120)) },
            2 => Operation::Deaf { at: 5 + u64::from(dice.below(120)) },
            3 => Operation::Overguarantees,
            4 if villainy => Operation::Colludes,
            _ => Operation::Honest,
        };
        let arbiters = (0..3).map(|_| match dice.below(8) {
            0 => Arbitration::Silent,
            1 => Arbitration::Lies,
            _ => Arbitration::Honest,
        });
        let mut arbiters: Vec<_> = arbiters.collect();
        // One liar never makes a quorum.
        let mut liars = 0;
        for arbiter in &mut arbiters {
            liars += u32::from(*arbiter == Arbitration::Lies);
            if liars > 1 {
                *arbiter = Arbitration::Silent;
            }
        }
        let mut sometimes = |most: u32| if dice.below(3) == 0 { dice.below(most + 1) } else { 0 };
        let (client_crashes, server_crashes) = (sometimes(40), sometimes(20));
        let (breaks, losses, repeats, swaps) = (sometimes(30), sometimes(20), sometimes(50), sometimes(30));
        let (reorgs, cuts, latency) = (sometimes(100), sometimes(40), 20 + sometimes(3_000));
        let (matches, play) = (1 + dice.below(2), 20 + u64::from(dice.below(60)));
        Plan {
            seed,
            game,
            seats,
            players,
            matches,
            play,
            operation,
            arbiters,
            client_crashes,
            server_crashes,
            breaks,
            losses,
            repeats,
            swaps,
            reorgs,
            cuts,
            latency,
            // Drawn last: what a seed stood for before there were referees, it still does.
            refereed: dice.below(4) == 0,
        }
    }

    /// Whether it is a schedule of this game, with the judge that it has.
    pub(super) fn is_of(&self, rules: &dyn Rules) -> bool {
        rules.name() == self.game && rules.on_chain().is_some() == self.refereed
    }

    /// Whether somebody rules on what is contested: the chain, or enough arbiters that do what they are for.
    pub fn has_judge(&self) -> bool {
        self.refereed || self.arbiters.iter().filter(|arbiter| **arbiter == Arbitration::Honest).count() >= 2
    }
}

fn conduct(dice: &mut Dice) -> Conduct {
    let turn = 1 + dice.below(7);
    match dice.below(9) {
        0 => Conduct::Stalls { from: turn },
        1 => Conduct::Cheats { turn },
        2 => Conduct::Forks { turn },
        3 => Conduct::RefusesFinals,
        4 => Conduct::RefusesStatements,
        5 => Conduct::Exits { turn },
        6 => Conduct::Rewinds,
        7 => Conduct::Replays,
        _ => Conduct::Vanishes { from: turn },
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} for {}, {} matches each in {} s{}",
            self.seed,
            self.game,
            self.seats,
            self.matches,
            self.play,
            if self.refereed { ", with a referee" } else { "" }
        )?;
        for (n, conduct) in self.players.iter().enumerate() {
            writeln!(f, "  player {n}: {conduct:?}")?;
        }
        writeln!(f, "  operator: {:?}, arbiters: {:?}", self.operation, self.arbiters)?;
        writeln!(
            f,
            "  of 1,000 frames {} break a connection, {} are lost, {} come twice, {} overtake; latency up to {} ms",
            self.breaks, self.losses, self.repeats, self.swaps, self.latency
        )?;
        write!(
            f,
            "  of 1,000 writes {} crash a client, {} the server; of 1,000 blocks {} begin a reorg, {} cut the server off",
            self.client_crashes, self.server_crashes, self.reorgs, self.cuts
        )
    }
}
