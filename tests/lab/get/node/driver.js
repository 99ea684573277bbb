// driver.js BROKER COMMAND --server HOST:PORT --log FILE [OPTION]...: an ordinary client of Kafka (kafkajs), Redis
// (ioredis) or NATS (nats). Commands, modes, options and what it writes down are those of tests/lab/client/truth.py and
// of the Python drivers.
'use strict';
const fs = require('fs');
const {parseArgs} = require('util');

const text = {type: 'string'};
const {values: a, positionals} = parseArgs({
	allowPositionals: true,
	options: {
		server: text, log: text, dest: text, group: text, n: text, sizes: text, prefix: text, partitions: text,
		codec: text, tx: text, settle: text, hold: text, warm: text, ready: text, mode: text, patience: text,
	},
});
const [broker, command] = positionals;
const n = Number(a.n || 10), warm = Number(a.warm || 0), partitions = Number(a.partitions || 1);
const sizes = (a.sizes || '64').split(',').map(Number);
const prefix = a.prefix || 'm', mode = a.mode || '', group = a.group || '', ends = (a.tx || '').split(',');
const end = Date.now() + Number(a.patience || 30) * 1000;
const log = fs.openSync(a.log, 'w');
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// --- what is written down ---

const table = Array.from({length: 256}, (_, i) => {
	for (let k = 0; k < 8; k++)
		i = i & 1 ? 0xedb88320 ^ (i >>> 1) : i >>> 1;
	return i >>> 0;
});

function crc32(data) {
	let c = 0xffffffff;
	for (const byte of data)
		c = table[(c ^ byte) & 0xff] ^ (c >>> 8);
	return (c ^ 0xffffffff) >>> 0;
}

function write(op, fields) {
	fs.writeSync(log, JSON.stringify({...fields, op, pid: process.pid}) + '\n');
}

function message(op, data, fields) {
	const head = data.length > 1 << 20 ? {head: crc32(data.subarray(0, 1 << 20))} : {};
	write(op, {...fields, ...head, size: data.length, crc: crc32(data)});
}

function body(i) {
	const size = sizes[i % sizes.length], begin = `{"n":"${prefix}-${i}","order":{"id":${4000 + i}},"pad":"`;
	if (size >= begin.length + 2)
		return Buffer.from(begin + 'x'.repeat(size - begin.length - 2) + '"}');
	return Buffer.from(`${prefix}-${i}`.slice(0, size));
}

const key = (i) => `k${i % 7}`;
const headers = (i) => [['n', `${prefix}-${i}`], ['kind', 'lab grün']];
const late = () => Date.now() > end;

function ready() {
	if (a.ready)
		fs.writeFileSync(a.ready, '');
}

async function hold() {
	write('hold', {});
	fs.writeFileSync(`${a.hold}/held.${process.pid}`, '');
	while (!fs.existsSync(`${a.hold}/go`)) {
		if (late())
			throw new Error('go: not in time');
		await sleep(10);
	}
}

// Groups of ten, of which one may wait.
async function groups(send) {
	for (let first = 0; first < n; first += 10) {
		if (a.hold && first <= warm && warm < first + 10)
			await hold();
		await send(first, Math.min(first + 10, n), ends[(first / 10) % ends.length]);
	}
}

async function enough(count) {
	while (count() < n) {
		if (late())
			throw new Error(`only ${count()} of ${n} came`);
		await sleep(10);
	}
}

// --- Kafka ---

async function kafka() {
	const {Kafka, CompressionTypes, CompressionCodecs, logLevel} = require('kafkajs');
	CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy');
	const k = new Kafka({brokers: [a.server], clientId: 'lab-node', logLevel: logLevel.ERROR});
	const place = (partition, offset) => ({
		dest: a.dest, rk: `${partition}`, log: `${a.dest}-${partition}`, mid: `${offset}`,
	});
	if (command === 'produce') {
		const compression = {none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy}[a.codec || 'none'];
		const p = k.producer({
			createPartitioner: () => ({message: m}) => m.partition,
			...(a.tx ? {transactionalId: prefix, maxInFlightRequests: 1, idempotent: true} : {}),
		});
		await p.connect();
		await groups(async (first, to, how) => {
			const range = Array.from({length: to - first}, (_, i) => first + i);
			const tx = how ? await p.transaction() : null;
			const answers = await (tx || p).send({
				topic: a.dest, compression, messages: range.map((i) => ({
					key: key(i), value: body(i), partition: i % partitions, headers: Object.fromEntries(headers(i)),
				})),
			});
			if (tx)
				await (how === 'commit' ? tx.commit() : tx.abort());
			const next = new Map(answers.map((r) => [r.partition, BigInt(r.baseOffset)]));
			for (const i of range) {
				const offset = next.get(i % partitions);
				next.set(i % partitions, offset + 1n);
				message('send', body(i), {
					key: key(i), headers: headers(i), ...(how ? {tx: how} : {}), ...place(i % partitions, offset),
				});
			}
		});
		await p.disconnect();
		return;
	}
	const c = k.consumer({groupId: group, maxWaitTimeInMs: 100, maxBytesPerPartition: 8 << 20});
	let got = 0;
	c.on(c.events.GROUP_JOIN, ready);
	await c.connect();
	await c.subscribe({topics: [a.dest], fromBeginning: true});
	await c.run({
		autoCommit: false, eachMessage: async ({partition, message: m}) => {
			message('recv', m.value || Buffer.alloc(0), {
				key: m.key && m.key.toString(), queue: `${a.dest}/${group}`, ...place(partition, m.offset),
				headers: Object.entries(m.headers || {}).map(([name, v]) => [name, v.toString()]),
			});
			if (a.settle !== 'none') {
				const next = BigInt(m.offset) + 1n;
				await c.commitOffsets([{topic: a.dest, partition, offset: `${next}`}]);
				write('settle', {queue: `${a.dest}/${group}`, how: 'ack', upto: true, ...place(partition, next)});
			}
			got++;
		},
	});
	await enough(() => got);
	await c.disconnect();
}

// --- Redis ---

async function redis() {
	const Redis = require('ioredis').Redis || require('ioredis');
	const [host, port] = a.server.split(':');
	const r = new Redis({host, port: Number(port)});
	let got = 0;
	if (command === 'produce') {
		await groups(async (first, to, how) => {
			const p = how ? r.multi() : r.pipeline(), said = [];
			for (let i = first; i < to; i++) {
				const data = body(i), fields = [...headers(i), ['body', data.toString()]];
				if (mode === 'stream')
					p.xadd(a.dest, '*', ...fields.flat());
				else if (mode === 'list')
					p[i % 2 ? 'lpush' : 'rpush'](a.dest, data);
				else
					p[mode === 'shard' ? 'spublish' : 'publish'](a.dest, data);
				said.push((mid) => message('send', data, mode === 'stream' ? {fields, dest: a.dest, log: a.dest, mid}
					: mode === 'list' ? {dest: '', rk: a.dest} : {dest: a.dest}));
			}
			(await p.exec()).forEach(([error, answer], i) => {
				if (error)
					throw error;
				said[i](answer);
			});
		});
	} else if (mode === 'stream') {
		await r.xgroup('CREATE', a.dest, group, '0', 'MKSTREAM').catch(() => {});
		ready();
		while (got < n && !late()) {
			const answer = await r.xreadgroup('GROUP', group, `node-${process.pid}`, 'COUNT', 7, 'BLOCK', 200, 'STREAMS', a.dest, '>');
			for (const [mid, flat] of answer ? answer[0][1] : []) {
				const fields = flat.filter((_, i) => i % 2 === 0).map((name, i) => [name, flat[2 * i + 1]]);
				message('recv', Buffer.from(Object.fromEntries(fields).body), {
					fields, dest: a.dest, log: a.dest, mid, queue: `${a.dest}/${group}`,
				});
				await r.xack(a.dest, group, mid);
				write('settle', {how: 'ack', queue: `${a.dest}/${group}`, log: a.dest, mid});
				got++;
			}
		}
	} else if (mode === 'list') {
		ready();
		for (; got < n && !late(); got++) {
			const [, data] = await r[got % 2 ? 'blpopBuffer' : 'brpopBuffer'](a.dest, 20);
			message('recv', data, {dest: '', rk: a.dest, queue: a.dest});
		}
	} else {
		const [on, name] = {channel: ['subscribe', 'messageBuffer'], pattern: ['psubscribe', 'pmessageBuffer']}[mode];
		r.on(name, (...said) => {
			const [channel, data] = said.slice(-2);
			got++;
			message('recv', data, {dest: channel.toString()});
		});
		await r[on](a.dest);
		ready();
	}
	if (command === 'consume')
		await enough(() => got);
	r.disconnect();
}

// --- NATS ---

async function nats() {
	const {connect, headers: newHeaders, AckPolicy} = require('nats');
	const nc = await connect({servers: a.server});
	const js = nc.jetstream(), stream = a.dest.replaceAll('.', '_').toUpperCase();
	const headersOf = (m) => [...(m.headers || [])].flatMap(([name, vs]) => vs.map((v) => [name, v]));
	let got = 0;
	if (command === 'produce') {
		await groups(async (first, to) => {
			for (let i = first; i < to; i++) {
				const h = newHeaders(), said = {dest: a.dest, headers: headers(i)};
				headers(i).forEach(([name, v]) => h.set(name, v));
				if (mode === 'js') {
					const ack = await js.publish(a.dest, body(i), {headers: h});
					Object.assign(said, {log: ack.stream, mid: `${ack.seq}`});
				} else if (mode === 'request') {
					const answer = await nc.request(a.dest, body(i), {headers: h, timeout: 20000});
					message('recv', Buffer.from(answer.data), {dest: answer.subject, headers: headersOf(answer)});
				} else {
					nc.publish(a.dest, body(i), {headers: h});
				}
				message('send', body(i), said);
			}
		});
		await nc.flush();
	} else if (mode === 'pull') {
		const ways = (a.settle || 'ack').split(',');
		await (await nc.jetstreamManager()).consumers.add(stream, {durable_name: group, ack_policy: AckPolicy.Explicit});
		const consumer = await js.consumers.get(stream, group);
		ready();
		for (let i = 0; got < n && !late();) {
			for await (const m of await consumer.fetch({max_messages: 7, expires: 1000})) {
				const queue = `${m.info.stream}/${m.info.consumer}`, where = {queue, log: m.info.stream, mid: `${m.seq}`};
				message('recv', Buffer.from(m.data), {...where, dest: m.subject, headers: headersOf(m)});
				const way = m.redelivered ? 'ack' : ways[i++ % ways.length];
				({ack: () => m.ack(), nack: () => m.nak(), term: () => m.term()})[way]();
				write('settle', {...where, how: {nack: 'requeue', term: 'reject'}[way] || 'ack'});
				got += way !== 'nack';
			}
		}
		await nc.flush();
	} else {
		const sub = nc.subscribe(a.dest, group ? {queue: group} : {});
		await nc.flush();
		ready();
		for await (const m of sub) {
			message('recv', Buffer.from(m.data), {
				dest: m.subject, headers: headersOf(m), ...(group ? {queue: `${m.subject}/${group}`} : {}),
			});
			if (mode === 'reply') {
				const answer = Buffer.from('answer to ' + Buffer.from(m.data).subarray(0, 40));
				m.respond(answer);
				message('send', answer, {dest: m.reply, headers: []});
			}
			if (++got === n)
				break;
		}
		await nc.flush();
	}
	if (command === 'consume')
		await enough(() => got);
	await nc.close();
}

({kafka, redis, nats})[broker]().catch((e) => {
	console.error(e);
	process.exit(1);
});
