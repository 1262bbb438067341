//! Runs what the engine asks for. `local-cloud` implements it for real.

use arm_engine::effect::{Effect, Outcome};
use async_trait::async_trait;

#[async_trait]
pub trait Effects: Send + Sync + 'static {
    /// Makes the world as the effect says. Called again after a crash: must be idempotent.
    async fn run(&self, effect: Effect) -> Outcome;
}
