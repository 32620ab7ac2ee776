-- name: schema
-- Version 8. The request as it was accepted is JSON; beside it stands what queries ask for. Times are microseconds
-- since 1970 in UTC. Inputs and outputs lie in tables of their own, so that they can be erased while the status stays.
-- The owner of a request is who infers it, or delivers its result, at this moment; one that is not among the owners
-- is gone, and left the request behind. Their numbers are not given twice. Checksums tell damage; interruptions are how
-- often the process ended in an inference attempt. Requests are counted as they come, change and are forgotten. Those of
-- one class (status, webhook, priority, deployment) stand together in an index, by their order: so lists are found.
-- Results that were asked to be kept lie in a table of their own, until erase_at, whatever becomes of their requests.
CREATE TABLE requests (
  seq INTEGER PRIMARY KEY,
  request_id TEXT NOT NULL UNIQUE,
  deployment_id TEXT NOT NULL,
  status TEXT NOT NULL,
  webhook_status TEXT NOT NULL,
  priority INTEGER NOT NULL,
  request TEXT NOT NULL,
  owner INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0,
  errors TEXT NOT NULL DEFAULT '[]',
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  status_at INTEGER NOT NULL,
  started_at INTEGER,
  next_attempt_at INTEGER,
  finished_at INTEGER,
  delivery_attempts INTEGER NOT NULL DEFAULT 0,
  next_delivery_at INTEGER,
  over_at INTEGER,
  interruptions INTEGER NOT NULL DEFAULT 0,
  head_checksum INTEGER NOT NULL DEFAULT 0,
  input_checksum INTEGER NOT NULL DEFAULT 0,
  result_checksum INTEGER
);
CREATE INDEX queued ON requests (deployment_id, priority, seq) WHERE status = 'QUEUED';
CREATE INDEX expiring ON requests (expires_at) WHERE status = 'QUEUED';
CREATE INDEX to_deliver ON requests (next_delivery_at) WHERE next_delivery_at IS NOT NULL;
CREATE INDEX forgettable ON requests (over_at) WHERE over_at IS NOT NULL;
CREATE INDEX by_class ON requests (status, webhook_status, priority, deployment_id, seq);
CREATE TABLE owners (number INTEGER PRIMARY KEY AUTOINCREMENT, lease_ends_at INTEGER);
CREATE TABLE model_inputs (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE model_outputs (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE deliveries (
  seq INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  sent_at INTEGER NOT NULL,
  latency_ms REAL NOT NULL,
  status_code INTEGER,
  error TEXT,
  signature TEXT,
  sent_to TEXT,
  PRIMARY KEY (seq, attempt)
) WITHOUT ROWID;
CREATE INDEX delivering ON requests (owner) WHERE finished_at IS NOT NULL AND owner IS NOT NULL;
CREATE INDEX deliveries_by_time ON deliveries (sent_at);
CREATE TABLE counts (
  deployment_id TEXT NOT NULL, status TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (deployment_id, status)
) WITHOUT ROWID;
CREATE TRIGGER request_came AFTER INSERT ON requests BEGIN
  INSERT INTO counts VALUES (NEW.deployment_id, NEW.status, 1) ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER request_went_on AFTER UPDATE OF status ON requests WHEN OLD.status <> NEW.status BEGIN
  UPDATE counts SET number = number - 1 WHERE deployment_id = OLD.deployment_id AND status = OLD.status;
  INSERT INTO counts VALUES (NEW.deployment_id, NEW.status, 1) ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER request_went AFTER DELETE ON requests BEGIN
  UPDATE counts SET number = number - 1 WHERE deployment_id = OLD.deployment_id AND status = OLD.status;
END;
CREATE TABLE kept_results (
  seq INTEGER PRIMARY KEY,
  request_id TEXT NOT NULL UNIQUE,
  deployment_id TEXT NOT NULL,
  request TEXT NOT NULL,
  webhook_status TEXT NOT NULL,
  errors TEXT NOT NULL,
  model_output BLOB,
  result_checksum INTEGER,
  delivery_attempts INTEGER NOT NULL,
  over_at INTEGER NOT NULL,
  erase_at INTEGER NOT NULL
);
CREATE INDEX erasable ON kept_results (erase_at);
CREATE INDEX kept_by_time ON kept_results (over_at);

-- name: migrate_1
-- From version 1, which served one model and did not write its id down: 'local' is what it was by default.
ALTER TABLE requests ADD COLUMN model_id TEXT NOT NULL DEFAULT 'local';
ALTER TABLE requests ADD COLUMN chain_id TEXT;

-- name: migrate_2
-- From version 2, which had a column for each thing that was asked for.
ALTER TABLE requests ADD COLUMN request TEXT NOT NULL DEFAULT '{}';
UPDATE requests SET request = json_object(
  'model_id', model_id, 'chain_id', chain_id, 'webhook_endpoint', webhook_endpoint, 'retry_config', json_object(
    'max_attempts', max_attempts, 'initial_delay_ms', initial_delay_ms, 'max_delay_ms', max_delay_ms
  )
);
ALTER TABLE requests DROP COLUMN model_id;
ALTER TABLE requests DROP COLUMN chain_id;
ALTER TABLE requests DROP COLUMN webhook_endpoint;
ALTER TABLE requests DROP COLUMN max_attempts;
ALTER TABLE requests DROP COLUMN initial_delay_ms;
ALTER TABLE requests DROP COLUMN max_delay_ms;

-- name: migrate_3
-- From version 3, which had one owner; 0 is no number of any.
CREATE TABLE owners (number INTEGER PRIMARY KEY AUTOINCREMENT, lease_ends_at INTEGER);
ALTER TABLE requests ADD COLUMN owner INTEGER;
UPDATE requests SET owner = 0 WHERE status = 'IN_PROGRESS'
  OR (webhook_status = 'PENDING' AND finished_at IS NOT NULL AND next_delivery_at IS NULL);

-- name: migrate_4
-- From version 4, which took the disk's word for everything, and counted what it was asked for.
ALTER TABLE requests ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN head_checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN input_checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN result_checksum INTEGER;
UPDATE requests SET head_checksum = checksum(request_id, deployment_id, priority, request, created_at, expires_at);
UPDATE requests SET
  input_checksum = coalesce((SELECT checksum_on(head_checksum, body) FROM model_inputs AS i WHERE i.seq = requests.seq), 0),
  result_checksum = checksum(
    request_id, errors, coalesce((SELECT body FROM model_outputs AS o WHERE o.seq = requests.seq), x'')
  );
CREATE INDEX delivering ON requests (owner) WHERE finished_at IS NOT NULL AND owner IS NOT NULL;
CREATE INDEX deliveries_by_time ON deliveries (sent_at);
CREATE TABLE counts (
  deployment_id TEXT NOT NULL, status TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (deployment_id, status)
) WITHOUT ROWID;
CREATE TRIGGER request_came AFTER INSERT ON requests WHEN NEW.status IN ('QUEUED', 'IN_PROGRESS') BEGIN
  INSERT INTO counts VALUES (NEW.deployment_id, NEW.status, 1) ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER request_went_on AFTER UPDATE OF status ON requests WHEN OLD.status <> NEW.status BEGIN
  UPDATE counts SET number = number - 1 WHERE deployment_id = OLD.deployment_id AND status = OLD.status;
  INSERT INTO counts SELECT NEW.deployment_id, NEW.status, 1 WHERE NEW.status IN ('QUEUED', 'IN_PROGRESS')
    ON CONFLICT DO UPDATE SET number = number + 1;
END;
INSERT INTO counts
  SELECT deployment_id, status, count(*) FROM requests WHERE status IN ('QUEUED', 'IN_PROGRESS') GROUP BY 1, 2;

-- name: migrate_5
-- From version 5, which counted open requests alone, and did not say how a webhook was signed.
ALTER TABLE deliveries ADD COLUMN signature TEXT;
CREATE INDEX ended_badly ON requests (status, seq) WHERE status IN ('FAILED', 'WEBHOOK_FAILED', 'EXPIRED', 'CANCELED');
DROP TRIGGER request_came;
DROP TRIGGER request_went_on;
DELETE FROM counts;
CREATE TRIGGER request_came AFTER INSERT ON requests BEGIN
  INSERT INTO counts VALUES (NEW.deployment_id, NEW.status, 1) ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER request_went_on AFTER UPDATE OF status ON requests WHEN OLD.status <> NEW.status BEGIN
  UPDATE counts SET number = number - 1 WHERE deployment_id = OLD.deployment_id AND status = OLD.status;
  INSERT INTO counts VALUES (NEW.deployment_id, NEW.status, 1) ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER request_went AFTER DELETE ON requests BEGIN
  UPDATE counts SET number = number - 1 WHERE deployment_id = OLD.deployment_id AND status = OLD.status;
END;
INSERT INTO counts SELECT deployment_id, status, count(*) FROM requests GROUP BY 1, 2;

-- name: migrate_6
-- From version 6, which kept no result beyond its delivery, and sent each only where its request said.
ALTER TABLE deliveries ADD COLUMN sent_to TEXT;
CREATE TABLE kept_results (
  seq INTEGER PRIMARY KEY,
  request_id TEXT NOT NULL UNIQUE,
  deployment_id TEXT NOT NULL,
  request TEXT NOT NULL,
  webhook_status TEXT NOT NULL,
  errors TEXT NOT NULL,
  model_output BLOB,
  result_checksum INTEGER,
  delivery_attempts INTEGER NOT NULL,
  over_at INTEGER NOT NULL,
  erase_at INTEGER NOT NULL
);
CREATE INDEX erasable ON kept_results (erase_at);
CREATE INDEX kept_by_time ON kept_results (over_at);

-- name: migrate_7
-- From version 7, which found what lists are of by looking at one request after the other.
CREATE INDEX by_class ON requests (status, webhook_status, priority, deployment_id, seq);
DROP INDEX IF EXISTS in_progress;
DROP INDEX IF EXISTS ended_badly;

-- name: begin_lease
-- A new owner; without an end of its lease, one for as long as there is no other.
INSERT INTO owners (lease_ends_at) VALUES (:lease_ends_at);

-- name: be_owner
-- Still, after what was damaged was mended.
INSERT OR IGNORE INTO owners (number) VALUES (:owner);

-- name: renew_lease
-- Also one that has ended, if nobody noticed.
UPDATE owners SET lease_ends_at = :lease_ends_at WHERE number = :owner RETURNING number;

-- name: count_interruptions
-- Of what was being inferred by owners that are late, or (without a moment) by all: they ended without a word.
UPDATE requests SET interruptions = interruptions + 1
WHERE status = 'IN_PROGRESS' AND next_attempt_at IS NULL
  AND owner IN (SELECT number FROM owners WHERE :now IS NULL OR (lease_ends_at <= :now AND number <> :owner));

-- name: end_late_leases
-- Those of the others: who is late himself will see when he renews.
DELETE FROM owners WHERE lease_ends_at <= :now AND number <> :owner;

-- name: end_lease
DELETE FROM owners WHERE number = :owner;

-- name: end_all_leases
DELETE FROM owners;

-- name: enqueue
-- A new request, queued or begun. Its number follows the last one of all, and not only of those that are not forgotten yet.
INSERT INTO requests (
  seq, request_id, deployment_id, status, webhook_status, priority, request, owner, created_at, expires_at, status_at,
  started_at, head_checksum, input_checksum
) VALUES (
  max(:last_order, coalesce((SELECT max(seq) FROM requests), 0)) + 1,
  :request_id, :deployment_id, :status, :webhook_status, :priority, :request, :owner, :created_at, :expires_at, :created_at,
  :started_at, :head_checksum, :input_checksum
);

-- name: enqueue_input
-- The model input of the request just inserted, in place of one that damage left without a request.
INSERT OR REPLACE INTO model_inputs (seq, body) VALUES (last_insert_rowid(), :body);

-- name: claim
-- The next requests of a deployment, by priority, then age; expired ones are never started. Who is no owner gets none.
UPDATE requests SET status = 'IN_PROGRESS', status_at = :now, started_at = :now, owner = :owner
WHERE +status = 'QUEUED' AND EXISTS (SELECT 1 FROM owners WHERE number = :owner) AND seq IN (
  SELECT seq FROM requests INDEXED BY queued
  WHERE status = 'QUEUED' AND deployment_id = :deployment_id AND expires_at > :now
  ORDER BY priority, seq LIMIT :limit
)
RETURNING
  seq, request_id, deployment_id, priority, request, attempts, created_at, expires_at, interruptions,
  head_checksum, input_checksum, (SELECT body FROM model_inputs WHERE model_inputs.seq = requests.seq) AS model_input;

-- name: take_over
-- What is in progress, and was left behind. What was being inferred is so no more: from here on it waits, since 1970.
UPDATE requests SET owner = :owner, next_attempt_at = coalesce(next_attempt_at, 0)
WHERE status = 'IN_PROGRESS' AND deployment_id = :deployment_id AND owner NOT IN (SELECT number FROM owners)
RETURNING seq, request_id, priority, nullif(next_attempt_at, 0) AS next_attempt_at, interruptions;

-- name: resume
-- One request that is in progress, for another inference attempt.
UPDATE requests SET next_attempt_at = NULL
WHERE request_id = :request_id AND status = 'IN_PROGRESS' AND owner = :owner
RETURNING
  seq, request_id, deployment_id, priority, request, attempts, created_at, expires_at, interruptions,
  head_checksum, input_checksum, (SELECT body FROM model_inputs WHERE model_inputs.seq = requests.seq) AS model_input;

-- name: retry_later
-- An inference attempt failed and another one follows.
UPDATE requests SET attempts = :attempts, errors = :errors, next_attempt_at = :next_attempt_at
WHERE request_id = :request_id AND status = 'IN_PROGRESS' AND owner = :owner
RETURNING seq;

-- name: finish
-- Inference is over. With a webhook the output is kept until it is delivered; without one the request is over.
UPDATE requests SET
  status = :status, status_at = :now, finished_at = :now, attempts = :attempts, errors = :errors, next_attempt_at = NULL,
  result_checksum = :result_checksum,
  owner = CASE WHEN webhook_status = 'PENDING' AND :is_claimed THEN owner END,
  next_delivery_at = CASE WHEN webhook_status = 'PENDING' AND NOT :is_claimed THEN :now END,
  over_at = CASE webhook_status WHEN 'PENDING' THEN NULL ELSE :now END
WHERE request_id = :request_id AND status = 'IN_PROGRESS' AND owner = :owner
RETURNING
  seq, request_id, deployment_id, status, webhook_status, errors, created_at, started_at, finished_at, over_at,
  :size_bytes AS size_bytes;

-- name: keep_output
INSERT OR REPLACE INTO model_outputs (seq, body) VALUES (:seq, :body);

-- name: erase_input
DELETE FROM model_inputs WHERE seq = :seq;

-- name: erase_output
DELETE FROM model_outputs WHERE seq = :seq;

-- name: keep_result
-- Of a request that is just over: what would be erased, or never written, for as long as it was asked for.
INSERT OR REPLACE INTO kept_results (
  seq, request_id, deployment_id, request, webhook_status, errors, model_output, result_checksum, delivery_attempts,
  over_at, erase_at
)
SELECT
  seq, request_id, deployment_id, request, webhook_status, errors,
  coalesce(:data, (SELECT body FROM model_outputs WHERE model_outputs.seq = requests.seq)),
  result_checksum, delivery_attempts, over_at, over_at + :keep_micros
FROM requests WHERE seq = :seq;

-- name: kept_result
-- By its request; one whose time is over is kept no more, though it may not be erased yet.
SELECT seq, request_id, deployment_id, request, webhook_status, errors, model_output, result_checksum, delivery_attempts,
  over_at, erase_at, length(model_output) AS size_bytes
FROM kept_results WHERE request_id = :request_id AND erase_at > :now;

-- name: kept_results
-- The latest first, of those that were over at a moment or later; without the outputs.
SELECT request_id, deployment_id, request, webhook_status, errors, over_at, erase_at, length(model_output) AS size_bytes
FROM kept_results
WHERE erase_at > :now AND over_at >= :since AND (NOT :is_failed OR webhook_status = 'FAILED')
ORDER BY over_at DESC, seq DESC LIMIT :limit;

-- name: erase_kept
-- Results that were kept for as long as they were to be, so many at most.
DELETE FROM kept_results WHERE seq IN (
  SELECT seq FROM kept_results WHERE erase_at <= :now ORDER BY erase_at LIMIT :limit
)
RETURNING seq;

-- name: next_erasure
SELECT min(erase_at) AS at FROM kept_results;

-- name: note_redelivery
-- A kept result was sent again. Where its request said, and acknowledged, it is delivered now.
UPDATE kept_results SET delivery_attempts = delivery_attempts + 1,
  webhook_status = CASE WHEN :is_settled THEN 'SUCCEEDED' ELSE webhook_status END
WHERE request_id = :request_id;

-- name: redelivered
-- The same, of the request, as long as it is known.
UPDATE requests SET
  delivery_attempts = delivery_attempts + 1,
  webhook_status = CASE WHEN :is_settled THEN 'SUCCEEDED' ELSE webhook_status END,
  status_at = CASE WHEN :is_settled AND status = 'WEBHOOK_FAILED' THEN :now ELSE status_at END,
  status = CASE WHEN :is_settled AND status = 'WEBHOOK_FAILED' THEN 'SUCCEEDED' ELSE status END
WHERE request_id = :request_id AND over_at IS NOT NULL
RETURNING seq, delivery_attempts;

-- name: cancel
-- Only a queued request can be cancelled; nothing is sent for it.
UPDATE requests SET
  status = 'CANCELED', status_at = :now, over_at = :now,
  webhook_status = CASE webhook_status WHEN 'PENDING' THEN 'CANCELED' ELSE webhook_status END
WHERE request_id = :request_id AND status = 'QUEUED'
RETURNING
  seq, request_id, deployment_id, status, webhook_status, errors, created_at, started_at, finished_at, over_at,
  NULL AS size_bytes;

-- name: expire
-- Requests that were not started in time; nothing is sent for them. So many at most.
UPDATE requests SET
  status = 'EXPIRED', status_at = :now, over_at = :now,
  webhook_status = CASE webhook_status WHEN 'PENDING' THEN 'CANCELED' ELSE webhook_status END
WHERE +status = 'QUEUED' AND seq IN (
  SELECT seq FROM requests INDEXED BY expiring WHERE status = 'QUEUED' AND expires_at <= :now ORDER BY expires_at LIMIT :limit
)
RETURNING
  seq, request_id, deployment_id, status, webhook_status, errors, created_at, started_at, finished_at, over_at,
  NULL AS size_bytes;

-- name: forget
-- Requests whose status has been readable long enough, so many at most.
DELETE FROM requests WHERE seq IN (
  SELECT seq FROM requests WHERE over_at <= :over_before ORDER BY over_at LIMIT :limit
)
RETURNING seq;

-- name: forget_deliveries
DELETE FROM deliveries WHERE seq = :seq;

-- name: next_expiry
SELECT min(expires_at) AS at FROM requests INDEXED BY expiring WHERE status = 'QUEUED';

-- name: next_over
SELECT min(over_at) AS at FROM requests WHERE over_at IS NOT NULL;

-- name: claim_deliveries
-- Results that are due to be sent, the longest due first; a claimed one has no next time until its attempt is recorded.
UPDATE requests SET next_delivery_at = NULL, owner = :owner
WHERE EXISTS (SELECT 1 FROM owners WHERE number = :owner) AND seq IN (
  SELECT seq FROM requests WHERE next_delivery_at <= :now ORDER BY next_delivery_at, seq LIMIT :limit
)
RETURNING
  seq, request_id, deployment_id, priority, request, created_at, expires_at, status, errors, delivery_attempts,
  head_checksum, result_checksum, (SELECT body FROM model_outputs WHERE model_outputs.seq = requests.seq) AS model_output;

-- name: claimed_delivery
SELECT
  seq, request_id, deployment_id, priority, request, created_at, expires_at, status, errors, delivery_attempts,
  head_checksum, result_checksum, body AS model_output
FROM requests LEFT JOIN model_outputs USING (seq)
WHERE request_id = :request_id AND finished_at IS NOT NULL AND owner = :owner;

-- name: next_delivery
SELECT min(next_delivery_at) AS at FROM requests WHERE next_delivery_at IS NOT NULL;

-- name: release_deliveries
-- What was being sent, and was left behind, is due again. (Nobody is not in an empty set, either.)
UPDATE requests INDEXED BY delivering SET next_delivery_at = :now, owner = NULL
WHERE finished_at IS NOT NULL AND owner IS NOT NULL AND owner NOT IN (SELECT number FROM owners)
RETURNING seq;

-- name: record_delivery
INSERT OR REPLACE INTO deliveries (seq, attempt, sent_at, latency_ms, status_code, error, signature, sent_to)
VALUES (:seq, :attempt, :sent_at, :latency_ms, :status_code, :error, :signature, :sent_to);

-- name: deliver_later
UPDATE requests SET delivery_attempts = delivery_attempts + 1, next_delivery_at = :next_delivery_at, owner = NULL
WHERE request_id = :request_id AND finished_at IS NOT NULL AND owner = :owner
RETURNING seq, delivery_attempts;

-- name: finish_delivery
-- Delivered, or given up.
UPDATE requests SET
  delivery_attempts = delivery_attempts + 1, owner = NULL, webhook_status = :webhook_status, over_at = :now,
  status_at = CASE WHEN status = 'SUCCEEDED' AND :webhook_status = 'FAILED' THEN :now ELSE status_at END,
  status = CASE WHEN status = 'SUCCEEDED' AND :webhook_status = 'FAILED' THEN 'WEBHOOK_FAILED' ELSE status END
WHERE request_id = :request_id AND finished_at IS NOT NULL AND owner = :owner
RETURNING
  seq, delivery_attempts, request_id, deployment_id, status, webhook_status, errors, created_at, started_at, finished_at,
  over_at, (SELECT length(body) FROM model_outputs WHERE model_outputs.seq = requests.seq) AS size_bytes;

-- name: record
-- Everything that is known of a request.
SELECT * FROM requests WHERE request_id = :request_id;

-- name: deliveries_of_request
SELECT r.request_id, r.request, d.attempt, d.sent_at, d.latency_ms, d.status_code, d.error, d.signature, d.sent_to
FROM requests AS r JOIN deliveries AS d ON d.seq = r.seq
WHERE r.request_id = :request_id ORDER BY d.attempt;

-- name: latest_deliveries
SELECT r.request_id, r.request, d.attempt, d.sent_at, d.latency_ms, d.status_code, d.error, d.signature, d.sent_to
FROM deliveries AS d JOIN requests AS r ON r.seq = d.seq
ORDER BY d.sent_at DESC, d.seq DESC, d.attempt DESC LIMIT :limit;

-- name: deliveries
SELECT attempt, sent_at, latency_ms, status_code, error, signature FROM deliveries WHERE seq = :seq ORDER BY attempt;

-- name: open_by_deployment
-- A few rows for each deployment that ever was.
SELECT deployment_id, sum(number) AS open FROM counts
WHERE status IN ('QUEUED', 'IN_PROGRESS') GROUP BY deployment_id HAVING open > 0;

-- name: status_counts
SELECT deployment_id, status, number FROM counts WHERE number > 0;

-- name: classes
-- Those that there are, whatever the number of requests: from each, the index leads to the next.
WITH RECURSIVE classes (status, webhook_status, priority, deployment_id) AS (
  SELECT * FROM (
    SELECT status, webhook_status, priority, deployment_id FROM requests INDEXED BY by_class ORDER BY 1, 2, 3, 4 LIMIT 1
  )
  UNION ALL
  SELECT found.status, found.webhook_status, found.priority, found.deployment_id
  FROM classes AS this CROSS JOIN requests AS found ON found.seq = coalesce(
    (
      SELECT seq FROM requests AS next INDEXED BY by_class
      WHERE next.status = this.status AND next.webhook_status = this.webhook_status AND next.priority = this.priority
        AND next.deployment_id > this.deployment_id
      ORDER BY deployment_id LIMIT 1
    ),
    (
      SELECT seq FROM requests AS next INDEXED BY by_class
      WHERE next.status = this.status AND next.webhook_status = this.webhook_status AND next.priority > this.priority
      ORDER BY priority, deployment_id LIMIT 1
    ),
    (
      SELECT seq FROM requests AS next INDEXED BY by_class
      WHERE next.status = this.status AND next.webhook_status > this.webhook_status
      ORDER BY webhook_status, priority, deployment_id LIMIT 1
    ),
    (
      SELECT seq FROM requests AS next INDEXED BY by_class
      WHERE next.status > this.status
      ORDER BY status, webhook_status, priority, deployment_id LIMIT 1
    )
  )
)
SELECT status, webhook_status, priority, deployment_id FROM classes;

-- name: latest_of_class
-- Of those that are known, from before an order, the newest first. (A plus keeps other indexes away.)
SELECT seq FROM requests INDEXED BY by_class
WHERE status = :status AND webhook_status = :webhook_status AND priority = :priority AND deployment_id = :deployment_id
  AND seq >= :first AND seq < :before AND (over_at IS NULL OR over_at > :over_after) AND created_at >= :since
  AND +request_id >= :prefix AND +request_id < :beyond
ORDER BY seq DESC LIMIT :limit;

-- name: latest_of_all
-- The same, of whatever class.
SELECT seq FROM requests NOT INDEXED
WHERE seq >= :first AND seq < :before AND (over_at IS NULL OR over_at > :over_after) AND created_at >= :since
  AND +request_id >= :prefix AND +request_id < :beyond
ORDER BY seq DESC LIMIT :limit;

-- name: oldest_of_class
SELECT min(seq) AS seq FROM requests INDEXED BY by_class
WHERE status = :status AND webhook_status = :webhook_status AND priority = :priority AND deployment_id = :deployment_id;

-- name: beginning_with
-- So many that may be the ones whose id begins so, in no order.
SELECT seq FROM requests WHERE request_id >= :prefix AND request_id < :beyond LIMIT :limit;

-- name: found
SELECT
  seq, request_id, deployment_id, status, webhook_status, priority, attempts, errors, created_at, status_at, started_at,
  finished_at, over_at
FROM requests WHERE seq = :seq;

-- name: accepted_from
-- The first request of that order, or of one after it.
SELECT seq, created_at FROM requests WHERE seq >= :seq ORDER BY seq LIMIT 1;

-- name: last_order
SELECT max(seq) AS seq FROM requests;

-- name: starting_with
-- Ids of requests that are known and begin so; an index leads to them.
SELECT request_id FROM requests
WHERE request_id >= :prefix AND request_id < :beyond AND (over_at IS NULL OR over_at > :over_after)
ORDER BY request_id LIMIT :limit;

-- name: counts
SELECT
  coalesce((SELECT number FROM counts WHERE deployment_id = :deployment_id AND status = 'QUEUED'), 0) AS queued,
  coalesce((SELECT number FROM counts WHERE deployment_id = :deployment_id AND status = 'IN_PROGRESS'), 0) AS in_progress;

-- name: spoil_output
-- A result that is not what it was: a failure is sent in its place.
UPDATE requests SET status = 'FAILED', errors = :errors, result_checksum = :result_checksum WHERE seq = :seq;

-- name: disown
-- A request that is not what was accepted: nothing of it can be trusted, so nothing is sent, or kept of it.
UPDATE requests SET
  request_id = :request_id, priority = :priority, request = :request, created_at = :created_at, expires_at = :expires_at,
  head_checksum = :head_checksum,
  webhook_status = CASE webhook_status WHEN 'NO_WEBHOOK_PROVIDED' THEN webhook_status ELSE 'FAILED' END
WHERE seq = :seq;

-- name: end_disowned
-- Its result cannot be sent.
UPDATE requests SET
  status = 'FAILED', errors = :errors, owner = NULL, next_delivery_at = NULL, over_at = :now, status_at = :now
WHERE seq = :seq;
