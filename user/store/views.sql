-- The documented interface of the catalogue: `evtrace sql` lists it, plain sqlite3 reads it. Enumerations are words, names
-- are texts, each time is there twice: RFC 3339 in UTC, and `_ns`, nanoseconds since the Unix epoch. NULL: not known.
-- The lines below are read by people and by `evtrace sql`: a view's comment, then one column a line with its own.

-- One row a message: what was sent, by whom, and where it stands.
CREATE VIEW IF NOT EXISTS messages AS SELECT
	m.id AS id, -- number; 'm' before it is how commands show it
	strftime('%Y-%m-%dT%H:%M:%S', m.sent_ns/1000000000, 'unixepoch') || printf('.%06dZ', m.sent_ns%1000000000/1000) AS sent, -- when its send was seen
	m.sent_ns AS sent_ns, -- the same in nanoseconds
	strftime('%Y-%m-%dT%H:%M:%S', m.first_ns/1000000000, 'unixepoch') || printf('.%06dZ', m.first_ns%1000000000/1000) AS seen, -- when it was first seen
	m.first_ns AS seen_ns, -- the same in nanoseconds
	CASE m.state WHEN 0 THEN 'unknown' WHEN 1 THEN 'sent' WHEN 2 THEN 'confirmed' WHEN 3 THEN 'returned' WHEN 4 THEN 'queued' WHEN 5 THEN 'delivered' WHEN 6 THEN 'acked' WHEN 7 THEN 'requeued' WHEN 8 THEN 'rejected' WHEN 9 THEN 'dead-lettered' WHEN 10 THEN 'expired' WHEN 11 THEN 'purged' ELSE m.state END AS state, -- the most pressing of its copies' states, else its own
	(SELECT count(*) FROM copy c WHERE c.message=m.id) AS copies, -- queues that hold or held it
	v.text AS vhost, -- virtual host
	CASE m.dest WHEN 0 THEN 'routed' WHEN 1 THEN 'log' WHEN 2 THEN 'channel' WHEN 3 THEN 'call' ELSE m.dest END AS destination, -- routed: exchange or list; log: topic or stream, kept after reading; channel: to whoever is subscribed; call: a script inside of the broker
	e.text AS exchange, -- it was sent to: exchange, topic, stream, subject or channel; empty: the default exchange, a list
	k.text AS routing_key, -- routing key, name of the list, Kafka partition
	l.text AS log, -- where broker_id is unique: topic-partition, stream
	m.mid AS broker_id, -- the broker's own id: offset, stream id, sequence
	t.text AS type, -- the message's own type property
	p.service AS service, -- sender, as its operator calls it
	p.pid AS pid, -- sender's process id
	m.tid AS tid, -- sender's thread
	b.name AS broker, -- address of the broker
	r.name AS protocol, -- what the connection spoke
	CASE m.origin WHEN 1 THEN 'client' WHEN 2 THEN 'broker' WHEN 3 THEN 'unseen' ELSE m.origin END AS origin, -- client: its send was seen; broker: made by dead-lettering; unseen: first met at a delivery
	CASE m.routes WHEN 1 THEN 'declared' ELSE 'unknown' END AS routes, -- declared: all queues it reached are known; unknown: there may be more
	m.flow AS flow, -- id of the first message of its flow
	m.body_size AS body_size, -- bytes of the body, as sent
	m.body_kept AS body_kept, -- bytes of it in the store
	(m.flags & 1) != 0 AS truncated, -- 1: the body is longer than the payload limit
	(m.flags & 2) != 0 AS has_gap, -- 1: bytes of it were lost in capture
	(m.flags & 16) != 0 AS mandatory, -- 1: to be returned when it cannot be routed
	(m.flags & 16777216) != 0 AS confirmed, -- 1: the broker confirmed it
	(m.flags & 33554432) != 0 AS refused, -- 1: returned, because the broker refused it
	(m.flags & 67108864) != 0 AS aborted, -- 1: refused, because its transaction was aborted
	m.one_of AS one_of, -- identical messages it could have been mistaken for; 1: it is surely this one
	m.code AS code, -- returned: the broker's reply code
	m.connection AS connection, -- id of the sender's connection
	m.channel AS channel, -- and channel
	m.session AS session, -- run of evtrace that saw it first
	m.payload AS payload -- where its bytes are: block << 28 | offset
FROM message m
	LEFT JOIN name v ON v.id=m.vhost LEFT JOIN name e ON e.id=m.exchange LEFT JOIN name k ON k.id=m.routing_key
	LEFT JOIN name t ON t.id=m.type LEFT JOIN process p ON p.id=m.process LEFT JOIN broker b ON b.id=m.broker
	LEFT JOIN protocol r ON r.id=m.proto LEFT JOIN name l ON l.id=m.log;

-- One row a message and queue: where each copy stands, and who had it last.
CREATE VIEW IF NOT EXISTS copies AS SELECT
	c.id AS id, -- number
	c.message AS message, -- the message's id
	q.text AS queue, -- queue
	CASE c.state WHEN 0 THEN 'unknown' WHEN 1 THEN 'sent' WHEN 2 THEN 'confirmed' WHEN 3 THEN 'returned' WHEN 4 THEN 'queued' WHEN 5 THEN 'delivered' WHEN 6 THEN 'acked' WHEN 7 THEN 'requeued' WHEN 8 THEN 'rejected' WHEN 9 THEN 'dead-lettered' WHEN 10 THEN 'expired' WHEN 11 THEN 'purged' ELSE c.state END AS state, -- where it stands
	CASE c.source WHEN 1 THEN 'binding' WHEN 2 THEN 'delivery' WHEN 3 THEN 'death' WHEN 4 THEN 'default-exchange' WHEN 5 THEN 'group' ELSE c.source END AS known_by, -- how we know that it is in this queue
	CASE c.settle WHEN 0 THEN NULL WHEN 1 THEN 'ack' WHEN 2 THEN 'requeue' WHEN 3 THEN 'reject' WHEN 4 THEN 'auto' WHEN 5 THEN 'lost' WHEN 6 THEN 'progress' ELSE c.settle END AS settled_by, -- the last settlement
	strftime('%Y-%m-%dT%H:%M:%S', c.queued_ns/1000000000, 'unixepoch') || printf('.%06dZ', c.queued_ns%1000000000/1000) AS queued, -- when it came into the queue
	c.queued_ns AS queued_ns, -- the same in nanoseconds
	strftime('%Y-%m-%dT%H:%M:%S', c.first_delivered_ns/1000000000, 'unixepoch') || printf('.%06dZ', c.first_delivered_ns%1000000000/1000) AS first_delivered, -- first delivery
	c.first_delivered_ns AS first_delivered_ns, -- the same in nanoseconds
	strftime('%Y-%m-%dT%H:%M:%S', c.delivered_ns/1000000000, 'unixepoch') || printf('.%06dZ', c.delivered_ns%1000000000/1000) AS delivered, -- latest delivery
	c.delivered_ns AS delivered_ns, -- the same in nanoseconds
	strftime('%Y-%m-%dT%H:%M:%S', c.settled_ns/1000000000, 'unixepoch') || printf('.%06dZ', c.settled_ns%1000000000/1000) AS settled, -- latest settlement
	c.settled_ns AS settled_ns, -- the same in nanoseconds
	c.deliveries AS deliveries, -- how often it was delivered
	p.service AS consumer, -- who had it last
	p.pid AS pid, -- consumer's process id
	c.consumer_tid AS tid, -- consumer's thread
	c.dead_letter AS dead_letter -- id of the message that it became
FROM copy c LEFT JOIN name q ON q.id=c.queue LEFT JOIN process p ON p.id=c.consumer;

-- One row for each thing that a client did: sends, deliveries, settlements, declarations.
CREATE VIEW IF NOT EXISTS operations AS SELECT
	o.id AS id, -- number, in the order in which they were seen
	strftime('%Y-%m-%dT%H:%M:%S', o.ts_ns/1000000000, 'unixepoch') || printf('.%06dZ', o.ts_ns%1000000000/1000) AS time, -- when
	o.ts_ns AS time_ns, -- the same in nanoseconds
	CASE o.kind WHEN 1 THEN 'send' WHEN 2 THEN 'confirm' WHEN 3 THEN 'return' WHEN 4 THEN 'receive' WHEN 5 THEN 'settle' WHEN 6 THEN 'delete' WHEN 16 THEN 'exchange-declare' WHEN 17 THEN 'exchange-delete' WHEN 18 THEN 'exchange-bind' WHEN 19 THEN 'exchange-unbind' WHEN 20 THEN 'queue-declare' WHEN 21 THEN 'queue-delete' WHEN 22 THEN 'queue-bind' WHEN 23 THEN 'queue-unbind' WHEN 24 THEN 'queue-purge' WHEN 32 THEN 'subscribe' WHEN 33 THEN 'unsubscribe' WHEN 34 THEN 'error' WHEN 35 THEN 'login' WHEN 36 THEN 'cluster' ELSE o.kind END AS kind, -- what
	CASE o.settle WHEN 0 THEN NULL WHEN 1 THEN 'ack' WHEN 2 THEN 'requeue' WHEN 3 THEN 'reject' WHEN 4 THEN 'auto' WHEN 5 THEN 'lost' WHEN 6 THEN 'progress' ELSE o.settle END AS settlement, -- kind settle: how
	o.message AS message, -- id of the message
	o.copy AS copy, -- id of the copy
	p.service AS service, -- who did it
	p.pid AS pid, -- its process id
	o.tid AS tid, -- and thread
	o.connection AS connection, -- id of the connection
	o.channel AS channel, -- and channel
	o.tag AS tag, -- delivery tag, or number of the publish
	(o.flags & 4) != 0 AS redelivered, -- 1: the broker said that it had delivered it before
	(o.flags & 32) != 0 AS negative, -- 1: a confirm that refused
	(o.flags & 16384) != 0 AS multiple, -- 1: settled or confirmed together with others
	o.pos AS position, -- first byte in the stream of its direction
	o.len AS length, -- bytes there
	o.code AS code, -- errors and returns: reply code
	o.text AS text, -- and text; login: user
	o.session AS session -- run of evtrace
FROM operation o LEFT JOIN process p ON p.id=o.process;

-- One row a link between two messages, with its evidence.
CREATE VIEW IF NOT EXISTS links AS SELECT
	l.id AS id, -- number
	l.src AS source, -- message: the cause, or the older one
	l.dst AS target, -- message: the effect, or the newer one
	CASE l.kind WHEN 1 THEN 'caused-by' WHEN 2 THEN 'reply-to' WHEN 3 THEN 'retry-of' WHEN 4 THEN 'dead-letter-of' WHEN 5 THEN 'replay-of' WHEN 6 THEN 'same-flow' ELSE l.kind END AS kind, -- what the target is to the source
	l.confidence AS confidence, -- 0 to 1
	l.evidence AS evidence -- why we think so
FROM link l;

-- One row a flow: messages that links join.
CREATE VIEW IF NOT EXISTS flows AS SELECT
	m.flow AS id, -- id of its first message
	count(*) AS messages, -- how many
	strftime('%Y-%m-%dT%H:%M:%S', min(m.first_ns)/1000000000, 'unixepoch') || printf('.%06dZ', min(m.first_ns)%1000000000/1000) AS first, -- first message seen
	min(m.first_ns) AS first_ns, -- the same in nanoseconds
	strftime('%Y-%m-%dT%H:%M:%S', max(m.first_ns)/1000000000, 'unixepoch') || printf('.%06dZ', max(m.first_ns)%1000000000/1000) AS last, -- last message first seen
	max(m.first_ns) AS last_ns, -- the same in nanoseconds
	group_concat(DISTINCT p.service) AS services -- who sent them
FROM message m LEFT JOIN process p ON p.id=m.process GROUP BY m.flow;

-- One row an identifier found in a message.
CREATE VIEW IF NOT EXISTS identifiers AS SELECT
	i.message AS message, -- id of the message
	n.text AS name, -- field, header or property
	i.value AS value, -- as compared: trimmed, UUIDs in lower case, no leading zeros
	CASE i.place WHEN 1 THEN 'property' WHEN 2 THEN 'header' WHEN 3 THEN 'body' WHEN 4 THEN 'key' ELSE i.place END AS place, -- where it stood
	CASE i.class WHEN 0 THEN 'none' WHEN 1 THEN 'weak' WHEN 2 THEN 'join' ELSE i.class END AS class -- join: specific enough to link messages
FROM identifier i LEFT JOIN name n ON n.id=i.name;

-- One row for each stretch of bytes that was lost.
CREATE VIEW IF NOT EXISTS gaps AS SELECT
	g.id AS id, -- number
	strftime('%Y-%m-%dT%H:%M:%S', g.ts_ns/1000000000, 'unixepoch') || printf('.%06dZ', g.ts_ns%1000000000/1000) AS time, -- when
	g.ts_ns AS time_ns, -- the same in nanoseconds
	g.connection AS connection, -- id of the connection
	c.client_addr AS client, -- its client's address
	c.server_addr AS server, -- its server's address
	CASE g.dir WHEN 0 THEN 'to-server' WHEN 1 THEN 'to-client' ELSE NULL END AS direction, -- which way
	g.bytes AS bytes, -- lost; 0: number not known
	g.records AS records, -- capture records lost
	g.reason AS reason, -- why
	g.session AS session -- run of evtrace
FROM gap g LEFT JOIN connection c ON c.id=g.connection;

-- One row a queue, with what is in it as far as was seen.
CREATE VIEW IF NOT EXISTS queues AS SELECT
	n.text AS queue, -- name
	q.vhost AS vhost, -- virtual host
	b.name AS broker, -- address of the broker
	(SELECT count(*) FROM copy c WHERE c.queue=n.id AND c.state IN (4,5,7) AND c.state!=5) AS waiting, -- copies queued or requeued
	(SELECT count(*) FROM copy c WHERE c.queue=n.id AND c.state IN (4,5,7) AND c.state=5) AS unsettled, -- copies that a consumer holds
	(SELECT min(c.queued_ns) FROM copy c WHERE c.queue=n.id AND c.state IN (4,5,7) AND c.state!=5) AS oldest_ns, -- since when the oldest waits
	(SELECT count(*) FROM consumer s WHERE s.queue=n.text AND s.broker=q.broker AND s.vhost=q.vhost AND s.until_ns IS NULL) AS consumers, -- subscriptions that were not seen to end
	q.dead_letter_exchange AS dead_letter_exchange, -- where rejected and expired ones go; empty: the default exchange
	q.dead_letter_key AS dead_letter_key, -- under this routing key, else under their own
	nullif(q.ttl_ms,-1) AS ttl_ms, -- messages expire after
	nullif(q.max_length,-1) AS max_length, -- most messages held
	q.durable AS durable, -- 1: survives a restart of the broker
	q.exclusive AS exclusive, -- 1: of one connection
	q.auto_delete AS auto_delete, -- 1: goes with its last consumer
	q.declared AS declared, -- 1: its declaration was seen with its arguments
	q.deleted AS deleted -- 1: it was deleted since
FROM queue q JOIN name n ON n.text=q.name LEFT JOIN broker b ON b.id=q.broker;

-- One row a service: processes by the name that their operator gives them.
CREATE VIEW IF NOT EXISTS services AS SELECT
	p.service AS service, -- systemd unit, container, else script or executable
	count(*) AS processes, -- seen
	sum(p.exit_ns IS NULL) AS alive, -- of them not seen to exit
	group_concat(p.pid) AS pids, -- process ids
	strftime('%Y-%m-%dT%H:%M:%S', min(p.first_ns)/1000000000, 'unixepoch') || printf('.%06dZ', min(p.first_ns)%1000000000/1000) AS first, -- first seen
	min(p.first_ns) AS first_ns, -- the same in nanoseconds
	max(p.exe) AS exe, -- executable (of one of them)
	max(p.cgroup) AS cgroup -- control group (of one of them)
FROM process p GROUP BY p.service;

-- One row an act of `evtrace replay`.
CREATE VIEW IF NOT EXISTS replays AS SELECT
	r.id AS id, -- number
	strftime('%Y-%m-%dT%H:%M:%S', r.ts_ns/1000000000, 'unixepoch') || printf('.%06dZ', r.ts_ns%1000000000/1000) AS time, -- when it was sent
	r.ts_ns AS time_ns, -- the same in nanoseconds
	r.message AS message, -- id of the message that was sent again
	r.who AS who, -- who did it
	r.why AS why, -- the reason given
	r.broker AS broker, -- address of the broker it went to
	r.exchange AS exchange, -- where it was published
	r.routing_key AS routing_key, -- under which key
	r.token AS header, -- value of the copy's header evtrace-replay-of
	r.result AS result, -- 'confirmed', with what the broker said, or what else it said; 'sending': the answer was not seen
	r.finished_ns AS finished_ns, -- when the broker answered
	r.log AS log, -- where the broker keeps the copy: topic-partition, stream; NULL: it did not say
	r.mid AS broker_id -- under which offset, id or sequence
FROM replay r;
