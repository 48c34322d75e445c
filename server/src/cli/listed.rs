//! `matchlock show`: a match turn by turn.

use std::{path::Path, sync::Arc};

use alloy_primitives::hex;
use matchlock::{game::BasisPoints, rules::Rules};
use serde_json::json;

use super::{CliError, Found, read, recording, rules_of, words};

pub(super) fn show(path: &Path, games: &impl Fn(BasisPoints) -> Vec<Arc<dyn Rules>>) -> Result<Found, CliError> {
    let file = read(path)?;
    let rules = rules_of(path, &file.transcript().terms, games)?;
    let recording = recording(path, file, &rules)?;
    let transcript = &recording.transcript;

    let mut text = words::heading(transcript, &*rules);
    let mut turns = Vec::new();
    // What the headers say: they are signed, and whether the rules agree is for a judge.
    let mut author = recording.computed.first().and_then(|start| start.mover);
    for turn in &transcript.turns {
        let state = &turn.state;
        let described = rules.describe_action(&turn.action);
        let played = described.map_or_else(|_| hex::encode_prefixed(&turn.action), |tree| tree.to_string());
        let arrived = transcript.arrivals.iter().find(|arrived| arrived.turn == state.turn).map(|arrived| arrived.at);
        let who = author.map_or("nobody".into(), |seat| seat.to_string());
        let when = arrived.map(|at| format!("  [{}]", words::utc(at))).unwrap_or_default();
        text += &format!("{:>5}  {who}  {played}{when}\n", state.turn);
        turns.push(json!({
            "turn": state.turn, "seat": author.map(|seat| seat.0), "move": played, "arrived": arrived,
            "payouts": state.payouts.iter().map(|payout| payout.to_string()).collect::<Vec<_>>(),
        }));
        author = state.mover();
    }
    let last = recording.computed.last().and_then(|placed| rules.describe(&placed.position).ok());
    if let Some(position) = &last {
        text += &format!("after turn {}: {position}\n", recording.computed.len() - 1);
    }
    let mut json = words::identity(transcript, &*rules);
    json["turns"] = json!(turns);
    json["position"] = json!(last.map(|position| position.to_string()));
    Ok(Found { text, json, well: true })
}
