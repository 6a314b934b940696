-- The pipeline behind the STF files: time frames, slices and their workers,
-- the messages of the bus, and what the Python monitor also keeps.

-- +goose Up
CREATE TABLE fastmon_files (
    tf_file_id      TEXT PRIMARY KEY,
    stf_file        TEXT NOT NULL REFERENCES stf_files (stf_filename) ON DELETE CASCADE ON UPDATE CASCADE,
    tf_filename     TEXT NOT NULL UNIQUE,
    file_size_bytes BIGINT,
    checksum        TEXT,
    status          TEXT NOT NULL DEFAULT 'registered',
    metadata        TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    tf_count        BIGINT,
    tf_first        BIGINT,
    tf_last         BIGINT
);
CREATE INDEX fastmon_files_created ON fastmon_files (created_at, tf_file_id);
CREATE INDEX fastmon_files_stf ON fastmon_files (stf_file);

CREATE TABLE tf_slices (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    fastmon_file    TEXT NOT NULL REFERENCES fastmon_files (tf_filename) ON DELETE CASCADE ON UPDATE CASCADE,
    slice_id        BIGINT NOT NULL,
    tf_first        BIGINT NOT NULL,
    tf_last         BIGINT NOT NULL,
    tf_count        BIGINT NOT NULL,
    run_number      BIGINT NOT NULL,
    status          TEXT NOT NULL DEFAULT 'queued',
    retries         BIGINT NOT NULL DEFAULT 0,
    metadata        TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    assigned_worker TEXT,
    assigned_at     BIGINT,
    completed_at    BIGINT,
    UNIQUE (fastmon_file, slice_id)
);
CREATE INDEX tf_slices_open ON tf_slices ((completed_at IS NOT NULL), id);
CREATE INDEX tf_slices_run ON tf_slices (run_number, slice_id);

CREATE TABLE workers (
    worker_id        TEXT PRIMARY KEY,
    run_number       BIGINT NOT NULL,
    panda_job        TEXT NOT NULL,
    location         TEXT NOT NULL,
    status           TEXT NOT NULL,
    current_slice_id BIGINT,
    tf_filename      TEXT,
    slices_completed BIGINT NOT NULL DEFAULT 0,
    last_heartbeat   BIGINT,
    started_at       BIGINT NOT NULL,
    ended_at         BIGINT,
    metadata         TEXT
);
CREATE INDEX workers_started ON workers (started_at, worker_id);
CREATE INDEX workers_run ON workers (run_number, status);

CREATE TABLE stf_workflows (
    workflow_id    TEXT PRIMARY KEY,
    filename       TEXT NOT NULL UNIQUE,
    file_id        TEXT,
    daq_state      TEXT NOT NULL,
    daq_substate   TEXT NOT NULL,
    generated_time BIGINT NOT NULL,
    stf_start_time BIGINT NOT NULL,
    stf_end_time   BIGINT NOT NULL,
    current_status TEXT NOT NULL DEFAULT 'generated',
    current_agent  TEXT NOT NULL DEFAULT 'daqsim',
    completed_at   BIGINT,
    failed_at      BIGINT,
    failure_reason TEXT,
    stf_metadata   TEXT,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE INDEX stf_workflows_generated ON stf_workflows (generated_time, workflow_id);

CREATE TABLE workflow_stages (
    stage_id                TEXT PRIMARY KEY,
    workflow                TEXT NOT NULL REFERENCES stf_workflows (workflow_id) ON DELETE CASCADE,
    agent_name              TEXT NOT NULL,
    agent_type              TEXT NOT NULL,
    status                  TEXT NOT NULL DEFAULT 'generated',
    received_at             BIGINT,
    started_at              BIGINT,
    completed_at            BIGINT,
    failed_at               BIGINT,
    processing_time_seconds DOUBLE PRECISION,
    failure_reason          TEXT,
    input_message           TEXT,
    output_message          TEXT,
    stage_metadata          TEXT,
    created_at              BIGINT NOT NULL,
    updated_at              BIGINT NOT NULL,
    UNIQUE (workflow, agent_name, agent_type)
);
CREATE INDEX workflow_stages_created ON workflow_stages (workflow, created_at, stage_id);

CREATE TABLE workflow_messages (
    message_id       TEXT PRIMARY KEY,
    workflow         TEXT REFERENCES stf_workflows (workflow_id) ON DELETE CASCADE,
    stage            TEXT REFERENCES workflow_stages (stage_id) ON DELETE CASCADE,
    message_type     TEXT NOT NULL,
    request_id       BIGINT,
    sender_agent     TEXT,
    sender_type      TEXT,
    recipient_agent  TEXT,
    recipient_type   TEXT,
    namespace        TEXT,
    execution_id     TEXT,
    run_id           TEXT,
    message_content  TEXT NOT NULL,
    message_metadata TEXT DEFAULT '{}',
    sent_at          BIGINT NOT NULL,
    delivered_at     BIGINT,
    acknowledged_at  BIGINT,
    is_successful    BIGINT,
    error_message    TEXT,
    queue_name       TEXT,
    correlation_id   TEXT
);
CREATE INDEX workflow_messages_sent ON workflow_messages (sent_at, message_id);
CREATE INDEX workflow_messages_execution ON workflow_messages (execution_id, sent_at, message_id);
CREATE INDEX workflow_messages_execution_type ON workflow_messages (execution_id, message_type, sent_at, message_id);
CREATE INDEX workflow_messages_namespace ON workflow_messages (namespace, sent_at, message_id);
CREATE INDEX workflow_messages_type ON workflow_messages (message_type, sent_at, message_id);
CREATE INDEX workflow_messages_run ON workflow_messages (run_id, sent_at, message_id);
CREATE INDEX workflow_messages_workflow ON workflow_messages (workflow);
CREATE INDEX workflow_messages_stage ON workflow_messages (stage);

CREATE TABLE ai_memory (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    username     TEXT NOT NULL,
    session_id   TEXT NOT NULL,
    role         TEXT NOT NULL,
    content      TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    namespace    TEXT,
    project_path TEXT
);
CREATE INDEX ai_memory_user ON ai_memory (username, id);

-- How far the messages of a run's life have moved its state: one that comes
-- late, or again, does not move it back.
ALTER TABLE run_states ADD COLUMN heard_rank BIGINT NOT NULL DEFAULT -1;
ALTER TABLE run_states ADD COLUMN heard_tick DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE run_states ADD COLUMN heard_at BIGINT NOT NULL DEFAULT 0;

-- What retention looks for.
CREATE INDEX workflow_executions_end ON workflow_executions (end_time);
CREATE INDEX subscribers_updated ON subscribers (updated_at);
