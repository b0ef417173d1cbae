"""The script that runs in Redis or Valkey: one bucket, charged and divided among the sidecars.

It does what ``sharing.Divider`` does, with the same arithmetic, by the server's own clock, so
that the sidecars' clocks need not agree. A key is a hash: ``at`` is the instant at which the
bucket is full again, in microseconds; every other field is a sidecar's demand and when it was
reported. A key expires when it is full and nobody asks for it.

A key that the server does not know (it lost its data, evicted or flushed them) begins as full as
the sidecar's own bucket is (``ARGV[11]``). What its clock did not show yet, after the clock went
back or another server took over, is cut: a bucket is never further ahead than what members can
spend too much before they are told.
"""

SYNC = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local asked, refused, member = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local period, members, strict = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'
local smoothing, oldest = tonumber(ARGV[9]), now - tonumber(ARGV[10]) * tonumber(ARGV[6])
local at, own, total, known = now - tonumber(ARGV[12]), asked, 0, false
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if name == 'at' then
    at, known = math.max(at, tonumber(value)), true
  else
    local demand, seen = string.match(value, '^(%S+) (%S+)$')
    demand, seen = tonumber(demand), tonumber(seen)
    if seen < oldest or seen > now then
      redis.call('HDEL', KEYS[1], name)
    elseif name == member then
      own = demand + smoothing * (asked - demand)
    else
      total = total + demand
    end
  end
end
total = total + own
at = at + (asked - refused) * interval
if ARGV[13] == '1' or not known then at = math.max(at, now + tonumber(ARGV[11])) end
at = math.min(at, now + tolerance + math.max(1000000, members * interval))
redis.call('HSET', KEYS[1], 'at', string.format('%.3f', at),
  member, string.format('%.6f %.0f', own, now))
redis.call('PEXPIRE', KEYS[1], math.ceil(math.max(0, at - now) / 1000 + 10 * period / 1000) + 1000)
local ahead = at - now
local proportion = 1 / members
if total > 0 then proportion = own / total end
local share, fair = 1, 1 / members
if (tolerance - ahead) / interval + 1 < 2 * total + members then
  share, fair = proportion, proportion
elseif strict then
  share = 1 / members
end
return {string.format('%.3f', ahead), string.format('%.9f', share), string.format('%.9f', fair)}
"""

JOIN = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
redis.call('PEXPIRE', KEYS[1], 10 * tonumber(ARGV[2]))
redis.call('SET', KEYS[2], ARGV[3], 'NX')
return {redis.call('ZCARD', KEYS[1]), redis.call('GET', KEYS[2])}
"""
"""Counts this sidecar among the living ones; returns their number, and the common secret."""
