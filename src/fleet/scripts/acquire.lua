-- Take a lease, or stand in its queue. First come, first served; also the heartbeat of who stands there.
-- KEYS  1 record   2 last fence given   3 queue (tokens by ticket)   4 heartbeats
-- ARGV  1 token    2 ttl, ms   3 inbox   4 how long a heartbeat is good for, ms   5 'queue', or 'try': take it now or not at all
-- Returns  {'L', fence}          this token holds the lease
--          {'Q', pttl, ahead}    in the queue, behind `ahead` others; pttl of the holder, 0 if there is none
--          {'B', pttl}           not available now ('try')
if #KEYS == 0 then return 0 end -- only to be known by its hash
local token = ARGV[1]
local record = redis.call('HMGET', KEYS[1], 't', 'i')
local owner, id = record[1], record[2]
if owner == token then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {'L', id}
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Who stopped breathing must not block the queue. The server's clock judges, so no two machines need to agree.
local head, dropped
while true do
  head = redis.call('ZRANGE', KEYS[3], 0, 0)[1]
  if not head or head == token then break end
  local alive = string.match(redis.call('HGET', KEYS[4], head) or '', '^(%d+) ')
  if alive and tonumber(alive) >= now then break end
  redis.call('ZREM', KEYS[3], head)
  redis.call('HDEL', KEYS[4], head)
  dropped = true
end
-- With the last waiter goes the count of tickets.
if dropped and not head then redis.call('DEL', KEYS[4]) end

if not owner and (not head or head == token) then
  -- Mostly nobody queued, and there is nothing to clear up.
  if head then
    redis.call('ZREM', KEYS[3], token)
    redis.call('HDEL', KEYS[4], token)
    if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('DEL', KEYS[4]) end
  end
  local fence = clock[1] * 1000000 + clock[2]
  fence = math.max(fence, tonumber(redis.call('GET', KEYS[2]) or 0) + 1)
  id = string.format('%.0f', fence)
  -- Also where there is nothing to delete: the first write must take no memory.
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 's', 'R', 'i', id, 't', token)
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('SET', KEYS[2], id, 'PX', 86400000)
  return {'L', id}
end

local left = 0
if owner then
  left = redis.call('PTTL', KEYS[1])
  if left < 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    left = tonumber(ARGV[2])
  end
end
if ARGV[5] == 'try' then return {'B', left} end
-- The first write must take no memory: a full server refuses one that does, but not to a script that has written.
redis.call('HDEL', KEYS[4], token)
if not redis.call('ZSCORE', KEYS[3], token) then
  redis.call('ZADD', KEYS[3], redis.call('HINCRBY', KEYS[4], '#', 1), token)
end
redis.call('HSET', KEYS[4], token, string.format('%.0f %s', now + ARGV[4], ARGV[3]))
-- The queue outlives every heartbeat in it, and nothing outlives the queue.
local keep = math.max(tonumber(ARGV[2]), 2 * tonumber(ARGV[4]), left)
redis.call('PEXPIRE', KEYS[3], keep)
redis.call('PEXPIRE', KEYS[4], keep)
return {'Q', left, redis.call('ZRANK', KEYS[3], token)}
