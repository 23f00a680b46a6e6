//! The persistent record store.

/// Turns a value into a durable name and back.
#[async_trait::async_trait]
pub trait ResultStore<V>: Send + Sync {
    async fn persist(&self, value: &V) -> Result<Option<String>, slipway_solver::Failure>;
    async fn load(&self, name: &str) -> Result<V, slipway_solver::Failure>;
}
