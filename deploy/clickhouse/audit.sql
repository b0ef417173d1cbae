-- The table of audit lines in ClickHouse, for `audit.to: {sink: clickhouse}`.
-- Run it once as an administrator; it changes nothing that is there. ClickHouse 25.6 or later.
-- With replicas write ReplicatedMergeTree: it remembers tokens of inserts too, in
-- replicated_deduplication_window, and needs no non_replicated_deduplication_window.

CREATE DATABASE IF NOT EXISTS septem;

-- A column for each field of a line; docs/operations.md says what each one is.
CREATE TABLE IF NOT EXISTS septem.audit
(
    time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    decision_id String CODEC(ZSTD(1)),
    outcome LowCardinality(String),
    reason LowCardinality(String),
    status UInt16 CODEC(T64, ZSTD(1)),
    route LowCardinality(String),
    tenant String CODEC(ZSTD(1)),
    subject String CODEC(ZSTD(1)),
    method LowCardinality(String),
    host String CODEC(ZSTD(1)),
    path String CODEC(ZSTD(1)),
    source String CODEC(ZSTD(1)),
    principal String CODEC(ZSTD(1)),
    kid LowCardinality(String),
    token_id String CODEC(ZSTD(1)),
    token_digest String CODEC(ZSTD(1)),
    detail String CODEC(ZSTD(1)),
    shadow_reason LowCardinality(String),
    warnings Array(LowCardinality(String)),
    inputs String CODEC(ZSTD(1)),
    key_state LowCardinality(String),
    request_id String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    latency_us UInt32 CODEC(T64, ZSTD(1)),
    -- The link of the chain (docs/audit.md). `sidecar audit verify` reads files, whose bytes it needs;
    -- here a number of seq that is missing in a trail shows that a line is.
    trail LowCardinality(String),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    chain String CODEC(ZSTD(1)),
    -- What only the trail's own lines have.
    after String CODEC(ZSTD(1)),
    lost UInt64 CODEC(ZSTD(1)),
    foreign_bytes UInt64 CODEC(ZSTD(1)),
    foreign_sha256 String CODEC(ZSTD(1)),
    sink String CODEC(ZSTD(1)),
    first UInt64 CODEC(ZSTD(1)),
    last UInt64 CODEC(ZSTD(1)),
    note String CODEC(ZSTD(1)),
    key_version UInt32 CODEC(ZSTD(1)),
    -- When ClickHouse got the line: an outage shows as a difference from time.
    received_at DateTime('UTC') DEFAULT now() CODEC(DoubleDelta, ZSTD(1)),
    PROJECTION by_decision (SELECT _part_offset ORDER BY decision_id),
    PROJECTION by_request (SELECT _part_offset ORDER BY request_id)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, time)
-- Seven years. To move what is older than 90 days to a cheaper disk, add before DELETE's line
-- `toDateTime(time) + INTERVAL 90 DAY TO VOLUME 'cold',` and the setting storage_policy.
TTL toDateTime(time) + INTERVAL 7 YEAR DELETE
SETTINGS
    -- How many tokens of inserts are remembered: a batch that is sent again is not doubled.
    non_replicated_deduplication_window = 10000,
    -- Whole months go; no row is ever rewritten.
    ttl_only_drop_parts = 1;

-- The sidecar: it may insert, and neither read nor change what is there.
CREATE ROLE IF NOT EXISTS septem_audit_writer;
GRANT INSERT ON septem.audit TO septem_audit_writer;

-- Auditors: they may read every tenant's lines.
CREATE ROLE IF NOT EXISTS septem_auditor;
GRANT SELECT ON septem.audit TO septem_auditor;

-- A tenant's own readers. Give each such user its tenant in a setting that it can't change:
-- CREATE USER ... SETTINGS SQL_tenant_id = '<tenant>' CONST;
-- or grant the role to the tenants' users of `septem tenancy clickhouse user`, who have it.
CREATE ROLE IF NOT EXISTS septem_tenant_reader;
GRANT SELECT ON septem.audit TO septem_tenant_reader;

-- Nobody deletes: no role has ALTER, TRUNCATE or DROP. Without the setting a query fails. Lines
-- without a tenant, of requests that were denied before one was known, are the auditors' alone.
-- Whoever has another right to the table sees nothing, whatever the server does by default.
CREATE ROW POLICY IF NOT EXISTS septem_nobody ON septem.audit
    USING 0 TO ALL;
CREATE ROW POLICY IF NOT EXISTS septem_all ON septem.audit
    USING 1 TO septem_auditor;
CREATE ROW POLICY IF NOT EXISTS septem_own_tenant ON septem.audit
    USING (tenant = getSetting('SQL_tenant_id')) AND (tenant != '') TO septem_tenant_reader;
