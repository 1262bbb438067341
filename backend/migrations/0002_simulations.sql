-- Simulations as jobs. A replica that runs one holds a lease on it; when the lease ends another replica may take it.
CREATE TABLE simulations (
    id text PRIMARY KEY,
    title text NOT NULL,
    scenario jsonb NOT NULL,
    trace text,
    seeds integer NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    progress double precision NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    worker text,
    lease_until timestamptz,
    result jsonb,
    error text,
    -- Of the result, so that a list need not read it.
    usd_month double precision,
    p99_ms double precision,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz
);
CREATE INDEX simulations_waiting ON simulations (created_at) WHERE state IN ('queued', 'running');
