//! What an arbiter does about a header that is before it (R7.10): it judges, signs, and brings its word to the court. Nobody has to ask
//! it, and it talks to no other arbiter.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use matchlock::{
    abi::{MatchId, MatchTerms},
    dispute::{Dispute, Judgment},
};

use super::Post;
use crate::{arbiter::Bench, court::CourtInfo, sync::lock};

/// So long after nobody had a transcript it is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// A step is judged in so long, or not at all: a position that a cheat made up may lead a game anywhere.
const LONGEST_STEP: Duration = Duration::from_secs(20);

impl Post {
    /// Looks at a dispute as one of the court's arbiters.
    pub(super) fn arbitrate(
        self: &Arc<Self>,
        court: CourtInfo,
        bench: &Arc<Bench>,
        match_id: MatchId,
        dispute: &Dispute,
    ) {
        if dispute.docket().contested().is_none() || self.moment().passed > dispute.docket().until() {
            lock(&self.judging).remove(&match_id);
            return;
        }
        if let Some((judgment, signatures)) = dispute.verdict(match_id, court.quorum)
            && let Some(contest) = dispute.contest()
        {
            self.plead(court, judgment.rule(contest.terms(), dispute.docket(), &signatures));
            return;
        }
        // Fetching takes time; one look at a time.
        if std::mem::replace(&mut lock(&self.judging).entry(match_id).or_default().busy, true) {
            return;
        }
        let (post, bench, dispute) = (self.clone(), bench.clone(), dispute.clone());
        tokio::spawn(async move {
            if let Some((terms, judgment)) = post.judge(match_id, &dispute).await {
                post.decide(court, &bench, &terms, &dispute, &judgment);
            }
            if let Some(judging) = lock(&post.judging).get_mut(&match_id) {
                judging.busy = false;
            }
        });
    }

    /// Signs what the rules say, and brings it to the court once it is durable.
    fn decide(
        self: &Arc<Self>,
        court: CourtInfo,
        bench: &Bench,
        terms: &MatchTerms,
        dispute: &Dispute,
        judgment: &Judgment,
    ) {
        let (match_id, turn) = (judgment.ruling.match_id, judgment.turn);
        let (signature, ruled) = match bench.sign(judgment) {
            Ok(signed) => signed,
            Err(error) => return tracing::error!(%error, %match_id, turn, "no ruling"),
        };
        let plea = bench.plea(terms, dispute, judgment, signature);
        if !lock(&self.disputes).submit(self.now(), &plea) {
            return;
        }
        tracing::info!(%match_id, turn, legal = judgment.ruling.legal, "ruled");
        // The write's callback runs outside of the runtime.
        let (post, runtime) = (self.clone(), tokio::runtime::Handle::current());
        self.store.write(vec![ruled], move || {
            let _inside = runtime.enter();
            post.submit_plea(court, plea);
        });
    }

    /// What the rules say of the header that is before the arbiters. `None`: it cannot be known here, and nothing is said.
    async fn judge(&self, match_id: MatchId, dispute: &Dispute) -> Option<(MatchTerms, Judgment)> {
        if let Some(found) = self.judge_step(match_id, dispute).await {
            return Some(found);
        }
        if let Some(found) = self.judge_transcript(match_id, dispute) {
            return Some(found);
        }
        {
            let mut judging = lock(&self.judging);
            let asked = &mut judging.entry(match_id).or_default().asked;
            if asked.is_some_and(|asked| asked.elapsed() < ASK_AGAIN) {
                return None;
            }
            *asked = Some(Instant::now());
        }
        for entrusted in self.sources.fetch(match_id).await {
            let book = self.book.clone();
            match tokio::task::spawn_blocking(move || book.entrust(entrusted)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, %match_id, "a transcript that was fetched is not as it should be")
                }
                Err(error) => tracing::error!(%error, %match_id, "a transcript could not be checked"),
            }
        }
        let found = self.judge_transcript(match_id, dispute);
        if found.is_none() && !std::mem::replace(&mut lock(&self.judging).entry(match_id).or_default().silent, true) {
            let known = dispute.contest().is_none_or(|contest| self.games.contains_key(&contest.terms().rules));
            let why = match known {
                true => "neither the contest nor any source has what it takes",
                false => "the rules are not known here",
            };
            tracing::warn!(%match_id, turn = dispute.docket().contested(), "silent: {why}");
        }
        found
    }

    /// By what the contest gave: the position and the move.
    async fn judge_step(&self, match_id: MatchId, dispute: &Dispute) -> Option<(MatchTerms, Judgment)> {
        let contest = dispute.contest()?.clone();
        let (rules, docket) = (self.games.get(&contest.terms().rules)?.clone(), *dispute.docket());
        let terms = contest.terms().clone();
        let judged = tokio::task::spawn_blocking(move || contest.judgment(match_id, &docket, &*rules));
        match tokio::time::timeout(LONGEST_STEP, judged).await {
            Ok(Ok(judgment)) => Some((terms, judgment?)),
            Ok(Err(error)) => {
                tracing::error!(%error, %match_id, "the rules failed on a position that a contest gave");
                None
            }
            Err(_) => {
                tracing::error!(%match_id, "the rules find no end on a position that a contest gave");
                None
            }
        }
    }

    /// By a replay of what is held.
    fn judge_transcript(&self, match_id: MatchId, dispute: &Dispute) -> Option<(MatchTerms, Judgment)> {
        let file = match self.book.file(match_id) {
            Ok(file) => file?,
            Err(error) => {
                tracing::error!(%error, %match_id, "a transcript cannot be read");
                return None;
            }
        };
        Some((file.terms().clone(), file.counsel().judgment(dispute)?))
    }
}
