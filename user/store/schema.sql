-- The store's catalogue. Payloads are in blocks/ beside it (user/store/block.h).
-- PRAGMA user_version is the store's version: see STORE_VERSION in store.h. Enumerations are those of
-- user/correlate/record.h and user/proto/op.h; the views at the end spell them out and are the documented interface.
-- Times are nanoseconds since the Unix epoch, NULL or 0 = not known.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;

-- Names of the decoders: user/proto/protos.def, brought up to date by each writer.
CREATE TABLE protocol (id INTEGER PRIMARY KEY, name TEXT NOT NULL);

-- One row for each run of `record` or `import` that wrote here.
CREATE TABLE session (
	id INTEGER PRIMARY KEY,
	started_ns INTEGER NOT NULL,   -- first moment watched
	ended_ns INTEGER,              -- last moment watched; kept fresh once a second while recording
	running INTEGER NOT NULL,      -- 1 until it finished in good order
	source TEXT NOT NULL,          -- 'live' or the imported file
	scope TEXT NOT NULL,           -- what was watched, as an operator would say it
	host TEXT, kernel TEXT, version TEXT,
	pid INTEGER,
	messages INTEGER NOT NULL DEFAULT 0,   -- rows that this session added to `message`
	lost_records INTEGER DEFAULT 0, lost_bytes INTEGER DEFAULT 0, ignored_connections INTEGER DEFAULT 0
);

-- Texts that recur: virtual hosts, exchanges, routing keys, queues, field names. 0 is the empty text, so joins always hold.
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
INSERT INTO name VALUES (0, '');

CREATE TABLE process (
	id INTEGER PRIMARY KEY, session INTEGER, pid INTEGER, ppid INTEGER, comm TEXT, exe TEXT, cmdline TEXT,
	service TEXT, cgroup TEXT, start_ns INTEGER, first_ns INTEGER, exit_ns INTEGER, exit_code INTEGER
);

CREATE TABLE broker (id INTEGER PRIMARY KEY, proto INTEGER, name TEXT, process INTEGER);

CREATE TABLE connection (
	id INTEGER PRIMARY KEY, session INTEGER, broker INTEGER, proto INTEGER, state INTEGER,
	client INTEGER, server INTEGER,              -- process
	client_addr TEXT, server_addr TEXT,          -- 'address:port' or a path
	from_start INTEGER, opened_ns INTEGER, closed_ns INTEGER,
	bytes_to_server INTEGER, bytes_to_client INTEGER, lost_to_server INTEGER, lost_to_client INTEGER
);

-- dest, log, mid are there since version 2: enum dest, and the broker's own name of it (a name, and a text within that).
CREATE TABLE message (
	id INTEGER PRIMARY KEY,
	session INTEGER, broker INTEGER, proto INTEGER,
	vhost INTEGER, exchange INTEGER, routing_key INTEGER, type INTEGER,   -- name
	sent_ns INTEGER, first_ns INTEGER NOT NULL,
	process INTEGER, tid INTEGER, unit INTEGER, connection INTEGER, channel INTEGER,
	state INTEGER NOT NULL, origin INTEGER, routes INTEGER, flow INTEGER, fingerprint INTEGER,
	payload INTEGER, envelope_size INTEGER, body_kept INTEGER, body_size INTEGER,
	flags INTEGER, one_of INTEGER, code INTEGER,
	dest INTEGER NOT NULL DEFAULT 0, log INTEGER NOT NULL DEFAULT 0, mid TEXT
);
CREATE INDEX message_flow ON message(flow);
CREATE INDEX message_truncated ON message(id) WHERE flags & 1;         -- store/coverage.c
CREATE INDEX message_on_its_way ON message(id) WHERE state IN (1,2);   -- sent, confirmed: store/restore.c

CREATE TABLE copy (
	id INTEGER PRIMARY KEY, message INTEGER NOT NULL, queue INTEGER, state INTEGER NOT NULL, source INTEGER,
	settle INTEGER, queued_ns INTEGER, first_delivered_ns INTEGER, delivered_ns INTEGER, settled_ns INTEGER,
	deliveries INTEGER, consumer INTEGER, consumer_tid INTEGER, connection INTEGER, dead_letter INTEGER
);
CREATE INDEX copy_message ON copy(message);
CREATE INDEX copy_queue ON copy(queue, queued_ns);
CREATE INDEX copy_open ON copy(queue, queued_ns, message) WHERE state IN (4,5,7); -- queued, delivered, requeued

CREATE TABLE operation (
	id INTEGER PRIMARY KEY, session INTEGER, message INTEGER, copy INTEGER, kind INTEGER NOT NULL, settle INTEGER,
	flags INTEGER, ts_ns INTEGER NOT NULL, process INTEGER, tid INTEGER, unit INTEGER, connection INTEGER,
	channel INTEGER, tag INTEGER, pos INTEGER, len INTEGER, code INTEGER, text TEXT
);
CREATE INDEX operation_message ON operation(message);

CREATE TABLE identifier (
	message INTEGER, name INTEGER, value TEXT, place INTEGER, class INTEGER,
	PRIMARY KEY (message, name, value, place)
) WITHOUT ROWID;

CREATE TABLE link (
	id INTEGER PRIMARY KEY, src INTEGER NOT NULL, dst INTEGER NOT NULL, kind INTEGER NOT NULL,
	confidence REAL, evidence TEXT
);
CREATE INDEX link_src ON link(src);
CREATE INDEX link_dst ON link(dst);

CREATE TABLE exchange (
	broker INTEGER, vhost TEXT, name TEXT, type TEXT, durable INTEGER, args BLOB, deleted INTEGER, ts_ns INTEGER,
	PRIMARY KEY (broker, vhost, name)
) WITHOUT ROWID;

CREATE TABLE queue (
	broker INTEGER, vhost TEXT, name TEXT, dead_letter_exchange TEXT, dead_letter_key TEXT, -- NULL: none
	ttl_ms INTEGER, max_length INTEGER, durable INTEGER, exclusive INTEGER, auto_delete INTEGER, declared INTEGER,
	deleted INTEGER, ts_ns INTEGER,
	PRIMARY KEY (broker, vhost, name)
) WITHOUT ROWID;

CREATE TABLE binding (
	broker INTEGER, vhost TEXT, source TEXT, destination TEXT, to_exchange INTEGER, key TEXT, args BLOB,
	deleted INTEGER, ts_ns INTEGER,
	PRIMARY KEY (broker, vhost, source, destination, to_exchange, key, args)
) WITHOUT ROWID;

CREATE TABLE consumer (
	broker INTEGER, connection INTEGER, channel INTEGER, vhost TEXT, queue TEXT, tag TEXT, process INTEGER,
	prefetch INTEGER, no_ack INTEGER, since_ns INTEGER, until_ns INTEGER,
	PRIMARY KEY (connection, channel, tag)
) WITHOUT ROWID;

CREATE TABLE gap (
	id INTEGER PRIMARY KEY, session INTEGER, connection INTEGER, ts_ns INTEGER, dir INTEGER, bytes INTEGER,
	records INTEGER, reason TEXT
);

-- One row an act: written by `evtrace replay`, which is not the recorder (it opens the catalogue beside it).
CREATE TABLE replay (
	id INTEGER PRIMARY KEY, ts_ns INTEGER NOT NULL, message INTEGER NOT NULL, who TEXT, why TEXT,
	broker TEXT, exchange TEXT, routing_key TEXT, token TEXT NOT NULL UNIQUE, -- value of the header evtrace-replay-of
	result TEXT NOT NULL,                                    -- 'sending', 'confirmed', 'returned: ...': see replay/audit.h
	finished_ns INTEGER,
	log TEXT, mid TEXT                                       -- the copy, as the broker named it (enum dest); NULL: it did not
);
CREATE INDEX replay_message ON replay(message);
CREATE INDEX replay_copy ON replay(log, mid) WHERE mid IS NOT NULL;

-- Payload blocks: see block.h. `id` is ascending in time.
CREATE TABLE block (
	id INTEGER PRIMARY KEY, session INTEGER, segment INTEGER NOT NULL, offset INTEGER NOT NULL,
	stored_size INTEGER NOT NULL, raw_size INTEGER NOT NULL, payloads INTEGER NOT NULL
);
