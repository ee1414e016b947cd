-- SPDX-License-Identifier: Apache-2.0
--
-- The first schema. Words in braces stand for what each database calls it (dv_sql_word). Never change this file:
-- databases that have it are brought on by the files that follow.

CREATE TABLE datasets (
    id {UUID} PRIMARY KEY,
    name text NOT NULL,
    description text,
    domain text NOT NULL CHECK (domain IN ('vision', 'tabular')),
    task text NOT NULL,
    metadata {JSON},
    readiness text NOT NULL CHECK (readiness IN ('draft', 'processing', 'ready', 'error')),
    progress {REAL} NOT NULL DEFAULT 0,
    total_samples {BIGINT},
    size_bytes {BIGINT},
    file_path text,
    classes {JSON},
    findings {JSON},
    finding_counts {JSON},
    content_hash text,
    source_hash text,
    error text,
    created_at {TIME} NOT NULL,
    updated_at {TIME} NOT NULL);
CREATE INDEX datasets_created ON datasets (created_at, id);
CREATE INDEX datasets_name ON datasets (name, id);
CREATE INDEX datasets_readiness ON datasets (readiness, created_at);

CREATE TABLE models (
    id {UUID} PRIMARY KEY,
    name text NOT NULL,
    description text,
    task text NOT NULL,
    status text NOT NULL
        CHECK (status IN ('draft', 'queued', 'training', 'ready', 'active', 'failed')),
    strategy text,
    dataset_id {UUID} REFERENCES datasets (id) ON DELETE SET NULL,
    job_id {UUID},
    accuracy {REAL},
    loss {REAL},
    hyperparameters {JSON},
    metrics {JSON},
    architecture {JSON},
    preprocessing {JSON},
    classes {JSON},
    parameters {BIGINT},
    flops {BIGINT},
    model_path text,
    current_version {BIGINT},
    is_partial {BOOLEAN} NOT NULL,
    error text,
    metadata {JSON},
    created_at {TIME} NOT NULL,
    updated_at {TIME} NOT NULL);
CREATE INDEX models_created ON models (created_at, id);
CREATE INDEX models_name ON models (name, id);
CREATE INDEX models_dataset ON models (dataset_id);
CREATE INDEX models_status ON models (status, created_at);

CREATE TABLE jobs (
    id {UUID} PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('train', 'evaluate', 'import')),
    status text NOT NULL
     CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    model_id {UUID} REFERENCES models (id) ON DELETE CASCADE,
    dataset_id {UUID} REFERENCES datasets (id) ON DELETE SET NULL,
    strategy text,
    device text NOT NULL,
    spec {JSON} NOT NULL,
    priority {BIGINT} NOT NULL,
    seed {BIGINT} NOT NULL,
    timeout_seconds {BIGINT} NOT NULL,
    max_restarts {BIGINT} NOT NULL,
    restarts {BIGINT} NOT NULL DEFAULT 0,
    thread_count {BIGINT} NOT NULL,
    owner {UUID},
    fence {BIGINT} NOT NULL DEFAULT 0,
    cancel_requested {BOOLEAN} NOT NULL,
    progress {REAL} NOT NULL DEFAULT 0,
    iteration {BIGINT},
    epoch {BIGINT},
    epochs {BIGINT},
    accuracy {REAL},
    best_accuracy {REAL},
    eta_seconds {REAL},
    images_per_second {REAL},
    hyperparameters {JSON},
    result {JSON},
    error text,
    failure_reason text,
    queued_at {TIME} NOT NULL,
    started_at {TIME},
    finished_at {TIME},
    created_at {TIME} NOT NULL,
    updated_at {TIME} NOT NULL,
    CHECK (status <> 'running' OR owner IS NOT NULL));
CREATE INDEX jobs_created ON jobs (created_at, id);
CREATE INDEX jobs_queue ON jobs (status, priority, queued_at);
CREATE INDEX jobs_dataset ON jobs (dataset_id);
CREATE INDEX jobs_model ON jobs (model_id);

CREATE TABLE training_runs (
    id {UUID} PRIMARY KEY,
    job_id {UUID} NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    iteration {BIGINT} NOT NULL,
    status text NOT NULL,
    architecture {JSON},
    hyperparameters {JSON},
    metrics {JSON},
    history {JSON},
    accuracy {REAL},
    loss {REAL},
    best_accuracy {REAL},
    parameters {BIGINT},
    flops {BIGINT},
    verdict text,
    created_at {TIME} NOT NULL,
    finished_at {TIME},
    UNIQUE (job_id, iteration));

CREATE TABLE model_versions (
    model_id {UUID} NOT NULL REFERENCES models (id) ON DELETE CASCADE,
    version {BIGINT} NOT NULL,
    run_id {UUID} REFERENCES training_runs (id) ON DELETE SET NULL,
    accuracy {REAL},
    loss {REAL},
    hyperparameters {JSON},
    metrics {JSON},
    path text NOT NULL,
    content_hash text,
    created_at {TIME} NOT NULL,
    PRIMARY KEY (model_id, version));
CREATE INDEX model_versions_run ON model_versions (run_id);

CREATE TABLE events (
    id {SERIAL},
    at {TIME} NOT NULL,
    topic text NOT NULL,
    subject_id {UUID} NOT NULL,
    type text NOT NULL,
    data {JSON} NOT NULL);
CREATE INDEX events_subject ON events (subject_id, id);

CREATE TABLE training_logs (
    id {BIGINT} PRIMARY KEY,
    job_id {UUID} NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    at {TIME} NOT NULL,
    level text NOT NULL CHECK (level IN ('error', 'warning', 'info', 'debug')),
    source text NOT NULL,
    text text NOT NULL);
CREATE INDEX training_logs_job ON training_logs (job_id, id);

CREATE TABLE tokens (
    id {UUID} PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'editor', 'owner')),
    hash text NOT NULL UNIQUE,
    created_at {TIME} NOT NULL,
    revoked_at {TIME});

CREATE TABLE sessions (
    hash text PRIMARY KEY,
    token_id {UUID} NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    created_at {TIME} NOT NULL,
    expires_at {TIME} NOT NULL);
CREATE INDEX sessions_token ON sessions (token_id);

CREATE TABLE trash (
    path text PRIMARY KEY,
    created_at {TIME} NOT NULL);
