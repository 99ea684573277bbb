#!/bin/bash
# Runs the shop until SIGTERM or SIGINT, then ends every service it started.
#   SHOP_DIR   where it keeps its logs, pids and switches (made if missing)
#   AMQP_URL   the broker; with --broker a private one is started, inside of whatever scope run.sh is watched in
#   KAFKA_SERVERS, REDIS_URL   with both the way goes on: a ledger in Kafka, points and mails in Redis
#   BUILD      where the C service was built (.output)
set -u
cd "$(dirname "$0")/../../.." || exit 1
: "${SHOP_DIR:?the directory for logs, pids and switches}"
export SHOP_DIR
build=${BUILD:-.output}
here=tests/lab/shop
mkdir -p "$SHOP_DIR/ready" "$SHOP_DIR/log" "$SHOP_DIR/pid"
echo $$ >"$SHOP_DIR/pid/run.sh"
broker=

stop() {
	local f p
	trap '' TERM INT
	for f in "$SHOP_DIR"/pid/*; do
		[ "${f##*/}" = run.sh ] && continue
		read -r p <"$f" && kill "$p" 2>/dev/null
	done
	wait
	[ -n "$broker" ] && tests/lab/rabbitmq stop "$broker"
	rm -f "$SHOP_DIR"/pid/*
	exit "$1"
}
trap 'stop 0' TERM INT

start() { # NAME PROGRAM
	"$2" >"$SHOP_DIR/log/$1" 2>&1 &
	echo $! >"$SHOP_DIR/pid/$1"
}

await() { # NAME: at most a minute
	local i
	for ((i = 0; i < 1200; i++)); do
		[ -e "$SHOP_DIR/ready/$1" ] && return 0
		sleep 0.05
	done
	echo "run.sh: $1 is not ready; its output: $(tail -n 3 "$SHOP_DIR/log/$1")" >&2
	stop 1
}

if [ "${1:-}" = --broker ]; then
	broker=$SHOP_DIR/broker
	env=$(tests/lab/rabbitmq start "$broker") || stop 1
	eval "$env"
	export AMQP_URL
	echo "$AMQP_URL" >"$SHOP_DIR/url"
fi
: "${AMQP_URL:?where the broker is}"
# John Doe has not paid his last order: billing refuses him until somebody removes this file.
echo 'John Doe' >"$SHOP_DIR/blocked"

start billing "$build/tests/lab/shop/billing"
services="invoices notify audit slow${SHOP_PACKER:+ packer}"
[ -z "${KAFKA_SERVERS:-}" ] || [ -z "${REDIS_URL:-}" ] || services+=" mailer loyalty ledger"
for s in $services; do
	start $s $here/$s
done
for s in billing $services; do
	await $s
done
start shop $here/shop
await shop
# A wait that a trapped signal can end at once.
while :; do
	sleep 3600 &
	echo $! >"$SHOP_DIR/pid/sleep"
	wait $!
done
