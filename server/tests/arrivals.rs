//! Receipts of arrival: the operator signs for when a turn came, for who sat there and nobody else.

mod common;

use common::{Client, Game, WIN, World, finish, open};
use matchlock::{
    abi::StateHash,
    sign::{Signer, verify},
    wire::{About, Arrived, Have, MAX_ARRIVALS, Refusal, ToClient, ToServer},
};

async fn arrivals(client: &mut Client, game: &Game, from: u32) -> Vec<Arrived> {
    client.send(&ToServer::Arrivals { tag: 5, match_id: game.id, from }).await;
    client
        .expect(|frame| match frame {
            ToClient::Arrivals { tag: 5, match_id, arrivals } if *match_id == game.id => Some(arrivals.clone()),
            _ => None,
        })
        .await
}

/// Each is the operator's, for the header of its turn.
fn checked(world: &World, client: &Client, game: &Game, arrivals: &[Arrived], headers: &[StateHash]) {
    for arrived in arrivals {
        assert_eq!(arrived.state, headers[arrived.turn as usize]);
        let digest = client.domain().digest(arrived.arrival(game.id).struct_hash());
        verify(digest, &arrived.signature, world.operator.address()).expect("the operator's");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_signs_for_every_turn_that_it_has_kept() {
    let world = World::new().await;
    let server = world.start().await;
    let (mut a, mut b) = (world.player(&server, 1, 1_000).await, world.player(&server, 2, 1_000).await);
    let mut game = open(&world, &mut a, &mut b, 100, [0, 0]).await;
    let mut headers = vec![game.state.hash(game.id)];
    let first = arrivals(&mut b, &game, 0).await;
    assert_eq!(first.iter().map(|arrived| arrived.turn).collect::<Vec<_>>(), [0], "State 0 has a time too");
    for play in [WIN[0], WIN[1]] {
        let (from, to) = if game.state.turn == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let turn = game.turn(from, play);
        from.send(&game.frame(&turn)).await;
        headers.push(game.state.hash(game.id));
        assert_eq!(to.turn().await, turn);
        // Asked for at once, while the turn is on its way to the disk: the answer comes behind it.
        let known = arrivals(to, &game, game.state.turn).await;
        assert_eq!(known.iter().map(|arrived| arrived.turn).collect::<Vec<_>>(), [game.state.turn]);
        from.stored().await;
    }
    let all = arrivals(&mut a, &game, 0).await;
    assert_eq!(all.iter().map(|arrived| arrived.turn).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(all.is_sorted_by_key(|arrived| arrived.at) && all[0].at > 1_700_000_000, "{all:?}");
    checked(&world, &a, &game, &all, &headers);
    assert_eq!(arrivals(&mut b, &game, 2).await, all[2..]);
    assert_eq!(arrivals(&mut b, &game, 3).await, []);
    assert_eq!(arrivals(&mut b, &game, u32::MAX).await, []);

    // The same times after a restart, and after the match.
    let have = [Have { match_id: game.id, turn: Some(2) }];
    server.kill().await;
    let server = world.start().await;
    let (mut a, mut b) = (a.wallet.log_in(&server, &have).await, b.wallet.log_in(&server, &have).await);
    assert_eq!(arrivals(&mut a, &game, 0).await, all);
    finish(&mut game, &mut a, &mut b).await;
    let after = arrivals(&mut a, &game, 0).await;
    assert_eq!((after.len(), &after[..3]), (6, &all[..]));
    assert!(after.len() <= MAX_ARRIVALS);

    let stranger = world.depositor(3, 0).await;
    let mut stranger = stranger.log_in(&server, &[]).await;
    stranger.send(&ToServer::Arrivals { tag: 9, match_id: game.id, from: 0 }).await;
    assert_eq!(stranger.refusal().await, (About::Request(9), Refusal::UnknownMatch));
    server.shutdown().await;
}
