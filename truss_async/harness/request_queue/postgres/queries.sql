-- name: schema_1
-- Version 1. As in SQLite (see there), save that several owners work on it at the same time: what is owned by an owner
-- that is not in the table was left behind. Bodies lie in tables of their own, so that they can be erased while the
-- status stays. Each connection counts in rows of its own, so that none waits for another's commit.
CREATE TABLE requests (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  request_id text COLLATE "C" NOT NULL UNIQUE,
  deployment_id text NOT NULL,
  status text NOT NULL,
  webhook_status text NOT NULL,
  priority integer NOT NULL,
  request text NOT NULL,
  owner bigint,
  attempts integer NOT NULL DEFAULT 0,
  errors text NOT NULL DEFAULT '[]',
  created_at bigint NOT NULL,
  expires_at bigint NOT NULL,
  status_at bigint NOT NULL,
  started_at bigint,
  next_attempt_at bigint,
  finished_at bigint,
  delivery_attempts integer NOT NULL DEFAULT 0,
  next_delivery_at bigint,
  over_at bigint,
  interruptions integer NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
CREATE INDEX queued ON requests (deployment_id, priority, seq) WHERE status = 'QUEUED';
CREATE INDEX expiring ON requests (expires_at) WHERE status = 'QUEUED';
CREATE INDEX in_progress ON requests (deployment_id) WHERE status = 'IN_PROGRESS';
CREATE INDEX to_deliver ON requests (next_delivery_at, seq) WHERE next_delivery_at IS NOT NULL;
CREATE INDEX delivering ON requests (owner) WHERE finished_at IS NOT NULL AND owner IS NOT NULL;
CREATE INDEX forgettable ON requests (over_at) WHERE over_at IS NOT NULL;
CREATE INDEX ended_badly ON requests (status, seq) WHERE status IN ('FAILED', 'WEBHOOK_FAILED', 'EXPIRED', 'CANCELED');
CREATE TABLE owners (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lease_ends_at bigint);
CREATE TABLE model_inputs (seq bigint PRIMARY KEY, body bytea NOT NULL)
  WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0);
CREATE TABLE model_outputs (seq bigint PRIMARY KEY, body bytea NOT NULL)
  WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0);
CREATE TABLE deliveries (
  seq bigint NOT NULL,
  attempt integer NOT NULL,
  sent_at bigint NOT NULL,
  latency_ms double precision NOT NULL,
  status_code integer,
  error text,
  signature text,
  sent_to text,
  PRIMARY KEY (seq, attempt)
);
CREATE INDEX deliveries_by_time ON deliveries (sent_at);
CREATE TABLE kept_results (
  seq bigint PRIMARY KEY,
  request_id text NOT NULL UNIQUE,
  deployment_id text NOT NULL,
  request text NOT NULL,
  webhook_status text NOT NULL,
  errors text NOT NULL,
  model_output bytea,
  delivery_attempts integer NOT NULL,
  over_at bigint NOT NULL,
  erase_at bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0);
CREATE INDEX erasable ON kept_results (erase_at);
CREATE INDEX kept_by_time ON kept_results (over_at);
CREATE TABLE documents (name text PRIMARY KEY, body bytea NOT NULL);
CREATE TABLE counts (
  deployment_id text NOT NULL, status text NOT NULL, shard integer NOT NULL, number bigint NOT NULL,
  PRIMARY KEY (deployment_id, status, shard)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- The database's clock is that of all owners.
CREATE FUNCTION now_micros() RETURNS bigint LANGUAGE sql VOLATILE AS
  $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

-- Who opens, renews, ends or takes over has a turn of his own: no owner comes or goes meanwhile.
CREATE FUNCTION take_turn() RETURNS void LANGUAGE sql VOLATILE AS
  $$ SELECT pg_advisory_xact_lock(hashtextextended('truss-async leases of ' || current_schema(), 0)) $$;

CREATE FUNCTION count_requests() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  shard_of_mine integer := pg_backend_pid() % 64;
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO counts AS c
      SELECT deployment_id, status, shard_of_mine, count(*) FROM came GROUP BY 1, 2 ORDER BY 1, 2
      ON CONFLICT (deployment_id, status, shard) DO UPDATE SET number = c.number + EXCLUDED.number;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO counts AS c
      SELECT deployment_id, status, shard_of_mine, -count(*) FROM went GROUP BY 1, 2 ORDER BY 1, 2
      ON CONFLICT (deployment_id, status, shard) DO UPDATE SET number = c.number + EXCLUDED.number;
  ELSE
    INSERT INTO counts AS c
      SELECT deployment_id, status, shard_of_mine, sum(n) FROM (
        SELECT deployment_id, status, 1 AS n FROM came UNION ALL SELECT deployment_id, status, -1 FROM went
      ) AS changed GROUP BY 1, 2 HAVING sum(n) <> 0 ORDER BY 1, 2
      ON CONFLICT (deployment_id, status, shard) DO UPDATE SET number = c.number + EXCLUDED.number;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER request_came AFTER INSERT ON requests REFERENCING NEW TABLE AS came
  FOR EACH STATEMENT EXECUTE FUNCTION count_requests();
CREATE TRIGGER request_went_on AFTER UPDATE ON requests REFERENCING OLD TABLE AS went NEW TABLE AS came
  FOR EACH STATEMENT EXECUTE FUNCTION count_requests();
CREATE TRIGGER request_went AFTER DELETE ON requests REFERENCING OLD TABLE AS went
  FOR EACH STATEMENT EXECUTE FUNCTION count_requests();

CREATE FUNCTION begin_lease(micros bigint) RETURNS bigint LANGUAGE plpgsql AS $$
-- A new owner. Without a length of its lease, the only one: those before it ended without a word.
DECLARE
  made bigint;
BEGIN
  PERFORM take_turn();
  IF micros IS NULL THEN
    UPDATE requests SET interruptions = interruptions + 1
      WHERE status = 'IN_PROGRESS' AND next_attempt_at IS NULL AND owner IN (SELECT number FROM owners);
    DELETE FROM owners;
  END IF;
  INSERT INTO owners (lease_ends_at) VALUES (now_micros() + micros) RETURNING number INTO made;
  RETURN made;
END $$;

CREATE FUNCTION renew_lease(mine bigint, micros bigint) RETURNS boolean LANGUAGE plpgsql AS $$
-- Also one that has ended, if nobody noticed.
BEGIN
  PERFORM take_turn();
  UPDATE owners SET lease_ends_at = now_micros() + micros WHERE number = mine;
  RETURN FOUND;
END $$;

CREATE FUNCTION end_late_leases(mine bigint) RETURNS void LANGUAGE plpgsql AS $$
-- Those of the others: who is late himself will see when he renews.
DECLARE
  late bigint[] := ARRAY(SELECT number FROM owners WHERE lease_ends_at <= now_micros() AND number <> mine);
BEGIN
  IF cardinality(late) > 0 THEN
    UPDATE requests SET interruptions = interruptions + 1
      WHERE status = 'IN_PROGRESS' AND next_attempt_at IS NULL AND owner = ANY (late);
    DELETE FROM owners WHERE number = ANY (late);
  END IF;
END $$;

CREATE FUNCTION take_over(mine bigint, of_deployment text, known text[]) RETURNS SETOF requests LANGUAGE plpgsql AS $$
-- What is in progress, and was left behind; with a list of what is known, also what is one's own beside that. What was
-- being inferred is so no more: from here on it waits, since 1970.
BEGIN
  PERFORM take_turn();
  PERFORM end_late_leases(mine);
  RETURN QUERY UPDATE requests SET owner = mine, next_attempt_at = coalesce(next_attempt_at, 0)
    WHERE status = 'IN_PROGRESS' AND deployment_id = of_deployment
      AND (NOT EXISTS (SELECT 1 FROM owners WHERE number = requests.owner)
        OR (owner = mine AND request_id <> ALL (known)))
    RETURNING requests.*;
END $$;

CREATE FUNCTION release_deliveries(mine bigint, known text[]) RETURNS bigint LANGUAGE plpgsql AS $$
-- What was being sent, and was left behind, is due again; with a list of what is known, also what is one's own beside it.
DECLARE
  released bigint;
BEGIN
  PERFORM take_turn();
  PERFORM end_late_leases(mine);
  UPDATE requests SET next_delivery_at = now_micros(), owner = NULL
    WHERE finished_at IS NOT NULL AND owner IS NOT NULL
      AND (NOT EXISTS (SELECT 1 FROM owners WHERE number = requests.owner)
        OR (owner = mine AND request_id <> ALL (known)));
  GET DIAGNOSTICS released = ROW_COUNT;
  RETURN released;
END $$;

-- name: schema_2
-- What a node tells the others of itself: where they call it, and how many replicas it has, as JSON by deployment.
ALTER TABLE owners ADD COLUMN url text, ADD COLUMN replicas text;

-- name: schema_3
-- How many calls are left, of those that all nodes together may answer in a while. Each fills up evenly.
CREATE TABLE call_rates (name text PRIMARY KEY, calls_left double precision NOT NULL, at bigint NOT NULL)
  WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE FUNCTION take_calls(
  of_name text, wanted integer, calls integer, micros bigint, OUT granted integer, OUT calls_left double precision
) LANGUAGE plpgsql AS $$
-- Whose turn it is, is a matter of the row's lock; nobody waits for the disk, for a count need not outlive a crash.
DECLARE
  kept call_rates;
  at_now bigint;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  INSERT INTO call_rates VALUES (of_name, calls, now_micros()) ON CONFLICT (name) DO NOTHING;
  SELECT * INTO kept FROM call_rates AS r WHERE r.name = of_name FOR UPDATE;
  at_now := now_micros();
  calls_left := least(calls, kept.calls_left + greatest(0, at_now - kept.at)::double precision * calls / micros);
  granted := least(wanted, floor(calls_left));
  calls_left := calls_left - granted;
  UPDATE call_rates AS r SET calls_left = take_calls.calls_left, at = at_now WHERE r.name = of_name;
END $$;

-- name: time
SELECT now_micros() AS now;

-- name: begin_lease
SELECT begin_lease(:micros) AS owner;

-- name: renew_lease
SELECT renew_lease(:owner, :micros) AS is_kept;

-- name: register
UPDATE owners SET url = :url, replicas = :replicas
WHERE number = :owner AND (url IS DISTINCT FROM :url OR replicas IS DISTINCT FROM :replicas);

-- name: nodes
SELECT url, replicas FROM owners WHERE url IS NOT NULL AND lease_ends_at > now_micros() ORDER BY number DESC;

-- name: seen_from
-- Where the machine of whoever asks is, as seen from here; no address when it is this one.
SELECT host(inet_client_addr()) AS address;

-- name: take_calls
SELECT granted, calls_left FROM take_calls(:name, :wanted, :calls, :micros);

-- name: end_lease
-- The others hear of it.
WITH gone AS (DELETE FROM owners WHERE number = :owner RETURNING number)
SELECT pg_notify(:channel, :payload) FROM gone;

-- name: tell
SELECT pg_notify(:channel, :payload);

-- name: take_document
-- Whoever changes it has it alone, also when it is not there yet.
SELECT pg_advisory_xact_lock(hashtextextended('truss-async ' || current_schema() || ' ' || :name, 0));

-- name: document
SELECT body FROM documents WHERE name = :name;

-- name: write_document
INSERT INTO documents (name, body) VALUES (:name, :body) ON CONFLICT (name) DO UPDATE SET body = EXCLUDED.body;

-- name: take_over
SELECT request_id, priority, nullif(next_attempt_at, 0) AS next_attempt_at, interruptions
FROM take_over(:owner, :deployment_id, :known::text[]) ORDER BY priority, seq;

-- name: release_deliveries
SELECT release_deliveries(:owner, :known::text[]) AS released;

-- name: enqueue
-- A new request, queued.
WITH made AS (
  INSERT INTO requests (
    request_id, deployment_id, status, webhook_status, priority, request, created_at, expires_at, status_at
  )
  VALUES (
    :request_id, :deployment_id, 'QUEUED', :webhook_status, :priority, :request, :created_at, :expires_at, :created_at
  )
  RETURNING seq
)
INSERT INTO model_inputs (seq, body) SELECT seq, :body FROM made;

-- name: claim
-- The next requests of a deployment, by priority, then age; expired ones are never started. Who is no owner gets none.
WITH next AS (
  SELECT seq FROM requests
  WHERE status = 'QUEUED' AND deployment_id = :deployment_id AND expires_at > (SELECT now_micros())
    AND EXISTS (SELECT 1 FROM owners WHERE number = :owner)
  ORDER BY priority, seq LIMIT :limit FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE requests AS r SET status = 'IN_PROGRESS', status_at = at.now, started_at = at.now, owner = :owner
  FROM next, (SELECT now_micros() AS now) AS at WHERE r.seq = next.seq
  RETURNING r.seq, r.request_id, r.priority, r.request, r.attempts, r.created_at, r.interruptions
)
SELECT claimed.*, body AS model_input FROM claimed JOIN model_inputs USING (seq) ORDER BY priority, seq;

-- name: resume
-- One request that is in progress, for another inference attempt.
WITH resumed AS (
  UPDATE requests SET next_attempt_at = NULL
  WHERE request_id = :request_id AND status = 'IN_PROGRESS' AND owner = :owner
  RETURNING seq, request_id, priority, request, attempts, created_at, interruptions
)
SELECT resumed.*, body AS model_input FROM resumed JOIN model_inputs USING (seq);

-- name: retry_later
-- An inference attempt failed and another one follows.
UPDATE requests SET attempts = :attempts, errors = :errors, next_attempt_at = :at
WHERE request_id = :request_id AND status = 'IN_PROGRESS' AND owner = :owner
RETURNING seq;

-- name: finish
-- Inference is over. With a webhook the output is kept until it is delivered; without one the request is over.
WITH finished AS (
  UPDATE requests SET
    status = :status, status_at = at.now, finished_at = at.now, attempts = :attempts, errors = :errors,
    next_attempt_at = NULL,
    owner = CASE WHEN webhook_status = 'PENDING' AND :is_claimed THEN owner END,
    next_delivery_at = CASE WHEN webhook_status = 'PENDING' AND NOT :is_claimed THEN at.now END,
    over_at = CASE webhook_status WHEN 'PENDING' THEN NULL ELSE at.now END
  FROM (SELECT now_micros() AS now) AS at
  WHERE request_id = :request_id AND status = 'IN_PROGRESS' AND owner = :owner
  RETURNING
    seq, request_id, deployment_id, status, webhook_status, errors, created_at, started_at, finished_at, over_at,
    octet_length(:data::bytea) AS size_bytes, request, delivery_attempts
), erased AS (
  DELETE FROM model_inputs USING finished WHERE model_inputs.seq = finished.seq
), to_deliver AS (
  INSERT INTO model_outputs (seq, body)
  SELECT seq, :data FROM finished WHERE webhook_status = 'PENDING' AND :data::bytea IS NOT NULL
  ON CONFLICT (seq) DO UPDATE SET body = EXCLUDED.body
), kept AS (
  INSERT INTO kept_results (
    seq, request_id, deployment_id, request, webhook_status, errors, model_output, delivery_attempts, over_at, erase_at
  )
  SELECT
    seq, request_id, deployment_id, request, webhook_status, errors, :data::bytea, delivery_attempts, over_at,
    over_at + :keep_micros::bigint
  FROM finished WHERE over_at IS NOT NULL AND :keep_micros::bigint IS NOT NULL
)
SELECT * FROM finished;

-- name: finished
-- Whether the result of a request is recorded as one's own to deliver.
SELECT seq FROM requests WHERE request_id = :request_id AND finished_at IS NOT NULL AND owner = :owner;

-- name: cancel
-- Only a queued request can be cancelled; nothing is sent for it.
WITH over AS (
  UPDATE requests SET
    status = 'CANCELED', status_at = at.now, over_at = at.now,
    webhook_status = CASE webhook_status WHEN 'PENDING' THEN 'CANCELED' ELSE webhook_status END
  FROM (SELECT now_micros() AS now) AS at
  WHERE request_id = :request_id AND status = 'QUEUED'
  RETURNING
    seq, request_id, deployment_id, status, webhook_status, errors, created_at, started_at, finished_at, over_at,
    NULL::integer AS size_bytes
), erased AS (
  DELETE FROM model_inputs USING over WHERE model_inputs.seq = over.seq
)
SELECT * FROM over;

-- name: expire
-- Requests that were not started in time; nothing is sent for them. So many at most.
WITH late AS (
  SELECT seq FROM requests WHERE status = 'QUEUED' AND expires_at <= (SELECT now_micros())
  ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
), over AS (
  UPDATE requests AS r SET
    status = 'EXPIRED', status_at = at.now, over_at = at.now,
    webhook_status = CASE webhook_status WHEN 'PENDING' THEN 'CANCELED' ELSE webhook_status END
  FROM late, (SELECT now_micros() AS now) AS at WHERE r.seq = late.seq
  RETURNING
    r.seq, request_id, deployment_id, status, webhook_status, errors, created_at, started_at, finished_at, over_at,
    NULL::integer AS size_bytes
), erased AS (
  DELETE FROM model_inputs USING over WHERE model_inputs.seq = over.seq
)
SELECT * FROM over ORDER BY seq;

-- name: forget
-- Requests whose status has been readable long enough, so many at most.
WITH old AS (
  SELECT seq FROM requests WHERE over_at <= :over_before ORDER BY over_at LIMIT :limit FOR UPDATE SKIP LOCKED
), forgotten AS (
  DELETE FROM requests USING old WHERE requests.seq = old.seq RETURNING requests.seq
), sent AS (
  DELETE FROM deliveries USING old WHERE deliveries.seq = old.seq
)
SELECT seq FROM forgotten;

-- name: next_expiry
SELECT min(expires_at) AS at FROM requests WHERE status = 'QUEUED';

-- name: next_over
SELECT min(over_at) AS at FROM requests WHERE over_at IS NOT NULL;

-- name: next_delivery
SELECT min(next_delivery_at) AS at FROM requests WHERE next_delivery_at IS NOT NULL;

-- name: claim_deliveries
-- Results that are due to be sent, the longest due first; a claimed one has no next time until its attempt is recorded.
WITH due AS (
  SELECT seq FROM requests
  WHERE next_delivery_at <= (SELECT now_micros()) AND EXISTS (SELECT 1 FROM owners WHERE number = :owner)
  ORDER BY next_delivery_at, seq LIMIT :limit FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE requests AS r SET next_delivery_at = NULL, owner = :owner FROM due WHERE r.seq = due.seq
  RETURNING r.seq, r.request_id, r.deployment_id, r.request, r.errors, r.delivery_attempts
)
SELECT claimed.*, body AS model_output FROM claimed LEFT JOIN model_outputs USING (seq) ORDER BY seq;

-- name: claimed_delivery
SELECT seq, request_id, deployment_id, request, errors, delivery_attempts, body AS model_output
FROM requests LEFT JOIN model_outputs USING (seq)
WHERE request_id = :request_id AND finished_at IS NOT NULL AND owner = :owner;

-- name: deliver_later
WITH changed AS (
  UPDATE requests SET delivery_attempts = delivery_attempts + 1, next_delivery_at = :at, owner = NULL
  WHERE request_id = :request_id AND finished_at IS NOT NULL AND owner = :owner
  RETURNING seq, delivery_attempts
), sent AS (
  INSERT INTO deliveries (seq, attempt, sent_at, latency_ms, status_code, error, signature)
  SELECT seq, delivery_attempts, :sent_at, :latency_ms, :status_code, :error, :signature FROM changed
  ON CONFLICT DO NOTHING
)
SELECT seq FROM changed;

-- name: finish_delivery
-- Delivered, or given up.
WITH over AS (
  UPDATE requests SET
    delivery_attempts = delivery_attempts + 1, owner = NULL, webhook_status = :webhook_status, over_at = at.now,
    status_at = CASE WHEN status = 'SUCCEEDED' AND :webhook_status = 'FAILED' THEN at.now ELSE status_at END,
    status = CASE WHEN status = 'SUCCEEDED' AND :webhook_status = 'FAILED' THEN 'WEBHOOK_FAILED' ELSE status END
  FROM (SELECT now_micros() AS now) AS at
  WHERE request_id = :request_id AND finished_at IS NOT NULL AND owner = :owner
  RETURNING
    requests.seq, delivery_attempts, request_id, deployment_id, request, status, webhook_status, errors, created_at,
    started_at, finished_at, over_at
), sent AS (
  INSERT INTO deliveries (seq, attempt, sent_at, latency_ms, status_code, error, signature)
  SELECT seq, delivery_attempts, :sent_at, :latency_ms, :status_code, :error, :signature FROM over
  ON CONFLICT DO NOTHING
), erased AS (
  DELETE FROM model_outputs USING over WHERE model_outputs.seq = over.seq RETURNING over.seq, body
), kept AS (
  INSERT INTO kept_results (
    seq, request_id, deployment_id, request, webhook_status, errors, model_output, delivery_attempts, over_at, erase_at
  )
  SELECT
    seq, request_id, deployment_id, request, webhook_status, errors, body, delivery_attempts, over_at,
    over_at + :keep_micros::bigint
  FROM over LEFT JOIN erased USING (seq) WHERE :keep_micros::bigint IS NOT NULL
)
SELECT over.*, octet_length(body) AS size_bytes FROM over LEFT JOIN erased USING (seq);

-- name: kept_result
-- By its request; one whose time is over is kept no more, though it may not be erased yet.
SELECT seq, request_id, deployment_id, request, errors, model_output, delivery_attempts
FROM kept_results WHERE request_id = :request_id AND erase_at > now_micros();

-- name: kept_results
-- The latest first, of those that were over at a moment or later; without the outputs.
SELECT
  request_id, deployment_id, request, webhook_status, errors, over_at, erase_at, octet_length(model_output) AS size_bytes
FROM kept_results
WHERE erase_at > (SELECT now_micros()) AND over_at >= :since AND (NOT :is_failed OR webhook_status = 'FAILED')
ORDER BY over_at DESC, seq DESC LIMIT :limit;

-- name: erase_kept
-- Results that were kept for as long as they were to be, so many at most.
DELETE FROM kept_results WHERE seq IN (
  SELECT seq FROM kept_results WHERE erase_at <= (SELECT now_micros()) ORDER BY erase_at LIMIT :limit
  FOR UPDATE SKIP LOCKED
)
RETURNING seq;

-- name: next_erasure
SELECT min(erase_at) AS at FROM kept_results;

-- name: redelivered
-- A kept result was sent again. Where its request said, and acknowledged, it is delivered now, as long as it is known.
WITH noted AS (
  UPDATE kept_results SET delivery_attempts = delivery_attempts + 1,
    webhook_status = CASE WHEN :is_settled THEN 'SUCCEEDED' ELSE webhook_status END
  WHERE request_id = :request_id
), changed AS (
  UPDATE requests SET
    delivery_attempts = delivery_attempts + 1,
    webhook_status = CASE WHEN :is_settled THEN 'SUCCEEDED' ELSE webhook_status END,
    status_at = CASE WHEN :is_settled AND status = 'WEBHOOK_FAILED' THEN at.now ELSE status_at END,
    status = CASE WHEN :is_settled AND status = 'WEBHOOK_FAILED' THEN 'SUCCEEDED' ELSE status END
  FROM (SELECT now_micros() AS now) AS at
  WHERE request_id = :request_id AND over_at IS NOT NULL
  RETURNING seq, delivery_attempts
), sent AS (
  INSERT INTO deliveries (seq, attempt, sent_at, latency_ms, status_code, error, signature, sent_to)
  SELECT seq, delivery_attempts, :sent_at, :latency_ms, :status_code, :error, :signature, :sent_to FROM changed
  ON CONFLICT DO NOTHING
)
SELECT seq FROM changed;

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

-- name: open_by_deployment
SELECT deployment_id, sum(number)::bigint AS open FROM counts
WHERE status IN ('QUEUED', 'IN_PROGRESS') GROUP BY deployment_id HAVING sum(number) > 0;

-- name: status_counts
SELECT deployment_id, status, sum(number)::bigint AS number FROM counts
GROUP BY deployment_id, status HAVING sum(number) > 0;

-- name: counts
SELECT
  coalesce(sum(number) FILTER (WHERE status = 'QUEUED'), 0)::bigint AS queued,
  coalesce(sum(number) FILTER (WHERE status = 'IN_PROGRESS'), 0)::bigint AS in_progress
FROM counts WHERE deployment_id = :deployment_id AND status IN ('QUEUED', 'IN_PROGRESS');

-- name: search
-- Requests that are known, newest first, from before an order.
SELECT
  seq, request_id, deployment_id, status, webhook_status, priority, attempts, errors, created_at, status_at, started_at,
  finished_at
FROM requests
WHERE seq < :before AND (over_at IS NULL OR over_at > :over_after) AND created_at >= :since
  AND (:deployment_id::text IS NULL OR deployment_id = :deployment_id) AND (:status::text IS NULL OR status = :status)
  AND (:webhook_status::text IS NULL OR webhook_status = :webhook_status)
  AND (:priority::integer IS NULL OR priority = :priority) AND request_id >= :prefix AND request_id < :beyond
ORDER BY seq DESC LIMIT :limit;

-- name: oldest_open
SELECT
  seq, request_id, deployment_id, status, webhook_status, priority, attempts, errors, created_at, status_at, started_at,
  finished_at
FROM requests WHERE status IN ('QUEUED', 'IN_PROGRESS') ORDER BY seq LIMIT 1;

-- name: starting_with
-- Ids of requests that are known and begin so; an index leads to them.
SELECT request_id FROM requests
WHERE request_id >= :prefix AND request_id < :beyond AND (over_at IS NULL OR over_at > :over_after)
ORDER BY request_id LIMIT :limit;
