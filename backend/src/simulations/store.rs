//! Every query about simulations.

use backend_api::simulations::{
    ACTIVE_AT_MOST, DEFAULT_SEEDS, KEPT, NewSimulation, Simulation, SimulationDetail, SimulationResult, SimulationState,
};
use serde_json::Value;
use sqlx::postgres::PgPool;

/// A replica that does not say for this long that it still runs a job has lost it.
const LEASE_SECONDS: f64 = 15.0;
/// A job that takes its replica down would take down the next one too.
const ATTEMPTS_AT_MOST: i32 = 3;

#[derive(Clone)]
pub struct Store {
    pool: PgPool,
}

/// What a worker needs of a job that it has taken.
#[derive(Debug)]
pub struct Taken {
    pub id: String,
    pub scenario: Value,
    pub trace: Option<String>,
    pub seeds: u32,
}

/// A row, with times as text: RFC 3339 in UTC.
struct Row {
    id: String,
    title: String,
    state: String,
    progress: f64,
    seeds: i32,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    error: Option<String>,
    usd_month: Option<f64>,
    p99_ms: Option<f64>,
}

impl From<Row> for Simulation {
    fn from(row: Row) -> Simulation {
        Simulation {
            state: match row.state.as_str() {
                "queued" => SimulationState::Queued,
                "running" => SimulationState::Running,
                "done" => SimulationState::Done,
                "cancelled" => SimulationState::Cancelled,
                _ => SimulationState::Failed,
            },
            id: row.id,
            title: row.title,
            progress: row.progress,
            seeds: row.seeds.try_into().unwrap_or_default(),
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            error: row.error,
            usd_month: row.usd_month,
            p99_ms: row.p99_ms,
        }
    }
}

impl Store {
    pub fn new(pool: PgPool) -> Store {
        Store { pool }
    }

    /// `None` where as many as may be wait already.
    ///
    /// # Errors
    /// When PostgreSQL does not answer, as with every query here.
    pub async fn add(&self, request: &NewSimulation) -> Result<Option<Simulation>, sqlx::Error> {
        self.forget_old().await?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let seeds = request.seeds.unwrap_or(DEFAULT_SEEDS).cast_signed();
        let added = sqlx::query!(
            r#"
            INSERT INTO simulations (id, title, scenario, trace, seeds)
            SELECT $1, $2, $3, $4, $5
            WHERE (SELECT count(*) FROM simulations WHERE state IN ('queued', 'running')) < $6
            "#,
            id,
            request.title,
            request.scenario,
            request.trace,
            seeds,
            i64::from(ACTIVE_AT_MOST)
        )
        .execute(&self.pool)
        .await?;
        if added.rows_affected() == 0 { Ok(None) } else { self.one(&id).await }
    }

    async fn forget_old(&self) -> Result<(), sqlx::Error> {
        sqlx::query!(
            r#"
            DELETE FROM simulations WHERE id IN (
                SELECT id FROM simulations WHERE state NOT IN ('queued', 'running') ORDER BY created_at DESC, id OFFSET $1
            )
            "#,
            i64::from(KEPT)
        )
        .execute(&self.pool)
        .await
        .map(drop)
    }

    /// Newest first.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub async fn all(&self) -> Result<Vec<Simulation>, sqlx::Error> {
        self.select(None).await
    }

    /// # Errors
    /// When PostgreSQL does not answer.
    pub async fn one(&self, id: &str) -> Result<Option<Simulation>, sqlx::Error> {
        Ok(self.select(Some(id)).await?.pop())
    }

    async fn select(&self, id: Option<&str>) -> Result<Vec<Simulation>, sqlx::Error> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            SELECT id, title, state, progress, seeds, error, usd_month, p99_ms,
                   to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "created_at!",
                   to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS started_at,
                   to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS finished_at
            FROM simulations WHERE $1::text IS NULL OR id = $1 ORDER BY created_at DESC, id
            "#,
            id
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Simulation::from).collect())
    }

    /// # Errors
    /// When PostgreSQL does not answer.
    pub async fn detail(&self, id: &str) -> Result<Option<SimulationDetail>, sqlx::Error> {
        let Some(simulation) = self.one(id).await? else { return Ok(None) };
        let row = sqlx::query!("SELECT scenario, result FROM simulations WHERE id = $1", id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| SimulationDetail {
            simulation,
            scenario: row.scenario,
            // A result of another version is as good as none.
            result: row.result.and_then(|result| serde_json::from_value(result).ok()),
        }))
    }

    /// Cancels what waits or runs, forgets what has ended; tells what it was.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub async fn cancel(&self, id: &str) -> Result<Option<Simulation>, sqlx::Error> {
        let cancelled = sqlx::query!(
            r#"
            UPDATE simulations SET state = 'cancelled', finished_at = now(), lease_until = NULL, worker = NULL
            WHERE id = $1 AND state IN ('queued', 'running')
            "#,
            id
        )
        .execute(&self.pool)
        .await?;
        let found = self.one(id).await?;
        if cancelled.rows_affected() == 0 {
            sqlx::query!("DELETE FROM simulations WHERE id = $1 AND state NOT IN ('queued', 'running')", id)
                .execute(&self.pool)
                .await?;
        }
        Ok(found)
    }

    /// The oldest job that nobody runs, or whose replica has fallen silent. Replicas that ask together get different ones.
    ///
    /// # Errors
    /// When PostgreSQL does not answer or the migrations are not applied yet.
    pub async fn take(&self, worker: &str) -> Result<Option<Taken>, sqlx::Error> {
        sqlx::query!(
            r#"
            UPDATE simulations
            SET state = 'failed', error = 'it was begun three times and never came to its end', finished_at = now(), lease_until = NULL
            WHERE state = 'running' AND lease_until < now() AND attempts >= $1
            "#,
            ATTEMPTS_AT_MOST
        )
        .execute(&self.pool)
        .await?;
        let row = sqlx::query!(
            r#"
            UPDATE simulations
            SET state = 'running', worker = $1, attempts = attempts + 1, progress = 0,
                started_at = coalesce(started_at, now()), lease_until = now() + make_interval(secs => $2)
            WHERE id = (
                SELECT id FROM simulations
                WHERE state = 'queued' OR (state = 'running' AND lease_until < now())
                ORDER BY created_at FOR UPDATE SKIP LOCKED LIMIT 1
            )
            RETURNING id, scenario, trace, seeds
            "#,
            worker,
            LEASE_SECONDS
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Taken {
            id: row.id,
            scenario: row.scenario,
            trace: row.trace,
            seeds: row.seeds.try_into().unwrap_or(1),
        }))
    }

    /// Says that the job goes on; false when it was cancelled or somebody else has it now.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub async fn go_on(&self, id: &str, worker: &str, progress: f64) -> Result<bool, sqlx::Error> {
        let kept = sqlx::query!(
            r#"
            UPDATE simulations SET progress = $3, lease_until = now() + make_interval(secs => $4)
            WHERE id = $1 AND worker = $2 AND state = 'running'
            "#,
            id,
            worker,
            progress,
            LEASE_SECONDS
        )
        .execute(&self.pool)
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    /// Has no effect on a job that was cancelled or taken over meanwhile.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub async fn finish(
        &self,
        id: &str,
        worker: &str,
        outcome: &Result<SimulationResult, String>,
    ) -> Result<(), sqlx::Error> {
        let (state, result, error) = match outcome {
            Ok(result) => match serde_json::to_value(result) {
                Ok(result) => ("done", Some(result), None),
                Err(error) => ("failed", None, Some(format!("the result cannot be written as JSON: {error}"))),
            },
            Err(error) => ("failed", None, Some(error.clone())),
        };
        let figure = |pointer: &str| result.as_ref().and_then(|result| result.pointer(pointer)?.as_f64());
        let (usd_month, p99_ms) =
            (figure("/summary/summary/cost/usd_month/p50"), figure("/summary/summary/latency_ms/p99"));
        sqlx::query!(
            r#"
            UPDATE simulations
            SET state = $3, result = $4, error = $5, usd_month = $6, p99_ms = $7, finished_at = now(), lease_until = NULL,
                progress = CASE WHEN $3 = 'done' THEN 1 ELSE progress END
            WHERE id = $1 AND worker = $2 AND state = 'running'
            "#,
            id,
            worker,
            state,
            result,
            error,
            usd_month,
            p99_ms
        )
        .execute(&self.pool)
        .await
        .map(drop)
    }

    /// A replica that leaves puts its job back at once, and it does not count as an attempt.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub async fn put_back(&self, worker: &str) -> Result<(), sqlx::Error> {
        sqlx::query!(
            r#"
            UPDATE simulations SET state = 'queued', worker = NULL, lease_until = NULL, progress = 0, attempts = attempts - 1
            WHERE worker = $1 AND state = 'running'
            "#,
            worker
        )
        .execute(&self.pool)
        .await
        .map(drop)
    }
}
