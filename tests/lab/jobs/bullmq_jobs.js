// BullMQ. work: a worker. The other commands, and what is written down: told.py.
const fs = require("fs");
const { Queue, Worker } = require("bullmq");

const dir = process.env.JOBS;
const [host, port] = process.env.JOBS_SERVER.split(":");
const connection = { host, port: Number(port), maxRetriesPerRequest: null };

function tell(op, job) {
  const line = { op, id: job.id, queue: job.queueName, name: job.data.name, order: job.data.order.id, pid: process.pid };
  fs.appendFileSync(dir + "/told", JSON.stringify(line) + "\n");
}

const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const queues = {};

async function enqueue(what, number) {
  const [name, queue = "shop"] = what.split("@");
  const q = queues[queue] || (queues[queue] = new Queue(queue, { connection }));
  const options = { again: { attempts: 2, backoff: { type: "fixed", delay: 500 } }, later: { delay: 1000 } }[name];
  const order = { id: number };
  tell("enqueued", await q.add("bill", { order, name, customer: "J. Doe " + name }, options));
}

async function act(job) {
  const name = job.data.name;
  tell("taken", job);
  if (name === "emits") await enqueue("child@" + job.queueName, job.data.order.id);
  if (name === "held") {
    fs.writeFileSync(dir + "/held", String(process.pid));
    await sleep(60000);
  }
  if (name === "broken" || (name === "again" && job.attemptsMade === 0)) {
    tell(name === "broken" ? "failed" : "again", job);
    throw new Error("no such order");
  }
  tell("done", job);
  return "billed";
}

async function main() {
  if (process.argv[2] === "work") {
    new Worker("shop", act, { connection });
    return;
  }
  const hold = process.argv[2] === "hold";
  for (const [i, what] of process.argv.slice(3).entries()) {
    if (hold && i === 1) {
      fs.writeFileSync(dir + "/holds", "");
      while (!fs.existsSync(dir + "/go")) await sleep(20);
    }
    await enqueue(what, 4711 + i);
  }
  if (hold) await sleep(1000);
}

main().then(() => process.argv[2] === "work" || Promise.all(Object.values(queues).map((q) => q.close()))).catch((e) => { console.error(e); process.exit(1); });
