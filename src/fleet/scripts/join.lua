-- Board the fleet's flight for one key: lead it, or follow the one in the air. Also the poll of a follower.
-- KEYS  1 record   2 last fence given   3 the last outcome that somebody waited for
-- ARGV  1 token    2 ttl, ms   3 inbox
--       4 the first flight whose stored outcome will do, or 0 for none: a follower may have any outcome from the
--         flight it follows on, because every later flight started during its call
--       5 'any', 'fresh' (follow nobody yet), or an id: follow only flights after it
-- Returns  {'L', id}           this token leads
--          {'F', id, pttl}     registered: the outcome will be sent to the inbox
--          {'W', id, pttl}     registered, but this flight is too old to follow: its end will be told
--          {'O', id, outcome}  the stored outcome of flight `id`
--          {'D', id, outcome}  a flight that ended within the reuse window
-- The last fence given is followed by ' w' while callers wait for a flight that has given no outcome. Whoever leads next
-- is the heir: its record says so ('h'), and its outcome is stored for them, even if none of them has asked again by then.
if #KEYS == 0 then return 0 end -- only to be known by its hash
local first = tonumber(ARGV[4])
if first > 0 then
  local stored = redis.call('HGET', KEYS[3], 'i')
  if stored and tonumber(stored) >= first then return {'O', stored, redis.call('HGET', KEYS[3], 'v')} end
end
local after = 0
if ARGV[5] == 'fresh' then after = math.huge elseif ARGV[5] ~= 'any' then after = tonumber(ARGV[5]) end

local record = redis.call('HMGET', KEYS[1], 's', 'i', 't', 'v')
local state, id, owner = record[1], record[2], record[3]
if state == 'R' then
  -- A JOIN sent twice, because its reply was lost, must find itself the leader and not its own follower.
  if owner == ARGV[1] then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return {'L', id}
  end
  local left = redis.call('PTTL', KEYS[1])
  -- Somebody took the expiry away: without one a dead leader would be followed for ever.
  if left < 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    left = tonumber(ARGV[2])
  end
  local young = tonumber(id) > after
  -- The first write must take no memory: a full server refuses one that does, but not to a script that has written.
  local registered = redis.call('HDEL', KEYS[1], 'n:' .. ARGV[1]) == 1
  redis.call('HSET', KEYS[1], 'n:' .. ARGV[1], (young and 'f' or 'w') .. ARGV[3])
  if not registered then redis.call('SET', KEYS[2], id .. ' w', 'PX', 86400000) end
  return {young and 'F' or 'W', id, left}
end
if state == 'D' and tonumber(id) > after then return {'D', id, record[4]} end

-- The server's clock floors the fence: a counter alone repeats itself after a failover that lost a write.
local last, waited = string.match(redis.call('GET', KEYS[2]) or '0', '^(%d+)(.*)$')
local now = redis.call('TIME')
local fence = now[1] * 1000000 + now[2]
fence = math.max(fence, tonumber(last or 0) + 1, tonumber(id or 0) + 1)
id = string.format('%.0f', fence)
local heir = first > 0 or waited == ' w'
-- Also where there is nothing to delete: the first write again.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 's', 'R', 'i', id, 't', ARGV[1])
if heir then redis.call('HSET', KEYS[1], 'h', '1') end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], id .. (heir and ' w' or ''), 'PX', 86400000)
return {'L', id}
