// driver BROKER COMMAND --server HOST:PORT --log FILE [OPTION]...: an ordinary client of Kafka (franz-go), Redis (go-redis)
// or NATS (nats.go). Commands, modes, options and what it writes down are those of tests/lab/client/truth.py and of the
// Python drivers.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
)

const mib = 1 << 20

type fields map[string]any

var (
	server, dest, group, prefix, codec, tx, settle, holdDir, readyFile, mode *string
	n, partitions, warm                                                      *int
	sizes                                                                    []int
	log                                                                      *os.File
	end                                                                      time.Time
	ctx                                                                      = context.Background()
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

// --- what is written down ---

func write(op string, f fields) {
	f["op"], f["pid"] = op, os.Getpid()
	line, err := json.Marshal(f)
	must(err)
	_, err = log.Write(append(line, '\n'))
	must(err)
}

func message(op string, data []byte, f fields) {
	f["size"], f["crc"] = len(data), crc32.ChecksumIEEE(data)
	if len(data) > mib {
		f["head"] = crc32.ChecksumIEEE(data[:mib])
	}
	write(op, f)
}

func body(i int) []byte {
	size, name := sizes[i%len(sizes)], fmt.Sprintf("%s-%d", *prefix, i)
	text := fmt.Sprintf(`{"n":"%s","order":{"id":%d},"pad":"`, name, 4000+i)
	if size >= len(text)+2 {
		return []byte(text + strings.Repeat("x", size-len(text)-2) + `"}`)
	}
	return []byte(name[:min(size, len(name))])
}

func key(i int) string { return fmt.Sprintf("k%d", i%7) }

func headers(i int) [][]string {
	return [][]string{{"n", fmt.Sprintf("%s-%d", *prefix, i)}, {"kind", "lab grün"}}
}

func inTime(what string) {
	if time.Now().After(end) {
		must(fmt.Errorf("%s: not in time", what))
	}
}

func touch(path string) {
	if path != "" {
		must(os.WriteFile(path, nil, 0o600))
	}
}

func hold() {
	write("hold", fields{})
	touch(filepath.Join(*holdDir, fmt.Sprintf("held.%d", os.Getpid())))
	for {
		if _, err := os.Stat(filepath.Join(*holdDir, "go")); err == nil {
			return
		}
		inTime("go")
		time.Sleep(10 * time.Millisecond)
	}
}

// Groups of ten: from, to, and how its transaction ends.
func groups(send func(from, to int, how string)) {
	ends := strings.Split(*tx, ",")
	for from := 0; from < *n; from += 10 {
		if *holdDir != "" && from <= *warm && *warm < from+10 {
			hold()
		}
		send(from, min(from+10, *n), ends[from/10%len(ends)])
	}
}

// --- Kafka ---

func place(r *kgo.Record, f fields) fields {
	f["dest"], f["rk"] = r.Topic, strconv.Itoa(int(r.Partition))
	f["log"], f["mid"] = fmt.Sprintf("%s-%d", r.Topic, r.Partition), strconv.FormatInt(r.Offset, 10)
	return f
}

func recordFields(r *kgo.Record) fields {
	list := [][]string{}
	for _, h := range r.Headers {
		list = append(list, []string{h.Key, string(h.Value)})
	}
	return place(r, fields{"key": string(r.Key), "headers": list})
}

func kafkaProduce() {
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	options := []kgo.Opt{kgo.SeedBrokers(*server), kgo.ClientID("lab-go"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[*codec]), kgo.ProducerBatchMaxBytes(8 << 20), kgo.ProducerLinger(20 * time.Millisecond)}
	if *tx != "" {
		options = append(options, kgo.TransactionalID(*prefix))
	}
	c, err := kgo.NewClient(options...)
	must(err)
	groups(func(from, to int, how string) {
		var records []*kgo.Record
		for i := from; i < to; i++ {
			r := &kgo.Record{Topic: *dest, Partition: int32(i % *partitions), Key: []byte(key(i)), Value: body(i)}
			for _, h := range headers(i) {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
			}
			records = append(records, r)
		}
		if how != "" {
			must(c.BeginTransaction())
		}
		must(c.ProduceSync(ctx, records...).FirstErr())
		if how != "" {
			must(c.EndTransaction(ctx, kgo.TransactionEndTry(how == "commit")))
		}
		for _, r := range records {
			f := recordFields(r)
			if how != "" {
				f["tx"] = how
			}
			message("send", r.Value, f)
		}
	})
	c.Close()
}

func kafkaConsume() {
	level := kgo.ReadUncommitted()
	if *mode == "committed" {
		level = kgo.ReadCommitted()
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(*server), kgo.ClientID("lab-go"), kgo.ConsumerGroup(*group),
		kgo.ConsumeTopics(*dest), kgo.DisableAutoCommit(), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.FetchIsolationLevel(level), kgo.FetchMaxPartitionBytes(8<<20),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { touch(*readyFile) }))
	must(err)
	queue := *dest + "/" + *group
	for got := 0; got < *n; {
		inTime("records")
		short, cancel := context.WithTimeout(ctx, time.Second)
		records := c.PollFetches(short).Records()
		cancel()
		for _, r := range records {
			f := recordFields(r)
			f["queue"] = queue
			message("recv", r.Value, f)
			got++
		}
		if *settle == "ack" && len(records) > 0 {
			must(c.CommitRecords(ctx, records...))
			for _, r := range records {
				next := *r
				next.Offset++
				write("settle", place(&next, fields{"queue": queue, "how": "ack", "upto": true}))
			}
		}
	}
	c.Close()
}

// --- Redis ---

func redisProduce(r *redis.Client) {
	groups(func(from, to int, how string) {
		p := r.Pipeline()
		if how != "" {
			p = r.TxPipeline()
		}
		var told []func(answer string)
		var answers []redis.Cmder
		for i := from; i < to; i++ {
			data := body(i)
			switch *mode {
			case "stream":
				list := append(headers(i), []string{"body", string(data)})
				flat := []string{}
				for _, f := range list {
					flat = append(flat, f...)
				}
				answers = append(answers, p.XAdd(ctx, &redis.XAddArgs{Stream: *dest, Values: flat}))
				told = append(told, func(mid string) {
					message("send", data, fields{"dest": *dest, "log": *dest, "mid": mid, "fields": list})
				})
			case "list":
				if i%2 == 1 {
					answers = append(answers, p.LPush(ctx, *dest, data))
				} else {
					answers = append(answers, p.RPush(ctx, *dest, data))
				}
				told = append(told, func(string) { message("send", data, fields{"dest": "", "rk": *dest}) })
			case "shard":
				answers = append(answers, p.SPublish(ctx, *dest, data))
				told = append(told, func(string) { message("send", data, fields{"dest": *dest}) })
			default:
				answers = append(answers, p.Publish(ctx, *dest, data))
				told = append(told, func(string) { message("send", data, fields{"dest": *dest}) })
			}
		}
		_, err := p.Exec(ctx)
		must(err)
		for i, tell := range told {
			mid := ""
			if s, ok := answers[i].(*redis.StringCmd); ok {
				mid = s.Val()
			}
			tell(mid)
		}
	})
}

func entry(r *redis.Client, e redis.XMessage) {
	queue, data := *dest+"/"+*group, []byte(e.Values["body"].(string))
	list := [][]string{}
	for _, name := range []string{"n", "kind", "body"} { // in the order in which they were written
		list = append(list, []string{name, e.Values[name].(string)})
	}
	message("recv", data, fields{"dest": *dest, "log": *dest, "mid": e.ID, "queue": queue, "fields": list})
	must(r.XAck(ctx, *dest, *group, e.ID).Err())
	write("settle", fields{"how": "ack", "queue": queue, "log": *dest, "mid": e.ID})
}

func redisConsume(r *redis.Client) {
	switch *mode {
	case "stream":
		r.XGroupCreateMkStream(ctx, *dest, *group, "0") // it may be there
		touch(*readyFile)
		for got := 0; got < *n; {
			inTime("entries")
			streams, err := r.XReadGroup(ctx, &redis.XReadGroupArgs{Group: *group, Consumer: fmt.Sprintf("go-%d", os.Getpid()),
				Streams: []string{*dest, ">"}, Count: 7, Block: 200 * time.Millisecond}).Result()
			if err == redis.Nil {
				continue
			}
			must(err)
			for _, e := range streams[0].Messages {
				entry(r, e)
				got++
			}
		}
	case "list":
		touch(*readyFile)
		for got := 0; got < *n; got++ {
			pop := r.BRPop
			if got%2 == 1 {
				pop = r.BLPop
			}
			answer, err := pop(ctx, 20*time.Second, *dest).Result()
			must(err)
			message("recv", []byte(answer[1]), fields{"dest": "", "rk": *dest, "queue": *dest})
		}
	default:
		subscribe := map[string]func(context.Context, ...string) *redis.PubSub{"channel": r.Subscribe, "pattern": r.PSubscribe,
			"shard": r.SSubscribe}
		p := subscribe[*mode](ctx, *dest)
		_, err := p.Receive(ctx)
		must(err)
		touch(*readyFile)
		for got := 0; got < *n; got++ {
			m, err := p.ReceiveMessage(ctx)
			must(err)
			message("recv", []byte(m.Payload), fields{"dest": m.Channel})
		}
	}
}

// --- NATS ---

func headersOf(m *nats.Msg) [][]string {
	list := [][]string{}
	for name, values := range m.Header {
		for _, v := range values {
			list = append(list, []string{name, v})
		}
	}
	return list
}

func natsProduce(nc *nats.Conn, js nats.JetStreamContext) {
	groups(func(from, to int, _ string) {
		for i := from; i < to; i++ {
			m := &nats.Msg{Subject: *dest, Data: body(i), Header: nats.Header{}}
			for _, h := range headers(i) {
				m.Header.Set(h[0], h[1])
			}
			said := fields{"dest": *dest, "headers": headers(i)}
			switch *mode {
			case "js":
				ack, err := js.PublishMsg(m)
				must(err)
				said["log"], said["mid"] = ack.Stream, strconv.FormatUint(ack.Sequence, 10)
			case "request":
				answer, err := nc.RequestMsg(m, 20*time.Second)
				must(err)
				message("recv", answer.Data, fields{"dest": answer.Subject, "headers": headersOf(answer)})
			default:
				must(nc.PublishMsg(m))
			}
			message("send", m.Data, said)
		}
	})
	must(nc.Flush())
}

func natsSettle(m *nats.Msg, i int) bool {
	d, err := m.Metadata()
	must(err)
	said := func() fields {
		return fields{"queue": d.Stream + "/" + d.Consumer, "log": d.Stream, "mid": strconv.FormatUint(d.Sequence.Stream, 10)}
	}
	f := said()
	f["dest"], f["headers"] = m.Subject, headersOf(m)
	message("recv", m.Data, f)
	ways := strings.Split(*settle, ",")
	way := ways[i%len(ways)]
	if d.NumDelivered > 1 {
		way = "ack"
	}
	f = said()
	switch way {
	case "nack":
		must(m.Nak())
		f["how"] = "requeue"
	case "term":
		must(m.Term())
		f["how"] = "reject"
	default:
		must(m.Ack())
		f["how"] = "ack"
	}
	write("settle", f)
	return way != "nack"
}

func natsConsume(nc *nats.Conn, js nats.JetStreamContext) {
	var sub *nats.Subscription
	var err error
	stream := strings.ToUpper(strings.ReplaceAll(*dest, ".", "_"))
	switch {
	case *mode == "pull":
		sub, err = js.PullSubscribe(*dest, *group, nats.BindStream(stream))
	case *mode == "push":
		sub, err = js.SubscribeSync(*dest, nats.Durable(*group), nats.BindStream(stream), nats.ManualAck())
	case *group != "":
		sub, err = nc.QueueSubscribeSync(*dest, *group)
	default:
		sub, err = nc.SubscribeSync(*dest)
	}
	must(err)
	must(nc.Flush())
	touch(*readyFile)
	for got, i := 0, 0; got < *n; {
		inTime("messages")
		if *mode == "pull" {
			list, _ := sub.Fetch(7, nats.MaxWait(500*time.Millisecond))
			for _, m := range list {
				if natsSettle(m, i) {
					got++
				}
				i++
			}
			continue
		}
		m, err := sub.NextMsg(500 * time.Millisecond)
		if err != nil {
			continue
		}
		if *mode == "push" {
			if natsSettle(m, i) {
				got++
			}
			i++
			continue
		}
		f := fields{"dest": m.Subject, "headers": headersOf(m)}
		if *group != "" {
			f["queue"] = m.Subject + "/" + *group
		}
		message("recv", m.Data, f)
		if *mode == "reply" {
			answer := append([]byte("answer to "), m.Data[:min(40, len(m.Data))]...)
			must(m.Respond(answer))
			message("send", answer, fields{"dest": m.Reply, "headers": [][]string{}})
		}
		got++
	}
	must(nc.Flush())
}

func main() {
	f := flag.NewFlagSet("driver", flag.ExitOnError)
	text := func(name, value string) *string { return f.String(name, value, "") }
	server, dest, group, prefix = text("server", ""), text("dest", "lab"), text("group", ""), text("prefix", "m")
	codec, tx, settle, mode = text("codec", "none"), text("tx", ""), text("settle", "ack"), text("mode", "")
	holdDir, readyFile = text("hold", ""), text("ready", "")
	path, list := text("log", ""), text("sizes", "64")
	n, partitions, warm = f.Int("n", 10, ""), f.Int("partitions", 1, ""), f.Int("warm", 0, "")
	must(f.Parse(os.Args[3:]))
	for _, s := range strings.Split(*list, ",") {
		size, err := strconv.Atoi(s)
		must(err)
		sizes = append(sizes, size)
	}
	var err error
	log, err = os.Create(*path)
	must(err)
	end = time.Now().Add(30 * time.Second)
	produce := os.Args[2] == "produce"
	switch os.Args[1] {
	case "kafka":
		if produce {
			kafkaProduce()
		} else {
			kafkaConsume()
		}
	case "redis":
		r := redis.NewClient(&redis.Options{Addr: *server})
		if produce {
			redisProduce(r)
		} else {
			redisConsume(r)
		}
		r.Close()
	case "nats":
		nc, err := nats.Connect("nats://" + *server)
		must(err)
		js, err := nc.JetStream()
		must(err)
		if produce {
			natsProduce(nc, js)
		} else {
			natsConsume(nc, js)
		}
		nc.Close()
	}
}
