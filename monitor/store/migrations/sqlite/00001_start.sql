-- Times are microseconds since 1970 in UTC, truth is 0 or 1, JSON is text.

-- +goose Up
CREATE TABLE sequences (
    name       TEXT PRIMARY KEY,
    next_value BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE namespaces (
    name        TEXT PRIMARY KEY,
    owner       TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    metadata    TEXT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

CREATE TABLE agents (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_name       TEXT NOT NULL UNIQUE,
    agent_type          TEXT NOT NULL DEFAULT 'other',
    description         TEXT NOT NULL DEFAULT '',
    status              TEXT NOT NULL DEFAULT 'UNKNOWN',
    last_heartbeat      BIGINT,
    agent_url           TEXT,
    workflow_enabled    BIGINT NOT NULL DEFAULT 1,
    current_stf_count   BIGINT NOT NULL DEFAULT 0,
    total_stf_processed BIGINT NOT NULL DEFAULT 0,
    last_stf_processed  BIGINT,
    pid                 BIGINT,
    hostname            TEXT,
    operational_state   TEXT NOT NULL DEFAULT 'STARTING',
    namespace           TEXT,
    metadata            TEXT,
    created_at          BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL
);
CREATE INDEX agents_namespace ON agents (namespace);
CREATE INDEX agents_last_heartbeat ON agents (last_heartbeat);

-- The processes that have beaten under an agent's name, and the highest number
-- of each one's heartbeats: what tells a late heartbeat from a new one.
CREATE TABLE agent_instances (
    instance_name TEXT NOT NULL,
    instance      TEXT NOT NULL,
    seq           BIGINT NOT NULL,
    seen_at       BIGINT NOT NULL,
    PRIMARY KEY (instance_name, instance)
);

CREATE TABLE subscribers (
    subscriber_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    subscriber_name   TEXT NOT NULL UNIQUE,
    fraction          DOUBLE PRECISION,
    description       TEXT,
    is_active         BIGINT NOT NULL DEFAULT 1,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    delivery_type     TEXT NOT NULL DEFAULT 'activemq',
    client_ip         TEXT,
    client_location   TEXT NOT NULL DEFAULT '',
    connected_at      BIGINT,
    disconnected_at   BIGINT,
    last_activity     BIGINT,
    message_filters   TEXT NOT NULL DEFAULT '{}',
    messages_received BIGINT NOT NULL DEFAULT 0,
    messages_sent     BIGINT NOT NULL DEFAULT 0,
    messages_dropped  BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE logs (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    app_name      TEXT NOT NULL,
    instance_name TEXT NOT NULL,
    timestamp     BIGINT NOT NULL,
    level         BIGINT NOT NULL,
    levelname     TEXT NOT NULL,
    message       TEXT NOT NULL,
    module        TEXT NOT NULL,
    funcname      TEXT NOT NULL,
    lineno        BIGINT NOT NULL,
    process       BIGINT NOT NULL,
    thread        BIGINT NOT NULL,
    extra_data    TEXT
);
CREATE INDEX logs_timestamp ON logs (timestamp, id);
CREATE INDEX logs_source ON logs (app_name, instance_name);
CREATE INDEX logs_level ON logs (level);

CREATE TABLE workflow_definitions (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_name    TEXT NOT NULL,
    version          TEXT NOT NULL,
    workflow_type    TEXT NOT NULL,
    definition       TEXT NOT NULL,
    parameter_values TEXT NOT NULL DEFAULT '{}',
    created_by       TEXT NOT NULL,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    UNIQUE (workflow_name, version)
);

CREATE TABLE workflow_executions (
    execution_id        TEXT PRIMARY KEY,
    namespace           TEXT,
    parameter_values    TEXT NOT NULL,
    performance_metrics TEXT,
    status              TEXT NOT NULL DEFAULT 'pending',
    start_time          BIGINT NOT NULL,
    end_time            BIGINT,
    executed_by         TEXT NOT NULL,
    workflow_definition BIGINT NOT NULL REFERENCES workflow_definitions (id) ON DELETE CASCADE
);
CREATE INDEX workflow_executions_start ON workflow_executions (start_time);
CREATE INDEX workflow_executions_status ON workflow_executions (status, namespace);
CREATE INDEX workflow_executions_definition ON workflow_executions (workflow_definition);

CREATE TABLE runs (
    run_id         INTEGER PRIMARY KEY AUTOINCREMENT,
    run_number     BIGINT NOT NULL UNIQUE,
    start_time     BIGINT NOT NULL,
    end_time       BIGINT,
    run_conditions TEXT
);

CREATE TABLE stf_files (
    file_id         TEXT PRIMARY KEY,
    run             BIGINT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    machine_state   TEXT NOT NULL DEFAULT 'physics',
    stf_filename    TEXT NOT NULL UNIQUE,
    file_size_bytes BIGINT,
    checksum        TEXT,
    created_at      BIGINT NOT NULL,
    status          TEXT NOT NULL DEFAULT 'registered',
    metadata        TEXT,
    workflow_id     TEXT,
    daq_state       TEXT,
    daq_substate    TEXT,
    workflow_status TEXT,
    tf_count        BIGINT
);
CREATE INDEX stf_files_created ON stf_files (created_at, file_id);
CREATE INDEX stf_files_run ON stf_files (run, status);

CREATE TABLE run_states (
    run_number           BIGINT PRIMARY KEY,
    phase                TEXT NOT NULL,
    state                TEXT NOT NULL,
    substate             TEXT,
    target_worker_count  BIGINT NOT NULL,
    active_worker_count  BIGINT NOT NULL DEFAULT 0,
    stf_samples_received BIGINT NOT NULL DEFAULT 0,
    slices_created       BIGINT NOT NULL DEFAULT 0,
    slices_queued        BIGINT NOT NULL DEFAULT 0,
    slices_processing    BIGINT NOT NULL DEFAULT 0,
    slices_completed     BIGINT NOT NULL DEFAULT 0,
    slices_failed        BIGINT NOT NULL DEFAULT 0,
    state_changed_at     BIGINT NOT NULL,
    created_at           BIGINT NOT NULL,
    updated_at           BIGINT NOT NULL,
    metadata             TEXT
);

CREATE TABLE system_state_events (
    event_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp  BIGINT NOT NULL,
    run_number BIGINT NOT NULL,
    event_type TEXT NOT NULL,
    state      TEXT NOT NULL,
    substate   TEXT,
    event_data TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX system_state_events_time ON system_state_events (timestamp, event_id);
CREATE INDEX system_state_events_run ON system_state_events (run_number);
