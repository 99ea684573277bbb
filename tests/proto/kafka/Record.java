/* What record.py runs for Apache's client: prints what it did and got, a line each, in record.py's words. */
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.*;

public class Record {
	static String addr;

	static void say(String fmt, Object... args) {
		System.out.println(String.format(fmt, args));
	}

	static String body(byte[] b) {
		int h = (int) 2166136261L;
		for (byte x : b == null ? new byte[0] : b)
			h = (h ^ (x & 0xff)) * 16777619;
		return String.format("size=%d sum=%08x", b == null ? 0 : b.length, h);
	}

	static Properties props(String client) {
		Properties p = new Properties();
		p.put("bootstrap.servers", addr);
		p.put("client.id", client);
		return p;
	}

	static void produce(String topic, String client, String codec, int n) throws Exception {
		Properties p = props(client);
		p.put("compression.type", codec);
		p.put("linger.ms", "50");
		try (KafkaProducer<byte[], byte[]> producer =
				new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
			List<java.util.concurrent.Future<RecordMetadata>> sends = new ArrayList<>();
			for (int i = 0; i < n; i++) {
				byte[] value = i == 2 ? null : ("{\"order\":" + (4711 + i) + "}").getBytes();
				ProducerRecord<byte[], byte[]> r = new ProducerRecord<>(topic, i % 2, ("k" + i).getBytes(), value);
				r.headers().add("h", client.getBytes());
				sends.add(producer.send(r));
				say("SEND %s %d key=k%d %s {h=%s}", topic, i % 2, i, body(value), client);
			}
			for (int i = 0; i < n; i++)
				say("CONFIRM %s-%d %d", topic, i % 2, sends.get(i).get().offset());
		}
	}

	static void got(ConsumerRecord<byte[], byte[]> r, String client, String more) {
		say("RECEIVE %s %d %d key=%s %s consumer=%s {h=%s}%s", r.topic(), r.partition(), r.offset(),
			new String(r.key()), body(r.value()), client,
			new String(r.headers().lastHeader("h").value()), more);
	}

	/* A group in which the broker assigns (KIP-848). */
	static void group(String topic, int n) {
		Properties p = props("j-reader");
		p.put("group.id", "fx.j848");
		p.put("group.protocol", "consumer");
		p.put("enable.auto.commit", "false");
		p.put("auto.offset.reset", "earliest");
		Map<Integer, Long> end = new TreeMap<>();
		int count = 0;
		try (KafkaConsumer<byte[], byte[]> c =
				new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
			c.subscribe(List.of(topic));
			while (count < n)
				for (ConsumerRecord<byte[], byte[]> r : c.poll(Duration.ofMillis(500))) {
					got(r, "j-reader", "");
					end.put(r.partition(), r.offset() + 1);
					count++;
				}
			say("SUBSCRIBE %s q=fx.j848 consumer=j-reader 0,1", topic);
			c.commitSync();
			for (Map.Entry<Integer, Long> e : end.entrySet())
				say("SETTLE %s %d %d q=fx.j848 consumer=j-reader ack up-to", topic, e.getKey(), e.getValue());
		}
		say("UNSUBSCRIBE %s q=fx.j848 consumer=j-reader", topic);
	}

	/* A share group: every third is given back once, then accepted; every fifth is rejected. */
	static void share(String topic, int n) throws Exception {
		Properties p = props("j-sharer");
		p.put("group.id", "fx.share");
		p.put("share.acknowledgement.mode", "explicit");
		int done = 0;
		long until = System.currentTimeMillis() + 60000;
		try (KafkaShareConsumer<byte[], byte[]> c =
				new KafkaShareConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
			c.subscribe(List.of(topic));
			while (done < n && System.currentTimeMillis() < until) {
				for (ConsumerRecord<byte[], byte[]> r : c.poll(Duration.ofMillis(500))) {
					int times = r.deliveryCount().orElse((short) 0);
					AcknowledgeType how = r.offset() % 3 == 0 && times == 1 ? AcknowledgeType.RELEASE
						: r.offset() % 5 == 4 ? AcknowledgeType.REJECT : AcknowledgeType.ACCEPT;
					got(r, "j-sharer", " q=fx.share delivery=" + times + (times > 1 ? " redelivered" : ""));
					c.acknowledge(r, how);
					say("SETTLE %s %d %d q=fx.share consumer=j-sharer %s", topic, r.partition(), r.offset(),
						how == AcknowledgeType.RELEASE ? "requeue" : how == AcknowledgeType.REJECT ? "reject" : "ack");
					if (how != AcknowledgeType.RELEASE)
						done++;
				}
				c.commitSync();
			}
			say("SUBSCRIBE %s q=fx.share consumer=j-sharer 0,1", topic);
		}
		say("UNSUBSCRIBE %s q=fx.share consumer=j-sharer", topic);
	}

	public static void main(String[] args) throws Exception {
		addr = args[0];
		try (Admin admin = Admin.create(props("j-admin"))) {
			admin.createTopics(List.of(new NewTopic("fx.java", 2, (short) 1))).all().get();
			say("XDECLARE fx.java topic");
			ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, "fx.share");
			admin.incrementalAlterConfigs(Map.of(group, List.of(new AlterConfigOp(
				new ConfigEntry("share.auto.offset.reset", "earliest"), AlterConfigOp.OpType.SET)))).all().get();
			for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd"))
				produce("fx.java", "j-" + codec, codec, 6);
			group("fx.java", 30);
			share("fx.java", 30);
			admin.deleteRecords(Map.of(new org.apache.kafka.common.TopicPartition("fx.java", 1),
				RecordsToDelete.beforeOffset(7))).all().get();
			say("DELETE fx.java-1 7 up-to");
			admin.deleteConsumerGroups(List.of("fx.j848")).all().get();
			say("QDELETE q=fx.j848");
			admin.deleteTopics(List.of("fx.java")).all().get();
			say("XDELETE fx.java");
		}
	}
}
