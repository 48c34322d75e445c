//! `matchlock judge`: the verdict, in words.

use std::{path::Path, sync::Arc};

use matchlock::{
    game::{BasisPoints, Seat},
    rules::Rules,
    transcript::{Guilt, Held, Transcript, Verdict, judge as verdict_on},
};
use serde_json::{Value, json};

use super::{CliError, Found, read, rules_of, words};

pub(super) fn judge(
    path: &Path,
    now: u64,
    games: &impl Fn(BasisPoints) -> Vec<Arc<dyn Rules>>,
) -> Result<Found, CliError> {
    let file = read(path)?;
    let transcript = file.transcript();
    let rules = rules_of(path, &transcript.terms, games)?;
    let verdict =
        verdict_on(transcript, &rules).map_err(|error| CliError::NoEvidence { path: path.to_owned(), error })?;
    let seen = Seen { transcript, rules: &*rules, verdict: &verdict, now };
    let well = verdict.guilty.is_none() && verdict.holds.is_none();
    Ok(Found { text: seen.text(), json: seen.json(), well })
}

struct Seen<'a> {
    transcript: &'a Transcript,
    rules: &'a dyn Rules,
    verdict: &'a Verdict,
    now: u64,
}

impl Seen<'_> {
    fn text(&self) -> String {
        let mut text = words::heading(self.transcript, self.rules);
        for (i, account) in self.transcript.terms.seats.iter().enumerate() {
            let (stake, payout) = (self.transcript.terms.stakes[i], self.verdict.payouts[i]);
            let seat = Seat(i as u8);
            text += &format!("  {seat}  {account}  staked {stake}, gets {payout}\n");
        }
        text += &self.sentence();
        text += "\n";
        text
    }

    fn sentence(&self) -> String {
        let Verdict { turns, guilty, holds, concluded, .. } = self.verdict;
        if let Some(Guilt { seat, turn, fault }) = guilty {
            let who = words::capital(*seat);
            return format!(
                "{who} is guilty: its turn {turn} breaks the rules: {fault}.\nThe match stops at turn {turns}, as if {seat} \
                 had never acted again."
            );
        }
        if let Some(held) = holds {
            return self.held(held);
        }
        let operator = self.transcript.operator;
        match concluded {
            true => {
                format!("Legal and over after {turns} turns; every seat and the operator {operator} signed it off.")
            }
            false => format!("Legal and over after {turns} turns; not signed off by everyone."),
        }
    }

    fn held(&self, held: &Held) -> String {
        let Held { seat, turn, clock, since } = held;
        let who = words::capital(*seat);
        let rest = format!("The payouts are what {seat} leaves by never acting again.");
        let Some(arrived) = since else {
            return format!("Not over: {who} holds turn {turn}; no receipt of the operator says since when.\n{rest}");
        };
        let (at, operator) = (words::utc(arrived.at), self.transcript.operator);
        let clock = match held.overdue(self.now) {
            Some(late) => format!("{late} s beyond its clock of {clock} s"),
            None => format!("within its clock of {clock} s"),
        };
        format!("Not over: {who} has held turn {turn} since {at} (receipt by {operator}), {clock}.\n{rest}")
    }

    fn json(&self) -> Value {
        let Verdict { turns, payouts, guilty, holds, concluded, placed } = self.verdict;
        let terms = &self.transcript.terms;
        let seats = terms.seats.iter().zip(&terms.stakes).zip(payouts).map(|((account, stake), payout)| {
            json!({ "account": account.to_string(), "stake": stake.to_string(), "payout": payout.to_string() })
        });
        let guilty = guilty
            .as_ref()
            .map(|Guilt { seat, turn, fault }| json!({ "seat": seat.0, "turn": turn, "fault": fault.to_string() }));
        let holds = holds.as_ref().map(|held| {
            json!({
                "seat": held.seat.0, "turn": held.turn, "clock": held.clock,
                "since": held.since.map(|arrived| arrived.at), "overdue": held.overdue(self.now),
            })
        });
        let mut verdict = words::identity(self.transcript, self.rules);
        verdict["seats"] = seats.collect();
        verdict["turns"] = json!(turns);
        verdict["over"] = json!(placed.mover.is_none());
        verdict["concluded"] = json!(concluded);
        verdict["guilty"] = json!(guilty);
        verdict["holds"] = json!(holds);
        verdict
    }
}
