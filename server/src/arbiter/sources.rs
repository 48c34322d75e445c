//! Where transcripts are to be had.

use matchlock::{
    abi::MatchId,
    client::{TowerError, Watchtower},
    entrust::Entrust,
};
use tokio::task::JoinSet;

/// Servers and towers that may have a match.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Vec<(String, Watchtower)>);

impl Sources {
    pub(crate) fn new(urls: &[String]) -> Result<Sources, TowerError> {
        let sources = urls.iter().map(|url| Ok((url.clone(), Watchtower::new(url)?)));
        Ok(Sources(sources.collect::<Result<_, TowerError>>()?))
    }

    /// What they have of a match, unchecked. All are asked at once.
    pub(crate) async fn fetch(&self, match_id: MatchId) -> Vec<Entrust> {
        let mut asked = JoinSet::new();
        for (url, source) in self.0.clone() {
            asked.spawn(async move { (url, source.transcript(match_id).await) });
        }
        let mut found = Vec::new();
        while let Some(Ok((url, answer))) = asked.join_next().await {
            match answer {
                Ok(Some(entrusted @ Entrust::Match { .. })) => found.push(entrusted),
                Ok(_) => tracing::info!(%match_id, url, "a source has no transcript"),
                Err(error) => tracing::warn!(%error, %match_id, url, "a source does not answer"),
            }
        }
        found
    }
}
