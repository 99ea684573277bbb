// usage: record_node.js PORT     (run by record.py; needs the npm package nats)
//
// What nats.js does through the connection, on standard output in the words of fixtures.c.
"use strict";
const { connect, AckPolicy, StringCodec, headers } = require("nats");
const sc = StringCodec();

function fnv(b) {
	let h = 2166136261;
	for (const x of b) h = Math.imul(h ^ x, 16777619) >>> 0;
	return h.toString(16).padStart(8, "0");
}

const say = (line) => console.log(line);
let sends = 0;

function sent(subject, body) {
	sends++;
	say(`SEND channel ex=${subject} size=${body.length} sum=${fnv(body)}`);
}

// What was delivered out of a stream, by the client's own reading of it.
function received(m) {
	const i = m.info;
	say(`RECEIVE log ex=${m.subject} q=${i.consumer} consumer=${m.sid} log=${i.stream} mid=${m.seq}` +
		` delivery=${i.deliveryCount} size=${m.data.length} sum=${fnv(m.data)}${m.redelivered ? " redelivered" : ""}`);
}

function settled(m, how) {
	say(`SETTLE log q=${m.info.consumer} log=${m.info.stream} mid=${m.seq} delivery=${m.info.deliveryCount} ${how}`);
}

async function main() {
	const nc = await connect({ port: Number(process.argv[2]), user: "shop", pass: "hunter2" });
	say("LOGIN text=shop");
	// The library's own subscriptions, for replies and for what it pulls.
	const p = nc.protocol, subscribe = p.subscribe, unsubscribe = p.unsubscribe;
	let reader = 0;
	p.subscribe = function (s) {
		const r = subscribe.call(this, s);
		say(`SUBSCRIBE channel ex=${s.subject} consumer=${s.sid} exclusive auto-delete`);
		return r;
	};
	p.unsubscribe = function (s, max) {
		say(`UNSUBSCRIBE channel ex=${s.subject} consumer=${s.sid} exclusive auto-delete`);
		if (s.sid === reader) say(`UNSUBSCRIBE log q=work consumer=${s.sid} log=SHOP`);
		return unsubscribe.call(this, s, max);
	};
	const js = nc.jetstream(), jsm = await nc.jetstreamManager();
	await jsm.streams.add({ name: "SHOP", subjects: ["shop.>"] });
	say("XDECLARE log ex=SHOP log=SHOP type=stream");
	await jsm.consumers.add("SHOP", { durable_name: "work", ack_policy: AckPolicy.Explicit, filter_subject: "shop.in" });
	say("QDECLARE log ex=shop.in q=work log=SHOP mid=0");
	// Pipelined: all are under way before the first is acknowledged.
	const bodies = ["one", "two", "three", "four", "five"].map((t) => sc.encode(t));
	const h = headers();
	h.append("X-Step", "1");
	h.append("X-Step", "2");
	const first = sends + 1;
	const acks = bodies.map((b, i) => {
		sent("shop.in", b);
		return js.publish("shop.in", b, { msgID: `n-${i}`, headers: h });
	});
	for (const [i, a] of acks.entries()) {
		const ack = await a;
		say(`CONFIRM log log=${ack.stream} mid=${ack.seq}${ack.duplicate ? " text=duplicate" : ""} of=${first + i}`);
	}
	const c = await js.consumers.get("SHOP", "work");
	let told = false;
	const got = [];
	const note = (m) => {
		if (!told) say(`SUBSCRIBE log q=work consumer=${m.sid} log=SHOP`);
		told = true;
		reader = m.sid;
		received(m);
		got.push(m);
	};
	const msgs = await c.consume({ max_messages: 10 });
	for await (const m of msgs) {
		note(m);
		if (m.redelivered) {
			m.ack();
			settled(m, "ack");
			break;
		}
		if (m.seq === 1) {
			m.ack();
			settled(m, "ack");
		} else if (m.seq === 2) {
			m.working();
			settled(m, "progress");
			m.term("bad order");
			settled(m, "reject text=bad order");
		} else if (m.seq === 3) {
			m.nak(200);
			settled(m, "requeue text=delay 200 ms");
		} else {
			await m.ackAck();
			settled(m, "ack");
		}
	}
	await jsm.consumers.delete("SHOP", "work");
	say("QDELETE log q=work log=SHOP");
	await jsm.streams.delete("SHOP");
	say("XDELETE log ex=SHOP log=SHOP type=stream");
	await nc.close();
}

main().catch((e) => {
	console.error(e);
	process.exit(1);
});
