-- Give up a flight without an outcome, or a lease: delete the record if it is this token's, and wake who waits.
-- KEYS  1 record   and for a lease: 2 queue   3 heartbeats
-- ARGV  1 token
-- Returns  1, or 0 where the record is not this token's (any more)
if #KEYS == 0 then return 0 end -- only to be known by its hash
local token = ARGV[1]
local released = 0
local record = redis.call('HGETALL', KEYS[1])
local owner, id = nil, '0'
for n = 1, #record, 2 do
  if record[n] == 't' then owner = record[n + 1] elseif record[n] == 'i' then id = record[n + 1] end
end
if owner == token then
  released = 1
  redis.call('DEL', KEYS[1])
  for n = 1, #record, 2 do
    if string.sub(record[n], 1, 2) == 'n:' then
      redis.call('PUBLISH', string.sub(record[n + 1], 2), 'a' .. string.sub(record[n], 3) .. ' ' .. id .. ' ')
    end
  end
else
  -- A follower that leaves: nobody needs to send it anything.
  redis.call('HDEL', KEYS[1], 'n:' .. token)
end
if #KEYS == 1 then return released end

-- Mostly nobody queues.
if redis.call('EXISTS', KEYS[2]) == 0 then return released end
redis.call('ZREM', KEYS[2], token)
redis.call('HDEL', KEYS[3], token)
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[3])
  return released
end
if released == 0 and #record > 0 then return 0 end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
while true do
  local head = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if not head then
    redis.call('DEL', KEYS[3])
    break
  end
  local beat = redis.call('HGET', KEYS[3], head)
  local alive, inbox = string.match(beat or '', '^(%d+) (.*)$')
  if alive and tonumber(alive) >= now then
    redis.call('PUBLISH', inbox, 'a' .. head .. ' ' .. id .. ' ')
    break
  end
  redis.call('ZREM', KEYS[2], head)
  redis.call('HDEL', KEYS[3], head)
end
return released
