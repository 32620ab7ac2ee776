-- Version 3. The request as it was accepted is JSON; beside it stands what queries ask for. Times are microseconds
-- since 1970 in UTC. Inputs and outputs lie in tables of their own, so that they can be erased while the status stays.
CREATE TABLE requests (
  seq INTEGER PRIMARY KEY,
  request_id TEXT NOT NULL UNIQUE,
  deployment_id TEXT NOT NULL,
  status TEXT NOT NULL,
  webhook_status TEXT NOT NULL,
  priority INTEGER NOT NULL,
  request TEXT NOT NULL,
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
  over_at INTEGER
);
CREATE INDEX queued ON requests (deployment_id, priority, seq) WHERE status = 'QUEUED';
CREATE INDEX expiring ON requests (expires_at) WHERE status = 'QUEUED';
CREATE INDEX in_progress ON requests (deployment_id) WHERE status = 'IN_PROGRESS';
CREATE INDEX to_deliver ON requests (next_delivery_at) WHERE next_delivery_at IS NOT NULL;
CREATE INDEX forgettable ON requests (over_at) WHERE over_at IS NOT NULL;
CREATE TABLE model_inputs (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE model_outputs (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE deliveries (
  seq INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  sent_at INTEGER NOT NULL,
  latency_ms REAL NOT NULL,
  status_code INTEGER,
  error TEXT,
  PRIMARY KEY (seq, attempt)
) WITHOUT ROWID;

PRAGMA user_version = 3;
INSERT INTO requests (request_id, deployment_id, status, webhook_status, priority, request, attempts, errors, created_at,
  expires_at, status_at, started_at, next_attempt_at, finished_at, delivery_attempts, next_delivery_at, over_at)
VALUES
  ('queued', 'd1', 'QUEUED', 'PENDING', 1,
    '{"model_id":"m2","chain_id":null,"webhook_endpoint":"https://example.com/hook?a=\"b\"","retry_config":{"max_attempts":7,"initial_delay_ms":11,"max_delay_ms":13}}',
    0, '[]', 1767225600000000, 1767226200000000, 1767225600000000, NULL, NULL, NULL, 0, NULL, NULL),
  ('waiting', 'd1', 'IN_PROGRESS', 'NO_WEBHOOK_PROVIDED', 0,
    '{"model_id":"m2","chain_id":"c2","webhook_endpoint":null,"retry_config":{"max_attempts":3,"initial_delay_ms":1000,"max_delay_ms":5000}}',
    1, '[{"code": "MODEL_PREDICT_ERROR", "message": "broken"}]', 1767225600000000, 1767226200000000, 1767225601000000,
    1767225601000000, 1767225602000000, NULL, 0, NULL, NULL),
  ('sending', 'd1', 'SUCCEEDED', 'PENDING', 0,
    '{"model_id":"m2","chain_id":null,"webhook_endpoint":"https://example.com/hook","retry_config":{"max_attempts":3,"initial_delay_ms":1000,"max_delay_ms":5000}}',
    1, '[]', 1767225600000000, 1767226200000000, 1767225601000000, 1767225601000000, NULL, 1767225601000000, 1, NULL, NULL);
INSERT INTO model_inputs (seq, body) VALUES (1, CAST('{"x":1}' AS BLOB)), (2, CAST('{"x":2}' AS BLOB));
INSERT INTO model_outputs (seq, body) VALUES (3, CAST('[1]' AS BLOB));
INSERT INTO deliveries (seq, attempt, sent_at, latency_ms, status_code, error)
VALUES (3, 1, 1767225601000000, 12.5, 503, NULL);
