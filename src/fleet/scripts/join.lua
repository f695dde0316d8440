-- Board the fleet's flight for one key: lead it, or follow the one in the air. Also the poll of a follower.
-- KEYS  1 record   2 last fence given   3 outcome of the flight followed so far
-- ARGV  1 token    2 ttl, ms   3 inbox   4 id of the flight followed so far, or 0
--       5 'any', 'fresh' (follow nobody yet), or an id: follow only flights after it
-- Returns  {'L', id}           this token leads
--          {'F', id, pttl}     registered: the outcome will be sent to the inbox
--          {'W', id, pttl}     registered, but this flight is too old to follow: its end will be told
--          {'O', id, outcome}  the flight followed so far has ended: its outcome
--          {'D', id, outcome}  a flight that ended within the reuse window
if #KEYS == 0 then return 0 end -- only to be known by its hash
local followed = ARGV[4]
if followed ~= '0' then
  local outcome = redis.call('GET', KEYS[3])
  if outcome then return {'O', followed, outcome} end
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
  redis.call('HSET', KEYS[1], 'n:' .. ARGV[1], (young and 'f' or 'w') .. ARGV[3])
  return {young and 'F' or 'W', id, left}
end
if state == 'D' and tonumber(id) > after then return {'D', id, record[4]} end

-- The server's clock floors the fence: a counter alone repeats itself after a failover that lost a write.
local now = redis.call('TIME')
local fence = now[1] * 1000000 + now[2]
fence = math.max(fence, tonumber(redis.call('GET', KEYS[2]) or 0) + 1, tonumber(id or 0) + 1)
id = string.format('%.0f', fence)
-- Also where there is nothing to delete: a server that is full refuses what takes memory, but not to a script that has
-- written before, and this may be the first of its writes.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 's', 'R', 'i', id, 't', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], id, 'PX', 86400000)
return {'L', id}
