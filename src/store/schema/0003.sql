-- SPDX-License-Identifier: Apache-2.0
--
-- Searches: where a run comes from and what became of it, and what was asked of a language model. `restarts`: how often
-- in a row the run has ended its worker without coming to the end of an epoch in between. `request` and `response` are
-- JSON as it was said, so that the hash of the request holds.

ALTER TABLE training_runs ADD COLUMN source text;
ALTER TABLE training_runs ADD COLUMN operator text;
ALTER TABLE training_runs ADD COLUMN parents {JSON};
ALTER TABLE training_runs ADD COLUMN hypothesis text;
ALTER TABLE training_runs ADD COLUMN failure text;
ALTER TABLE training_runs ADD COLUMN repairs {BIGINT};
ALTER TABLE training_runs ADD COLUMN restarts {BIGINT} NOT NULL DEFAULT 0;

CREATE TABLE llm_exchanges (
    job_id {UUID} NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number {BIGINT} NOT NULL,
    purpose text NOT NULL,
    outcome text NOT NULL,
    reason text,
    model text,
    request text NOT NULL,
    request_hash text NOT NULL,
    response text NOT NULL,
    prompt_tokens {BIGINT} NOT NULL,
    completion_tokens {BIGINT} NOT NULL,
    dollars {REAL},
    latency_ms {BIGINT} NOT NULL,
    created_at {TIME} NOT NULL,
    PRIMARY KEY (job_id, number));
