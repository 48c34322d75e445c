//! Schedules that bring about what once broke a draft of the protocol (PROTOCOL, section 11), each by its name.

use super::plan::{Arbitration, Conduct, Operation, Plan};

/// A kind of schedule.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// The traces of section 11, or the promise of section 1, that it is about.
    pub about: &'static str,
    /// What is fixed in it; the rest is the seed's.
    pub set: fn(&mut Plan),
    /// What has to happen in some of its schedules, as a [`Tally`](super::Tally) counts it.
    pub happens: &'static [&'static str],
}

impl Scenario {
    /// The schedule of a seed.
    pub fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan::of(seed);
        (plan.game, plan.seats) = ("tictactoe", 2);
        plan.players = vec![Conduct::Honest; 2];
        plan.operation = Operation::Honest;
        plan.arbiters = vec![Arbitration::Honest; 3];
        (plan.matches, plan.refereed) = (2, false);
        (self.set)(&mut plan);
        plan
    }
}

fn against(plan: &mut Plan, conduct: fn(u32) -> Conduct) {
    // Every turn of a game of nine gets its schedule.
    plan.players[1] = conduct(1 + (plan.seed % 8) as u32);
}

/// Each has its program for the chain.
const GAMES: [&str; 4] = ["tictactoe", "connectfour", "broadside", "pig"];

fn gone(plan: &mut Plan) {
    plan.operation = Operation::Gone { at: 12 + plan.seed % 40 };
}

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a_player_who_stalls_pays_what_the_rules_say",
        about: "promise 4; traces 9, 24",
        set: |plan| against(plan, |from| Conduct::Stalls { from }),
        happens: &["chain: Shown", "chain: Finalized"],
    },
    Scenario {
        name: "a_player_who_stalls_pays_though_the_server_is_gone",
        about: "promises 4 and 5; trace 20",
        set: |plan| {
            against(plan, |from| Conduct::Stalls { from });
            gone(plan);
        },
        happens: &["client: challenge", "client: finalize", "chain: ExitFinished"],
    },
    Scenario {
        name: "an_illegal_move_is_contested_ruled_on_and_pays_nothing",
        about: "promise 4; traces 4, 31, 36",
        set: |plan| against(plan, |turn| Conduct::Cheats { turn }),
        happens: &["chain: Contested", "chain: Closed", "chain: BondReturned"],
    },
    Scenario {
        name: "where_arbiters_are_silent_the_stakes_go_back",
        about: "traces 10, 35",
        set: |plan| {
            against(plan, |turn| Conduct::Cheats { turn });
            plan.arbiters = vec![Arbitration::Silent, Arbitration::Honest, Arbitration::Silent];
        },
        happens: &["chain: Contested", "chain: Finalized"],
    },
    Scenario {
        name: "an_arbiter_that_lies_alone_rules_on_nothing",
        about: "promise 4 (m of n arbiters)",
        set: |plan| {
            against(plan, |turn| Conduct::Cheats { turn });
            plan.arbiters = vec![Arbitration::Lies, Arbitration::Honest, Arbitration::Honest];
        },
        happens: &["chain: Closed"],
    },
    Scenario {
        name: "an_illegal_move_is_re_run_on_the_chain_and_pays_nothing",
        about: "promise 4 (a game with a referee); traces 18, 38",
        set: |plan| {
            against(plan, |turn| Conduct::Cheats { turn });
            (plan.refereed, plan.arbiters) = (true, vec![Arbitration::Silent; 3]);
            plan.game = GAMES[(plan.seed / 8) as usize % GAMES.len()];
        },
        happens: &["chain: Closed", "chain: Finalized"],
    },
    Scenario {
        name: "an_illegal_move_is_re_run_on_the_chain_though_the_server_is_gone",
        about: "promises 4 and 5 (a game with a referee)",
        set: |plan| {
            against(plan, |turn| Conduct::Cheats { turn });
            (plan.refereed, plan.arbiters) = (true, vec![Arbitration::Silent; 3]);
            gone(plan);
        },
        happens: &["client: contest", "chain: Closed"],
    },
    Scenario {
        name: "a_legal_move_is_not_re_run_into_an_illegal_one",
        about: "traces 7, 18, 38",
        set: |plan| {
            plan.players[1] = Conduct::Replays;
            plan.refereed = true;
        },
        happens: &["chain: Shown"],
    },
    Scenario {
        name: "two_headers_for_one_turn_rewind_nothing_that_is_agreed",
        about: "traces 13, 16, 32",
        set: |plan| against(plan, |turn| Conduct::Forks { turn }),
        happens: &["chain: Shown"],
    },
    Scenario {
        name: "old_states_are_answered_again_and_again",
        about: "traces 30, 34",
        set: |plan| plan.players[1] = Conduct::Rewinds,
        happens: &["chain: Shown"],
    },
    Scenario {
        name: "old_states_are_answered_though_the_server_is_gone",
        about: "promise 4; traces 30, 34",
        set: |plan| {
            plan.players[1] = Conduct::Rewinds;
            gone(plan);
        },
        happens: &["client: respond"],
    },
    Scenario {
        name: "what_was_signed_elsewhere_counts_nowhere_else",
        about: "traces 7, 14, 27, 39",
        set: |plan| plan.players[1] = Conduct::Replays,
        happens: &["chain: Shown"],
    },
    Scenario {
        name: "what_lacks_a_signature_or_claims_too_much_counts_for_nothing",
        about: "promises 3 and 8; traces 1, 7, 15, 28, 29",
        set: |plan| against(plan, |from| Conduct::Forges { from }),
        happens: &["chain: ExitOpened", "chain: Finalized"],
    },
    Scenario {
        name: "a_loser_who_exits_in_mid_match_leaves_its_stake",
        about: "traces 5, 28",
        set: |plan| against(plan, |turn| Conduct::Exits { turn }),
        happens: &["chain: ExitOpened", "chain: Locked"],
    },
    Scenario {
        name: "a_final_that_the_loser_does_not_sign_still_counts",
        about: "promise 2",
        set: |plan| plan.players[1] = Conduct::RefusesFinals,
        happens: &["chain: Finalized"],
    },
    Scenario {
        name: "a_loser_who_signs_no_statement_keeps_nobody_from_the_money",
        about: "traces 3, 17, 20",
        set: |plan| plan.players[1] = Conduct::RefusesStatements,
        happens: &["chain: Withdrawn"],
    },
    Scenario {
        name: "a_proposal_that_hangs_costs_nothing",
        about: "traces 8, 25",
        set: |plan| plan.players[1] = Conduct::Vanishes { from: 1 },
        happens: &["chain: Withdrawn"],
    },
    Scenario {
        name: "an_operator_that_vanishes_keeps_nothing",
        about: "promise 5",
        set: gone,
        happens: &["chain: ExitOpened", "chain: ExitFinished"],
    },
    Scenario {
        name: "an_operator_that_answers_nobody_keeps_nothing",
        about: "promise 5",
        set: |plan| plan.operation = Operation::Deaf { at: 12 + plan.seed % 40 },
        happens: &["chain: ExitOpened", "chain: ExitFinished"],
    },
    Scenario {
        name: "an_operator_that_promises_too_much_costs_unsettled_winnings_at_most",
        about: "promise 6; traces 1, 23",
        set: |plan| {
            plan.operation = Operation::Overguarantees;
            against(plan, |from| Conduct::Stalls { from });
        },
        happens: &["chain: Finalized"],
    },
    Scenario {
        name: "an_operator_that_helps_a_cheat_pays_for_it_itself",
        about: "promise 8; traces 2, 12, 15, 23",
        set: |plan| {
            plan.operation = Operation::Colludes;
            against(plan, |from| Conduct::Stalls { from });
        },
        happens: &["chain: Withdrawn", "chain: Finalized"],
    },
    Scenario {
        name: "crashes_at_any_write_lose_nothing_that_was_signed",
        about: "R5.10; section 9",
        set: |plan| (plan.client_crashes, plan.server_crashes) = (40, 20),
        happens: &["world: client crashes", "world: server crashes"],
    },
    Scenario {
        name: "reorgs_take_back_nothing_that_counts",
        about: "section 9",
        set: |plan| {
            plan.reorgs = 200;
            against(plan, |from| Conduct::Stalls { from });
        },
        happens: &["world: reorg", "chain: Finalized"],
    },
    Scenario {
        name: "a_network_that_loses_repeats_and_reorders_loses_nobody_money",
        about: "section 10",
        set: |plan| (plan.breaks, plan.losses, plan.repeats, plan.swaps, plan.latency) = (30, 20, 50, 30, 2_000),
        happens: &["world: connection lost", "world: frame lost"],
    },
];
