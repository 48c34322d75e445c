//! Rules on the chain: a cheat's header of every demo game is re-run and reversed, and an honest one stands.

use matchlock::{chain::CourtError, dispute::Phase, game::BasisPoints};
use matchlock_tests::{
    refereed,
    trying::{Top, Trying},
};

use crate::{node::Node, on_each_node};

/// A turn that is on the court's table.
const TURN: usize = 6;

async fn a_foul_of_every_game_is_re_run_and_reversed(node: Node) {
    for rules in refereed::games(BasisPoints::ZERO) {
        for top in [Top::Foul, Top::FalseBoard] {
            let trying = Trying::of(&node.url, &rules, TURN, top).await.expect("a dispute");
            let call = trying.contest(&*rules).await.expect("a contest");
            trying.close(&call).await.expect("the referee finds it illegal");
            let after = trying.docket().await.expect("a chain");
            let reversed = (after.phase(), after.turn() as usize);
            assert_eq!(reversed, (Phase::Closed, TURN - 1), "{}, {top:?}", rules.name());
        }
    }
}

async fn an_honest_move_of_every_game_stands(node: Node) {
    for rules in refereed::games(BasisPoints::ZERO) {
        let trying = Trying::of(&node.url, &rules, TURN, Top::Played).await.expect("a dispute");
        let call = trying.contest(&*rules).await.expect("a contest");
        let refused = trying.refused(&call).await.expect("a refusal");
        assert!(matches!(refused, CourtError::MoveIsLegal(_)), "{}: {refused:?}", rules.name());
    }
}

on_each_node!(a_foul_of_every_game_is_re_run_and_reversed, an_honest_move_of_every_game_stands);
