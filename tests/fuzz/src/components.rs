//! Components that are nearly right: the host says what is wrong, and goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use eventfabric::plugin::{Limits, LoadError, Runtime};
use rand::rngs::StdRng;

use crate::Round;
use crate::mutate::mutate;

const COMPONENTS: usize = 10;
/// Loading is compiling and a call of `describe`, which has its own limit.
const TIME: Duration = Duration::from_secs(120);

/// Loads a component with bytes changed, many times.
pub async fn round(rng: &mut StdRng, guests: &Path) -> anyhow::Result<Round> {
    let file = guests.join("counter_v1.wasm");
    let whole = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let runtime = Runtime::new(None, Limits::default())?;
    let mut round = Round::default();
    for _ in 0..COMPONENTS {
        let mut bytes = whole.clone();
        mutate(rng, &mut bytes);
        let runtime = runtime.clone();
        // On a task of its own, as a panic is a finding.
        let loading = tokio::spawn(async move { runtime.load(Arc::from(bytes)).await.map(drop) });
        match tokio::time::timeout(TIME, loading).await {
            Err(_) => round.found("it was not loaded or refused in time".to_owned()),
            Ok(Err(panic)) => round.found(panic.to_string()),
            Ok(Ok(Ok(()))) => round.count("loaded"),
            Ok(Ok(Err(LoadError::Compile(message)))) if message.contains("gave up") => {
                round.found(message);
            }
            Ok(Ok(Err(_))) => round.count("refused"),
        }
    }
    // And it can still load one that is right.
    if let Err(error) = runtime.load(Arc::from(whole)).await {
        round.found(format!("after them the right one is refused: {error}"));
    }
    Ok(round)
}
