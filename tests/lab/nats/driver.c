/*
 * driver COMMAND --server HOST:PORT --log FILE [OPTION]...: an ordinary client of NATS on nats.c. Its
 * commands (produce, consume), modes and options are those of driver.py.
 *
 * Links: -lnats -lz
 */
#include <ctype.h>
#include <nats/nats.h>

#include "../client/truth.h"

#define WINDOW 10

static struct truth t;
static natsConnection *nc;
static jsCtx *js;
static char stream[64];

static void need(natsStatus s, const char *what)
{
	if (s != NATS_OK)
		die(what, natsStatus_GetText(s));
}

static bool mode_is(const char *mode)
{
	return !strcmp(t.mode, mode);
}

static void header_text(const char *n, char *ret, size_t room)
{
	if (*n)
		snprintf(ret, room, "[[\"n\",\"%s\"],[\"kind\",\"lab\"]]", n);
	else
		snprintf(ret, room, "[]");
}

static void log_message(
	const char *op, const char *dest, const char *n, const void *body, size_t size, const char *more)
{
	char headers[128];

	header_text(n, headers, sizeof(headers));
	truth_write(
		&t, op, "%s,\"dest\":\"%s\",\"headers\":%s%s", truth_sum(body, size), dest, headers, more);
}

/* --- producing --- */

static natsMsg *message(int i)
{
	size_t size = truth_body(&t, i);
	natsMsg *m;
	char n[64];

	need(natsMsg_Create(&m, t.dest, NULL, t.body, (int)size), "message");
	if (t.plain)
		return m;
	snprintf(n, sizeof(n), "%s-%d", t.prefix, i);
	need(natsMsgHeader_Set(m, "n", n), "header");
	need(natsMsgHeader_Set(m, "kind", "lab"), "header");
	return m;
}

static void send_one(int i)
{
	natsMsg *m = message(i), *answer;
	char n[64] = "", more[128] = "";
	jsPubAck *ack;

	if (!t.plain)
		snprintf(n, sizeof(n), "%s-%d", t.prefix, i);
	if (mode_is("js")) {
		need(js_PublishMsg(&ack, js, m, NULL, NULL), "publish");
		snprintf(more, sizeof(more), ",\"log\":\"%s\",\"mid\":\"%llu\"", ack->Stream,
			(unsigned long long)ack->Sequence);
		jsPubAck_Destroy(ack);
	} else if (mode_is("request")) {
		need(natsConnection_RequestMsg(&answer, nc, m, 20000), "request");
		log_message("recv", natsMsg_GetSubject(answer), "", natsMsg_GetData(answer),
			natsMsg_GetDataLength(answer), "");
		natsMsg_Destroy(answer);
	} else {
		need(natsConnection_PublishMsg(nc, m), "publish");
	}
	log_message("send", t.dest, n, natsMsg_GetData(m), natsMsg_GetDataLength(m), more);
	natsMsg_Destroy(m);
}

static void produce(void)
{
	for (int i = 0; i < t.n; i++) {
		if (*t.hold && i == t.warm) {
			natsConnection_Flush(nc);
			truth_hold(&t);
		}
		send_one(i);
	}
	need(natsConnection_FlushTimeout(nc, 20000), "flush");
}

/* --- consuming --- */

static void received(natsMsg *m, const char *more)
{
	const char *n = "";

	if (natsMsgHeader_Get(m, "n", &n) != NATS_OK)
		n = "";
	log_message("recv", natsMsg_GetSubject(m), n, natsMsg_GetData(m), natsMsg_GetDataLength(m), more);
}

/* Takes one message of a consumer; 1 when it is done with. */
static int settle(natsMsg *m, int i)
{
	static const char *const ways[][2] = {{"ack", "ack"}, {"nack", "requeue"}, {"term", "reject"},
		{"progress", "ack"}, {"sync", "ack"}};
	char more[256];
	jsMsgMetaData *d;
	size_t way = 0;
	bool again;

	need(natsMsg_GetMetaData(&d, m), "metadata");
	again = d->NumDelivered > 1;
	snprintf(more, sizeof(more), ",\"queue\":\"%s/%s\",\"log\":\"%s\",\"mid\":\"%llu\"", d->Stream,
		d->Consumer, d->Stream, (unsigned long long)d->Sequence.Stream);
	received(m, more);
	jsMsgMetaData_Destroy(d);
	if (truth_turn(t.settle, i, "none"))
		return 1;
	for (size_t w = 0; w < 5 && !again; w++)
		if (truth_turn(t.settle, i, ways[w][0]))
			way = w;
	switch (way) {
	case 1:
		need(natsMsg_Nak(m, NULL), "nak");
		break;
	case 2:
		need(natsMsg_Term(m, NULL), "term");
		break;
	case 4:
		need(natsMsg_AckSync(m, NULL, NULL), "ack");
		break;
	case 3:
		need(natsMsg_InProgress(m, NULL), "progress"); /* fall through */
	default:
		need(natsMsg_Ack(m, NULL), "ack");
	}
	truth_write(&t, "settle", ",\"how\":\"%s\"%s", ways[way][1], more);
	return way != 1;
}

static void consume_js(void)
{
	natsSubscription *sub;
	int done = 0, n = 0;
	natsMsgList list;
	jsSubOptions o;
	natsMsg *m;

	jsSubOptions_Init(&o);
	o.Stream = stream;
	o.ManualAck = true;
	o.Config.Durable = t.group;
	o.Config.AckPolicy = js_AckExplicit;
	if (mode_is("pull"))
		need(js_PullSubscribe(&sub, js, t.dest, t.group, NULL, &o, NULL), "pull subscribe");
	else
		need(js_SubscribeSync(&sub, js, t.dest, NULL, &o, NULL), "subscribe");
	truth_ready(&t);
	while (done < t.n) {
		truth_in_time(&t, "messages");
		if (!mode_is("pull")) {
			if (natsSubscription_NextMsg(&m, sub, 500) != NATS_OK)
				continue;
			done += settle(m, n++);
			natsMsg_Destroy(m);
			continue;
		}
		if (natsSubscription_Fetch(&list, sub, 7, 500, NULL) != NATS_OK)
			continue;
		for (int i = 0; i < list.Count; i++)
			done += settle(list.Msgs[i], n++);
		natsMsgList_Destroy(&list);
	}
	natsConnection_FlushTimeout(nc, 20000);
	natsSubscription_Destroy(sub);
}

static void consume_core(void)
{
	char answer[64], more[128];
	natsSubscription *sub;
	natsMsg *m;
	int n;

	if (*t.group)
		need(natsConnection_QueueSubscribeSync(&sub, nc, t.dest, t.group), "subscribe");
	else
		need(natsConnection_SubscribeSync(&sub, nc, t.dest), "subscribe");
	need(natsConnection_FlushTimeout(nc, 20000), "flush");
	truth_ready(&t);
	for (int i = 0; i < t.n;) {
		truth_in_time(&t, "messages");
		if (natsSubscription_NextMsg(&m, sub, 500) != NATS_OK)
			continue;
		*more = '\0';
		if (*t.group)
			snprintf(more, sizeof(more), ",\"queue\":\"%s/%s\"", natsMsg_GetSubject(m), t.group);
		received(m, more);
		if (mode_is("reply")) {
			n = snprintf(answer, sizeof(answer), "answer to %.40s", natsMsg_GetData(m));
			need(natsConnection_Publish(nc, natsMsg_GetReply(m), answer, n), "answer");
			log_message("send", natsMsg_GetReply(m), "", answer, n, "");
		}
		natsMsg_Destroy(m);
		i++;
	}
	natsConnection_FlushTimeout(nc, 20000);
	natsSubscription_Destroy(sub);
}

int main(int argc, char **argv)
{
	char url[128];

	t = truth_options(argc, argv);
	snprintf(url, sizeof(url), "nats://%s", t.server);
	for (size_t i = 0; t.dest[i] && i + 1 < sizeof(stream); i++)
		stream[i] = t.dest[i] == '.' ? '_' : (char)toupper((unsigned char)t.dest[i]);
	need(natsConnection_ConnectTo(&nc, url), "connect");
	need(natsConnection_JetStream(&js, nc, NULL), "JetStream");
	if (!strcmp(t.command, "produce"))
		produce();
	else if (mode_is("pull") || mode_is("push"))
		consume_js();
	else
		consume_core();
	jsCtx_Destroy(js);
	natsConnection_Destroy(nc);
	nats_Close();
	return 0;
}
