import io.nats.client.Connection;
import io.nats.client.JetStream;
import io.nats.client.JetStreamSubscription;
import io.nats.client.Message;
import io.nats.client.Nats;
import io.nats.client.PullSubscribeOptions;
import io.nats.client.PushSubscribeOptions;
import io.nats.client.Subscription;
import io.nats.client.impl.Headers;
import io.nats.client.impl.NatsMessage;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.zip.CRC32;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import redis.clients.jedis.AbstractTransaction;
import redis.clients.jedis.BinaryJedisPubSub;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Response;
import redis.clients.jedis.StreamEntryID;
import redis.clients.jedis.params.XReadGroupParams;
import redis.clients.jedis.resps.StreamEntry;

/**
 * Driver BROKER COMMAND --server HOST:PORT --log FILE [OPTION]...: an ordinary client of Kafka (Apache's own), Redis
 * (Jedis) or NATS (jnats). Commands, modes, options and what it writes down are those of tests/lab/client/truth.py and
 * of the Python drivers.
 */
public class Driver {
	private static final int MIB = 1 << 20;
	private static final Map<String, String> options = new HashMap<>();
	private static PrintStream log;
	private static String dest, group, mode, prefix;
	private static int n, warm, partitions;
	private static int[] sizes;
	private static long end;

	// --- what is written down ---

	private static String quoted(Object value) {
		if (value instanceof Number || value instanceof Boolean)
			return value.toString();
		if (value instanceof List<?> list) {
			List<String> parts = new ArrayList<>();
			list.forEach(v -> parts.add(quoted(v)));
			return "[" + String.join(",", parts) + "]";
		}
		return "\"" + value.toString().replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
	}

	private static synchronized void write(String op, Map<String, Object> fields) {
		List<String> parts = new ArrayList<>();
		Map<String, Object> all = new LinkedHashMap<>(fields);
		all.put("op", op);
		all.put("pid", ProcessHandle.current().pid());
		all.forEach((k, v) -> parts.add(quoted(k) + ":" + quoted(v)));
		log.println("{" + String.join(",", parts) + "}");
	}

	private static long crc(byte[] data, int size) {
		CRC32 c = new CRC32();
		c.update(data, 0, size);
		return c.getValue();
	}

	private static void message(String op, byte[] data, Map<String, Object> fields) {
		Map<String, Object> all = new LinkedHashMap<>(fields);
		all.put("size", data.length);
		all.put("crc", crc(data, data.length));
		if (data.length > MIB)
			all.put("head", crc(data, MIB));
		write(op, all);
	}

	private static Map<String, Object> fields(Object... pairs) {
		Map<String, Object> f = new LinkedHashMap<>();
		for (int i = 0; i < pairs.length; i += 2)
			if (pairs[i + 1] != null)
				f.put((String) pairs[i], pairs[i + 1]);
		return f;
	}

	private static byte[] bytes(String s) {
		return s.getBytes(StandardCharsets.UTF_8);
	}

	private static String text(byte[] b) {
		return b == null ? null : new String(b, StandardCharsets.UTF_8);
	}

	private static byte[] body(int i) {
		int size = sizes[i % sizes.length];
		String name = prefix + "-" + i;
		String begin = "{\"n\":\"" + name + "\",\"order\":{\"id\":" + (4000 + i) + "},\"pad\":\"";
		if (size >= begin.length() + 2)
			return bytes(begin + "x".repeat(size - begin.length() - 2) + "\"}");
		return bytes(name.substring(0, Math.min(size, name.length())));
	}

	private static List<List<String>> headers(int i) {
		return List.of(List.of("n", prefix + "-" + i), List.of("kind", "lab grün"));
	}

	private static void inTime(String what) {
		if (System.currentTimeMillis() > end)
			throw new RuntimeException(what + ": not in time");
	}

	private static void touch(String path) throws Exception {
		if (path != null && !Files.exists(Path.of(path)))
			Files.createFile(Path.of(path));
	}

	private static void ready() throws Exception {
		touch(options.get("ready"));
	}

	private static void hold() throws Exception {
		write("hold", fields());
		touch(options.get("hold") + "/held." + ProcessHandle.current().pid());
		while (!Files.exists(Path.of(options.get("hold"), "go"))) {
			inTime("go");
			Thread.sleep(10);
		}
	}

	private interface Group {
		void send(int from, int to, String how) throws Exception;
	}

	/** Groups of ten: from, to, and how its transaction ends. */
	private static void groups(Group g) throws Exception {
		String[] ends = options.getOrDefault("tx", "").split(",");
		for (int from = 0; from < n; from += 10) {
			if (options.containsKey("hold") && from <= warm && warm < from + 10)
				hold();
			g.send(from, Math.min(from + 10, n), ends[from / 10 % ends.length]);
		}
	}

	// --- Kafka ---

	private static Map<String, Object> place(String topic, int partition, long offset, Object... more) {
		Map<String, Object> f = fields(more);
		f.putAll(fields("dest", topic, "rk", "" + partition, "log", topic + "-" + partition, "mid", "" + offset));
		return f;
	}

	private static Properties kafka(String kind) {
		Properties p = new Properties();
		p.put("bootstrap.servers", options.get("server"));
		p.put("client.id", "lab-java");
		for (String side : List.of("key", "value"))
			p.put(side + "." + kind, "org.apache.kafka.common.serialization.ByteArray"
				+ (kind.equals("serializer") ? "Serializer" : "Deserializer"));
		return p;
	}

	private static void kafkaProduce() throws Exception {
		Properties p = kafka("serializer");
		boolean tx = options.containsKey("tx");
		p.put("linger.ms", "20");
		p.put("max.request.size", "" + (8 << 20));
		p.put("compression.type", options.getOrDefault("codec", "none"));
		if (tx)
			p.put("transactional.id", prefix);
		try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(p)) {
			if (tx)
				producer.initTransactions();
			groups((from, to, how) -> {
				List<Future<RecordMetadata>> sent = new ArrayList<>();
				if (tx)
					producer.beginTransaction();
				for (int i = from; i < to; i++) {
					ProducerRecord<byte[], byte[]> r = new ProducerRecord<>(dest, i % partitions, bytes("k" + i % 7), body(i));
					headers(i).forEach(h -> r.headers().add(h.get(0), bytes(h.get(1))));
					sent.add(producer.send(r));
				}
				producer.flush();
				if (how.equals("commit"))
					producer.commitTransaction();
				else if (tx)
					producer.abortTransaction();
				for (int i = from; i < to; i++) {
					RecordMetadata m = sent.get(i - from).get();
					message("send", body(i), place(m.topic(), m.partition(), m.offset(), "key", "k" + i % 7, "headers",
						headers(i), "tx", tx ? how : null));
				}
			});
		}
	}

	private static List<List<String>> headersOf(ConsumerRecord<byte[], byte[]> r) {
		List<List<String>> list = new ArrayList<>();
		for (Header h : r.headers())
			list.add(List.of(h.key(), text(h.value())));
		return list;
	}

	private static void kafkaConsume() throws Exception {
		Properties p = kafka("deserializer");
		p.put("group.id", group);
		p.put("enable.auto.commit", "false");
		p.put("auto.offset.reset", "earliest");
		p.put("max.partition.fetch.bytes", "" + (8 << 20));
		p.put("fetch.max.wait.ms", "100");
		p.put("isolation.level", mode.equals("committed") ? "read_committed" : "read_uncommitted");
		if (mode.equals("new-group"))
			p.put("group.protocol", "consumer");
		String queue = dest + "/" + group;
		try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(p)) {
			consumer.subscribe(List.of(dest), new ConsumerRebalanceListener() {
				public void onPartitionsRevoked(Collection<TopicPartition> gone) {
				}

				public void onPartitionsAssigned(Collection<TopicPartition> mine) {
					try {
						ready();
					} catch (Exception e) {
						throw new RuntimeException(e);
					}
				}
			});
			for (int got = 0; got < n;) {
				inTime("records");
				ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
				for (ConsumerRecord<byte[], byte[]> r : records) {
					message("recv", r.value(), place(r.topic(), r.partition(), r.offset(), "queue", queue, "key", text(r.key()),
						"headers", headersOf(r)));
					got++;
				}
				if (records.isEmpty() || options.getOrDefault("settle", "ack").equals("none"))
					continue;
				consumer.commitSync();
				for (TopicPartition tp : records.partitions()) {
					List<ConsumerRecord<byte[], byte[]>> of = records.records(tp);
					write("settle", place(tp.topic(), tp.partition(), of.get(of.size() - 1).offset() + 1, "queue", queue, "how",
						"ack", "upto", true));
				}
			}
		}
	}

	/** A share group begins at the end of its topics unless it is told otherwise. */
	private static void shareFromBeginning() throws Exception {
		Properties p = new Properties();
		p.put("bootstrap.servers", options.get("server"));
		try (Admin admin = Admin.create(p)) {
			var entry = new ConfigEntry("share.auto.offset.reset", "earliest");
			admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.GROUP, group),
				List.of(new AlterConfigOp(entry, AlterConfigOp.OpType.SET)))).all().get();
		}
	}

	/** How a record's first delivery ends; the next one is accepted, so that there is an end. */
	private static String shareWay(ConsumerRecord<byte[], byte[]> r) {
		String[] ways = options.getOrDefault("settle", "accept").split(",");
		return r.deliveryCount().orElse((short) 0) == 1 ? ways[(int) (r.offset() % ways.length)] : "accept";
	}

	/** True when the record is done with. */
	private static boolean shareSettle(KafkaShareConsumer<byte[], byte[]> consumer, ConsumerRecord<byte[], byte[]> r, String way)
			throws Exception {
		Map<String, Object> said = place(r.topic(), r.partition(), r.offset(), "queue", dest + "/" + group);
		switch (way) {
			case "release" -> consumer.acknowledge(r, AcknowledgeType.RELEASE);
			case "reject" -> consumer.acknowledge(r, AcknowledgeType.REJECT);
			case "renew" -> consumer.acknowledge(r, AcknowledgeType.RENEW);
			case "implicit" -> { }
			default -> consumer.acknowledge(r);
		}
		said.put("how", way.equals("release") ? "requeue" : way.equals("reject") ? "reject" : way.equals("renew") ? "progress" : "ack");
		write("settle", said);
		return !way.equals("release") && !way.equals("renew");
	}

	/** Ends also when nothing came for some seconds: how the members share it out is the broker's business. */
	private static void shareConsume() throws Exception {
		Properties p = kafka("deserializer");
		boolean implicit = options.getOrDefault("settle", "").equals("implicit");
		shareFromBeginning();
		p.put("group.id", group);
		p.put("share.acknowledgement.mode", implicit ? "implicit" : "explicit");
		p.put("max.poll.records", "7");
		Set<String> renewed = new HashSet<>();
		try (KafkaShareConsumer<byte[], byte[]> consumer = new KafkaShareConsumer<>(p)) {
			consumer.subscribe(List.of(dest));
			for (int got = 0, idle = 0; got < n && idle < (got == 0 ? 75 : 20); idle++) {
				inTime("records");
				ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
				if (got >= warm)
					ready();
				for (ConsumerRecord<byte[], byte[]> r : records) {
					String name = r.partition() + "/" + r.offset();
					idle = 0;
					/* What was renewed comes out of the client once more, without having been fetched again. */
					if (renewed.remove(name)) {
						got += shareSettle(consumer, r, "accept") ? 1 : 0;
						continue;
					}
					message("recv", r.value(), place(r.topic(), r.partition(), r.offset(), "queue", dest + "/" + group, "key",
						text(r.key()), "headers", headersOf(r), "delivery", r.deliveryCount().orElse((short) 0)));
					String way = shareWay(r);
					got += shareSettle(consumer, r, way) ? 1 : 0;
					if (way.equals("renew"))
						renewed.add(name);
				}
				for (var failed : consumer.commitSync().entrySet())
					if (failed.getValue().isPresent())
						throw failed.getValue().get();
			}
		}
	}

	// --- Redis ---

	private interface Told {
		void answered(Object answer);
	}

	private static Response<?> redisSend(redis.clients.jedis.PipeliningBase p, int i) {
		byte[] data = body(i);
		return switch (mode) {
			case "stream" -> {
				Map<String, String> entry = new LinkedHashMap<>();
				headers(i).forEach(h -> entry.put(h.get(0), h.get(1)));
				entry.put("body", text(data));
				yield p.xadd(dest, StreamEntryID.NEW_ENTRY, entry);
			}
			case "list" -> i % 2 == 1 ? p.lpush(bytes(dest), data) : p.rpush(bytes(dest), data);
			default -> p.executeCommand(new redis.clients.jedis.CommandObject<>(
				new redis.clients.jedis.CommandArguments(redis.clients.jedis.Protocol.Command.PUBLISH).add(bytes(dest)).add(data),
				redis.clients.jedis.BuilderFactory.LONG));
		};
	}

	private static Map<String, Object> redisSaid(int i, Object answer) {
		List<List<String>> list = new ArrayList<>(headers(i));
		list.add(List.of("body", text(body(i))));
		return switch (mode) {
			case "stream" -> fields("dest", dest, "log", dest, "mid", answer.toString(), "fields", list);
			case "list" -> fields("dest", "", "rk", dest);
			default -> fields("dest", dest);
		};
	}

	private static void redisProduce(Jedis r) throws Exception {
		groups((from, to, how) -> {
			List<Response<?>> answers = new ArrayList<>();
			AbstractTransaction tx = how.isEmpty() ? null : r.multi();
			Pipeline p = tx == null ? r.pipelined() : null;
			for (int i = from; i < to; i++)
				answers.add(redisSend(tx == null ? p : tx, i));
			if (tx == null)
				p.sync();
			else
				tx.exec();
			for (int i = from; i < to; i++)
				message("send", body(i), redisSaid(i, answers.get(i - from).get()));
		});
	}

	private static void redisEntry(Jedis r, StreamEntry e) {
		List<List<String>> list = new ArrayList<>();
		for (String name : List.of("n", "kind", "body")) // in the order in which they were written
			list.add(List.of(name, e.getFields().get(name)));
		String queue = dest + "/" + group;
		message("recv", bytes(e.getFields().get("body")), fields("dest", dest, "log", dest, "mid", e.getID().toString(),
			"queue", queue, "fields", list));
		r.xack(dest, group, e.getID());
		write("settle", fields("how", "ack", "queue", queue, "log", dest, "mid", e.getID().toString()));
	}

	private static void redisConsume(Jedis r) throws Exception {
		if (mode.equals("stream")) {
			try {
				r.xgroupCreate(dest, group, new StreamEntryID(0, 0), true);
			} catch (redis.clients.jedis.exceptions.JedisDataException e) {
				// it is there
			}
			ready();
			for (int got = 0; got < n;) {
				inTime("entries");
				var answer = r.xreadGroup(group, "java-" + ProcessHandle.current().pid(),
					XReadGroupParams.xReadGroupParams().count(7).block(200), Map.of(dest, StreamEntryID.XREADGROUP_UNDELIVERED_ENTRY));
				if (answer == null)
					continue;
				for (StreamEntry e : answer.get(0).getValue()) {
					redisEntry(r, e);
					got++;
				}
			}
		} else if (mode.equals("list")) {
			ready();
			for (int got = 0; got < n; got++) {
				List<byte[]> answer = got % 2 == 1 ? r.blpop(20, bytes(dest)) : r.brpop(20, bytes(dest));
				message("recv", answer.get(1), fields("dest", "", "rk", dest, "queue", dest));
			}
		} else {
			AtomicInteger got = new AtomicInteger();
			r.subscribe(new BinaryJedisPubSub() {
				@Override
				public void onSubscribe(byte[] channel, int count) {
					try {
						ready();
					} catch (Exception e) {
						throw new RuntimeException(e);
					}
				}

				@Override
				public void onMessage(byte[] channel, byte[] data) {
					message("recv", data, fields("dest", text(channel)));
					if (got.incrementAndGet() == n)
						unsubscribe();
				}
			}, bytes(dest));
		}
	}

	// --- NATS ---

	private static List<List<String>> headersOf(Message m) {
		List<List<String>> list = new ArrayList<>();
		if (m.hasHeaders())
			m.getHeaders().forEach((name, values) -> values.forEach(v -> list.add(List.of(name, v))));
		return list;
	}

	private static void natsProduce(Connection nc, JetStream js) throws Exception {
		groups((from, to, how) -> {
			for (int i = from; i < to; i++) {
				Headers h = new Headers();
				h.add("n", prefix + "-" + i);
				h.add("kind", "lab"); // jnats takes no other than ASCII
				Message m = NatsMessage.builder().subject(dest).headers(h).data(body(i)).build();
				Map<String, Object> said = fields("dest", dest, "headers", headersOf(m));
				if (mode.equals("js")) {
					var ack = js.publish(m);
					said.putAll(fields("log", ack.getStream(), "mid", "" + ack.getSeqno()));
				} else if (mode.equals("request")) {
					Message answer = nc.request(m, Duration.ofSeconds(20));
					message("recv", answer.getData(), fields("dest", answer.getSubject(), "headers", headersOf(answer)));
				} else {
					nc.publish(m);
				}
				message("send", body(i), said);
			}
		});
		nc.flush(Duration.ofSeconds(20));
	}

	/** True when it is done with. */
	private static boolean natsSettle(Message m, int i) throws Exception {
		var d = m.metaData();
		String queue = d.getStream() + "/" + d.getConsumer(), mid = "" + d.streamSequence();
		message("recv", m.getData(), fields("dest", m.getSubject(), "queue", queue, "log", d.getStream(), "mid", mid,
			"headers", headersOf(m)));
		String[] ways = options.getOrDefault("settle", "ack").split(",");
		String way = d.deliveredCount() > 1 ? "ack" : ways[i % ways.length];
		switch (way) {
			case "nack" -> m.nak();
			case "term" -> m.term();
			default -> m.ack();
		}
		write("settle", fields("how", way.equals("nack") ? "requeue" : way.equals("term") ? "reject" : "ack", "queue", queue,
			"log", d.getStream(), "mid", mid));
		return !way.equals("nack");
	}

	private static void natsConsume(Connection nc, JetStream js) throws Exception {
		String stream = dest.replace('.', '_').toUpperCase();
		JetStreamSubscription sub = null;
		Subscription core = null;
		if (mode.equals("pull"))
			sub = js.subscribe(dest, PullSubscribeOptions.builder().stream(stream).durable(group).build());
		else if (mode.equals("push"))
			sub = js.subscribe(dest, PushSubscribeOptions.builder().stream(stream).durable(group).build());
		else
			core = group.isEmpty() ? nc.subscribe(dest) : nc.subscribe(dest, group);
		nc.flush(Duration.ofSeconds(20));
		ready();
		for (int got = 0, i = 0; got < n;) {
			inTime("messages");
			List<Message> list = new ArrayList<>();
			if (mode.equals("pull")) {
				list = sub.fetch(7, Duration.ofMillis(500));
			} else {
				Message m = (core == null ? sub : core).nextMessage(Duration.ofMillis(500));
				if (m != null)
					list.add(m);
			}
			for (Message m : list) {
				if (core == null) {
					got += natsSettle(m, i++) ? 1 : 0;
					continue;
				}
				message("recv", m.getData(), fields("dest", m.getSubject(), "headers", headersOf(m), "queue",
					group.isEmpty() ? null : m.getSubject() + "/" + group));
				if (mode.equals("reply")) {
					byte[] data = m.getData(), answer = bytes("answer to " + text(Arrays.copyOf(data, Math.min(40, data.length))));
					nc.publish(m.getReplyTo(), answer);
					message("send", answer, fields("dest", m.getReplyTo(), "headers", List.of()));
				}
				got++;
			}
		}
		nc.flush(Duration.ofSeconds(20));
	}

	public static void main(String[] args) throws Exception {
		for (int i = 2; i + 1 < args.length; i += 2)
			options.put(args[i].substring(2), args[i + 1]);
		log = new PrintStream(new FileOutputStream(options.get("log")), true, StandardCharsets.UTF_8);
		dest = options.getOrDefault("dest", "lab");
		group = options.getOrDefault("group", "");
		mode = options.getOrDefault("mode", "");
		prefix = options.getOrDefault("prefix", "m");
		n = Integer.parseInt(options.getOrDefault("n", "10"));
		warm = Integer.parseInt(options.getOrDefault("warm", "0"));
		partitions = Integer.parseInt(options.getOrDefault("partitions", "1"));
		sizes = Arrays.stream(options.getOrDefault("sizes", "64").split(",")).mapToInt(Integer::parseInt).toArray();
		end = System.currentTimeMillis() + 30000;
		boolean produce = args[1].equals("produce");
		String[] at = options.get("server").split(":");
		switch (args[0]) {
			case "kafka" -> {
				if (produce)
					kafkaProduce();
				else if (mode.equals("share"))
					shareConsume();
				else
					kafkaConsume();
			}
			case "redis" -> {
				try (Jedis r = new Jedis(at[0], Integer.parseInt(at[1]))) {
					if (produce)
						redisProduce(r);
					else
						redisConsume(r);
				}
			}
			default -> {
				try (Connection nc = Nats.connect("nats://" + options.get("server"))) {
					if (produce)
						natsProduce(nc, nc.jetStream());
					else
						natsConsume(nc, nc.jetStream());
				}
			}
		}
	}
}
