//! PostgreSQL: the pool, the migrations and every query.

use crate::config::{DatabaseConfig, SslMode};
use crate::relay::Relay;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Rows over which the replicas' counts are spread.
const SHARDS: u32 = 64;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

#[derive(Clone)]
pub struct Database {
    pool: PgPool,
    migrated: Arc<AtomicBool>,
    _relay: Option<Arc<Relay>>,
}

impl Database {
    /// Does not connect: the server may come later than this process.
    ///
    /// # Errors
    /// When the relay for `PGHOSTADDR` cannot be set up.
    pub fn connect_lazily(config: &DatabaseConfig) -> anyhow::Result<Database> {
        let relay = match config.pg_host_address {
            Some(address) => Some(Arc::new(Relay::start(SocketAddr::new(address, config.pg_port))?)),
            None => None,
        };
        let mut options = options(config);
        if let Some(relay) = &relay {
            options = options.socket(relay.directory());
        }
        let pool = PgPoolOptions::new()
            .max_connections(config.pool_size)
            .min_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A connection that idles for minutes is one that another replica could have.
            .idle_timeout(Duration::from_secs(120))
            .connect_lazy_with(options);
        Ok(Database { pool, migrated: Arc::default(), _relay: relay })
    }

    /// Applies the migrations, under PostgreSQL's advisory lock, trying again until it works. Several replicas start at
    /// once; one applies, the others find nothing to do.
    pub async fn migrate_until_done(self) {
        let mut pause = Duration::from_millis(100);
        loop {
            match MIGRATOR.run(&self.pool).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(%error, retry_ms = pause.as_millis() as u64, "cannot apply the migrations yet")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(3));
        }
        self.migrated.store(true, Ordering::Release);
        tracing::info!("migrations are applied");
    }

    /// For queries of other modules.
    pub fn pool(&self) -> PgPool {
        self.pool.clone()
    }

    pub fn is_migrated(&self) -> bool {
        self.migrated.load(Ordering::Acquire)
    }

    /// Connections in the pool and how many of them are idle.
    pub fn connections(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// # Errors
    /// When PostgreSQL does not answer.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query_scalar!("SELECT 1 AS \"one!\"").fetch_one(&self.pool).await.map(drop)
    }

    /// Counts one visit and tells what the server says about itself.
    ///
    /// # Errors
    /// When PostgreSQL does not answer or the migrations are not applied yet.
    pub async fn visit(&self, pod: &str) -> Result<backend_api::database::Database, sqlx::Error> {
        let shard = shard_of(pod);
        let row = sqlx::query!(
            r#"
            WITH counted AS (
                INSERT INTO visits (shard, count) VALUES ($1, 1)
                ON CONFLICT (shard) DO UPDATE SET count = visits.count + 1
                RETURNING count
            )
            SELECT current_setting('server_version') AS "version!",
                   (SELECT coalesce(sum(numbackends), 0)::bigint FROM pg_stat_database) AS "connections!",
                   current_setting('max_connections')::int AS "max_connections!",
                   ((SELECT count FROM counted) + coalesce((SELECT sum(count) FROM visits WHERE shard <> $1), 0))::bigint AS "visits!"
            "#,
            shard
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(backend_api::database::Database {
            version: row.version,
            connections: row.connections.try_into().unwrap_or(u32::MAX),
            max_connections: row.max_connections.try_into().unwrap_or_default(),
            visits: row.visits.try_into().unwrap_or_default(),
        })
    }

    /// # Errors
    /// When PostgreSQL does not answer or the migrations are not applied yet.
    pub async fn visits(&self) -> Result<u64, sqlx::Error> {
        let visits = sqlx::query_scalar!(r#"SELECT coalesce(sum(count), 0)::bigint AS "visits!" FROM visits"#)
            .fetch_one(&self.pool)
            .await?;
        Ok(visits.try_into().unwrap_or_default())
    }
}

fn options(config: &DatabaseConfig) -> PgConnectOptions {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&config.pg_host)
        .port(config.pg_port)
        .username(&config.pg_user)
        .database(&config.pg_database)
        .application_name("marea-backend")
        .ssl_mode(match config.pg_ssl_mode {
            SslMode::Disable => PgSslMode::Disable,
            SslMode::Prefer => PgSslMode::Prefer,
            SslMode::Require => PgSslMode::Require,
            SslMode::VerifyCa => PgSslMode::VerifyCa,
            SslMode::VerifyFull => PgSslMode::VerifyFull,
        });
    if let Some(password) = &config.pg_password {
        options = options.password(password);
    }
    if let Some(path) = &config.pg_ssl_root_cert {
        options = options.ssl_root_cert(path);
    }
    options
}

/// FNV-1a: stable between versions, which the standard library's hasher is not.
fn shard_of(pod: &str) -> i16 {
    let hash = pod.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash % SHARDS) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_always_counts_in_the_same_shard() {
        assert_eq!(shard_of("backend-5f6c9d-abcde"), shard_of("backend-5f6c9d-abcde"));
        let shards: std::collections::BTreeSet<i16> = (0..200).map(|n| shard_of(&format!("backend-{n}"))).collect();
        assert!(shards.len() > 32, "pods crowd into {} shards", shards.len());
        assert!(shards.iter().all(|shard| (0..SHARDS as i16).contains(shard)));
    }
}
