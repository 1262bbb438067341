-- How often the console was opened. Each replica counts in a row of its own choice, so that replicas do not wait for
-- one another's row lock; the total is the sum.
CREATE TABLE visits (
    shard smallint PRIMARY KEY,
    count bigint NOT NULL CHECK (count >= 0)
);
