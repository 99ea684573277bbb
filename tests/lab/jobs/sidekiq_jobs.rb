# Sidekiq; also what its worker loads (sidekiq -r). The commands, and what is written down: told.py.
require "json"
require "sidekiq"

SERVER = { url: "redis://#{ENV["JOBS_SERVER"]}/0" }
Sidekiq.configure_client { |c| c.redis = SERVER }
Sidekiq.configure_server do |c|
  c.redis = SERVER
  c.options[:poll_interval_average] = 1 # how often it looks what is due
end

class Bill
  include Sidekiq::Worker
  sidekiq_options retry: 1
  sidekiq_retry_in { 1 }

  def self.tell(op, id, queue, name, order)
    line = { op: op, id: id, queue: queue, name: name, order: order, pid: Process.pid }
    File.open("#{ENV["JOBS"]}/told", "a") { |f| f.syswrite(line.to_json + "\n") }
  end

  def self.enqueue(what, number)
    name, queue = what.split("@")
    options = { queue: queue || "default" }
    options[:retry] = 0 if name == "broken"
    args = [{ "order" => { "id" => number } }, name, "J. Doe #{name}"]
    id = name == "later" ? set(options).perform_in(1, *args) : set(options).perform_async(*args)
    tell("enqueued", id, options[:queue], name, number)
  end

  def perform(order, name, customer)
    number = order["order"]["id"]
    Bill.tell("taken", jid, "default", name, number)
    Bill.enqueue("child", number) if name == "emits"
    if name == "held"
      File.write("#{ENV["JOBS"]}/held", Process.pid)
      sleep 60
    end
    first = File.readlines("#{ENV["JOBS"]}/told").none? { |l| l.include?(%("op":"again","id":"#{jid}")) }
    if name == "broken" || (name == "again" && first)
      Bill.tell(name == "broken" ? "failed" : "again", jid, "default", name, number)
      raise "no such order"
    end
    Bill.tell("done", jid, "default", name, number)
  end
end

if %w[enqueue hold].include?(ARGV[0])
  ARGV.drop(1).each_with_index do |what, i|
    if ARGV[0] == "hold" && i == 1
      File.write("#{ENV["JOBS"]}/holds", "")
      sleep 0.02 until File.exist?("#{ENV["JOBS"]}/go")
    end
    Bill.enqueue(what, 4711 + i)
  end
  sleep 1 if ARGV[0] == "hold"
end
