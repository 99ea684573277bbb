/*
 * usage: record_libnats PORT     (built and run by ../record.py; needs libnats)
 *
 * What nats.c does through a verbose connection, on standard output in the words of ../fixtures.c.
 */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int sends;

static void must(natsStatus s, const char *what)
{
	if (s == NATS_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, natsStatus_GetText(s));
	exit(1);
}

static unsigned fnv(const char *p, int n)
{
	unsigned h = 2166136261;

	for (int i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 16777619;
	return h;
}

/* A verbose server confirms each line. */
static void sent(const char *subject, const char *body)
{
	int n = (int)strlen(body);

	printf("SEND channel ex=%s size=%d sum=%08x\n", subject, n, fnv(body, n));
	printf("CONFIRM channel of=%d\n", ++sends);
}

static void publish(jsCtx *js, const char *body, const char *id)
{
	jsPubOptions o;
	jsPubAck *ack;

	jsPubOptions_Init(&o);
	o.MsgId = id;
	sent("c.in", body);
	must(js_Publish(&ack, js, "c.in", body, (int)strlen(body), &o, NULL), "publish");
	printf("CONFIRM log log=%s mid=%llu%s of=%d\n", ack->Stream, (unsigned long long)ack->Sequence,
		ack->Duplicate ? " text=duplicate" : "", sends);
	jsPubAck_Destroy(ack);
}

static jsMsgMetaData *received(natsMsg *m, natsSubscription *sub)
{
	jsMsgMetaData *d;

	must(natsMsg_GetMetaData(&d, m), "metadata");
	printf("RECEIVE log ex=%s q=%s consumer=%lld log=%s mid=%llu delivery=%llu size=%d sum=%08x%s\n",
		natsMsg_GetSubject(m), d->Consumer, (long long)natsSubscription_GetID(sub), d->Stream,
		(unsigned long long)d->Sequence.Stream, (unsigned long long)d->NumDelivered,
		natsMsg_GetDataLength(m), fnv(natsMsg_GetData(m), natsMsg_GetDataLength(m)),
		d->NumDelivered > 1 ? " redelivered" : "");
	return d;
}

static void settled(const jsMsgMetaData *d, const char *how)
{
	printf("SETTLE log q=%s log=%s mid=%llu delivery=%llu %s\n", d->Consumer, d->Stream,
		(unsigned long long)d->Sequence.Stream, (unsigned long long)d->NumDelivered, how);
}

static void settle(natsMsg *m, const jsMsgMetaData *d)
{
	switch (d->NumDelivered > 1 ? 0 : d->Sequence.Stream) {
	case 1:
		must(natsMsg_InProgress(m, NULL), "in progress");
		settled(d, "progress");
		must(natsMsg_Ack(m, NULL), "ack");
		settled(d, "ack");
		break;
	case 2:
		must(natsMsg_Term(m, NULL), "term");
		settled(d, "reject");
		break;
	case 3:
		must(natsMsg_NakWithDelay(m, 150, NULL), "nak");
		settled(d, "requeue text=delay 150 ms");
		break;
	default:
		must(natsMsg_AckSync(m, NULL, NULL), "ack sync");
		settled(d, "ack");
	}
}

static void take(natsMsg *m, natsSubscription *sub)
{
	jsMsgMetaData *d = received(m, sub);

	settle(m, d);
	jsMsgMetaData_Destroy(d);
	natsMsg_Destroy(m);
}

static void pull(jsCtx *js)
{
	natsSubscription *sub;
	natsMsgList list;

	must(js_PullSubscribe(&sub, js, "c.in", "puller", NULL, NULL, NULL), "pull subscribe");
	printf("QDECLARE log ex=c.in q=puller log=C mid=0\n");
	for (int got = 0; got < 5;) {
		must(natsSubscription_Fetch(&list, sub, 2, 2000, NULL), "fetch");
		for (int i = 0; i < list.Count; i++, got++) {
			take(list.Msgs[i], sub);
			list.Msgs[i] = NULL;
		}
		natsMsgList_Destroy(&list);
	}
	natsSubscription_Destroy(sub);
}

static void push(jsCtx *js)
{
	natsSubscription *sub;
	natsMsg *m;

	must(js_SubscribeSync(&sub, js, "c.in", NULL, NULL, NULL), "subscribe");
	for (int i = 0; i < 5; i++) {
		must(natsSubscription_NextMsg(&m, sub, 2000), "next");
		if (!i) {
			jsMsgMetaData *d;

			must(natsMsg_GetMetaData(&d, m), "metadata");
			printf("QDECLARE log ex=c.in q=%s log=C mid=0\nQDELETE log q=%s log=C\n", d->Consumer,
				d->Consumer);
			jsMsgMetaData_Destroy(d);
		}
		take(m, sub);
	}
	natsSubscription_Unsubscribe(sub);
	natsSubscription_Destroy(sub);
}

int main(int argc, char **argv)
{
	jsStreamConfig config;
	const char *subjects[] = {"c.>"};
	natsConnection *nc;
	natsOptions *o;
	natsMsg *reply;
	char url[64];
	jsCtx *js;

	if (argc != 2)
		return 2;
	snprintf(url, sizeof(url), "nats://shop:hunter2@127.0.0.1:%s", argv[1]);
	must(natsOptions_Create(&o), "options");
	must(natsOptions_SetURL(o, url), "url");
	must(natsOptions_SetVerbose(o, true), "verbose");
	must(natsConnection_Connect(&nc, o), "connect");
	printf("LOGIN text=shop\n");
	must(natsConnection_JetStream(&js, nc, NULL), "jetstream");
	jsStreamConfig_Init(&config);
	config.Name = "C";
	config.Subjects = subjects;
	config.SubjectsLen = 1;
	config.Storage = js_MemoryStorage;
	must(js_AddStream(NULL, js, &config, NULL, NULL), "stream");
	printf("XDECLARE log ex=C log=C type=stream\n");
	publish(js, "one", "1");
	publish(js, "two", "2");
	publish(js, "again", "2");
	publish(js, "three", "3");
	publish(js, "", "4");
	sent("nobody", "?");
	if (natsConnection_RequestString(&reply, nc, "nobody", "?", 1000) == NATS_NO_RESPONDERS)
		printf("RETURN channel code=503 of=%d\n", sends);
	pull(js);
	push(js);
	must(js_DeleteStream(js, "C", NULL, NULL), "delete");
	printf("XDELETE log ex=C log=C type=stream\n");
	must(natsConnection_Flush(nc), "flush");
	jsCtx_Destroy(js);
	natsConnection_Destroy(nc);
	natsOptions_Destroy(o);
	return 0;
}
