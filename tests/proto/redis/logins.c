/* Secrets are told in time and get nowhere; who logged in is told with the first message. */
#include "wire.h"

static void secrets(void)
{
	struct talk t = {0};

	secrets_wide = true; /* an inline command's whole line, the '>' of an ACL rule */
	ask(&t, "AUTH hunter2");
	ask(&t, "AUTH bob hunter2");
	ask(&t, "HELLO 3 AUTH bob hunter2 SETNAME hello");
	ask(&t, "CONFIG SET maxmemory 1 requirepass hunter2 masterauth hunter2");
	ask(&t, "ACL SETUSER eve on >hunter2 ~* +@all");
	ask(&t, "MIGRATE host 6379 key 0 1000 AUTH hunter2");
	ask(&t, "migrate host 6379 key 0 1000 COPY AUTH2 bob hunter2 KEYS a b");
	ask_raw(&t, "AUTH hunter2\r\nauth bob \"hunter2\"\r\nCONFIG SET requirepass hunter2\r\n");
	say(&t, "+OK\r\n+OK\r\n%1\r\n+a\r\n+b\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n-WRONGPASS "
		"no\r\n+OK\r\n+OK\r\n");
	ask(&t, "PUBLISH a b");
	say(&t, ":1\r\n");
	talk_check(&t, "1 LOGIN vhost=0 text=bob\n"
		       "2 ERROR vhost=0 text=WRONGPASS no\n"
		       "3 LOGIN vhost=0 text=bob\n"
		       "4 SEND channel ex=a size=1 body=b\n"
		       "5 CONFIRM channel ex=a ref=4 code=1\n");
	secrets_wide = false;
}

static void databases(void)
{
	struct talk t = {0};

	ask(&t, "SELECT 3");
	ask(&t, "LPUSH q a");
	say(&t, "+OK\r\n:1\r\n");
	ask(&t, "SELECT 99");
	say(&t, "-ERR DB index is out of range\r\n");
	ask(&t, "LPUSH q b");
	say(&t, ":1\r\n");
	ask(&t, "RESET");
	say(&t, "+RESET\r\n");
	ask(&t, "LPUSH q c");
	say(&t, ":1\r\n");
	talk_check(&t, "1 LOGIN vhost=3 text=default\n"
		       "2 SEND vhost=3 key=q size=1 body=a\n"
		       "3 CONFIRM vhost=3 ref=2\n"
		       "4 SEND vhost=3 key=q size=1 body=b\n"
		       "5 CONFIRM vhost=3 ref=4\n"
		       "6 LOGIN vhost=0 text=default\n"
		       "7 SEND vhost=0 key=q size=1 body=c\n"
		       "8 CONFIRM vhost=0 ref=7\n");
}

/* A client that only reads and writes keys is told nothing of. */
static void cache(void)
{
	struct talk t = {0};

	ask(&t, "AUTH hunter2");
	say(&t, "+OK\r\n");
	for (int i = 0; i < 5; i++) {
		ask(&t, "SET k v");
		ask(&t, "GET k");
		say(&t, "+OK\r\n$1\r\nv\r\n");
	}
	ask(&t, "HSET h f v");
	ask(&t, "ZADD board 10 player1");
	ask(&t, "DEL k");
	ask(&t, "EVALSHA 0123 1 lock token");
	ask(&t, "LRANGE l 0 -1");
	say(&t, ":1\r\n:1\r\n:1\r\n:1\r\n");
	say_words(&t, "message like this");
	talk_check(&t, "");
}

int main(void)
{
	RUN(secrets);
	RUN(databases);
	RUN(cache);
	return test_end();
}
