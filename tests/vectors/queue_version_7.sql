BEGIN TRANSACTION;
CREATE TABLE counts (
  deployment_id TEXT NOT NULL, status TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (deployment_id, status)
) WITHOUT ROWID;
INSERT INTO "counts" VALUES('d1','IN_PROGRESS',1);
INSERT INTO "counts" VALUES('d1','QUEUED',1);
INSERT INTO "counts" VALUES('d1','SUCCEEDED',1);
CREATE TABLE deliveries (
  seq INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  sent_at INTEGER NOT NULL,
  latency_ms REAL NOT NULL,
  status_code INTEGER,
  error TEXT, signature TEXT, sent_to TEXT,
  PRIMARY KEY (seq, attempt)
) WITHOUT ROWID;
INSERT INTO "deliveries" VALUES(3,1,1767225601000000,12.5,503,NULL,NULL,NULL);
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
CREATE TABLE model_inputs (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
INSERT INTO "model_inputs" VALUES(1,X'7B2278223A317D');
INSERT INTO "model_inputs" VALUES(2,X'7B2278223A327D');
CREATE TABLE model_outputs (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
INSERT INTO "model_outputs" VALUES(3,X'5B315D');
CREATE TABLE owners (number INTEGER PRIMARY KEY AUTOINCREMENT, lease_ends_at INTEGER);
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
, owner INTEGER, interruptions INTEGER NOT NULL DEFAULT 0, head_checksum INTEGER NOT NULL DEFAULT 0, input_checksum INTEGER NOT NULL DEFAULT 0, result_checksum INTEGER);
INSERT INTO "requests" VALUES(1,'queued','d1','QUEUED','PENDING',1,'{"model_id":"m2","chain_id":null,"webhook_endpoint":"https://example.com/hook?a=\"b\"","retry_config":{"max_attempts":7,"initial_delay_ms":11,"max_delay_ms":13}}',0,'[]',1767225600000000,1767226200000000,1767225600000000,NULL,NULL,NULL,0,NULL,NULL,NULL,0,2756695499,2947047035,1025113141);
INSERT INTO "requests" VALUES(2,'waiting','d1','IN_PROGRESS','NO_WEBHOOK_PROVIDED',0,'{"model_id":"m2","chain_id":"c2","webhook_endpoint":null,"retry_config":{"max_attempts":3,"initial_delay_ms":1000,"max_delay_ms":5000}}',1,'[{"code": "MODEL_PREDICT_ERROR", "message": "broken"}]',1767225600000000,1767226200000000,1767225601000000,1767225601000000,1767225602000000,NULL,0,NULL,NULL,0,0,3997997845,4179811381,2841682087);
INSERT INTO "requests" VALUES(3,'sending','d1','SUCCEEDED','PENDING',0,'{"model_id":"m2","chain_id":null,"webhook_endpoint":"https://example.com/hook","retry_config":{"max_attempts":3,"initial_delay_ms":1000,"max_delay_ms":5000}}',1,'[]',1767225600000000,1767226200000000,1767225601000000,1767225601000000,NULL,1767225601000000,1,NULL,NULL,0,0,3233551193,0,64886898);
CREATE INDEX queued ON requests (deployment_id, priority, seq) WHERE status = 'QUEUED';
CREATE INDEX expiring ON requests (expires_at) WHERE status = 'QUEUED';
CREATE INDEX in_progress ON requests (deployment_id) WHERE status = 'IN_PROGRESS';
CREATE INDEX to_deliver ON requests (next_delivery_at) WHERE next_delivery_at IS NOT NULL;
CREATE INDEX forgettable ON requests (over_at) WHERE over_at IS NOT NULL;
CREATE INDEX delivering ON requests (owner) WHERE finished_at IS NOT NULL AND owner IS NOT NULL;
CREATE INDEX deliveries_by_time ON deliveries (sent_at);
CREATE INDEX ended_badly ON requests (status, seq) WHERE status IN ('FAILED', 'WEBHOOK_FAILED', 'EXPIRED', 'CANCELED');
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
CREATE INDEX erasable ON kept_results (erase_at);
CREATE INDEX kept_by_time ON kept_results (over_at);
DELETE FROM "sqlite_sequence";
COMMIT;
PRAGMA user_version = 7;
