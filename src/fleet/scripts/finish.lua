-- Land a flight: end its record, and hand the outcome to whoever registered for it, and to nobody else.
-- KEYS  1 record   2 last fence given   3 the last outcome that somebody waited for
-- ARGV  1 token    2 outcome   3 linger, ms   4 largest outcome sent inline   5 reuse window, ms, or 0
--       6 'x' for an outcome too large to share: followers are told to run their own   7 the flight's id
-- Returns  {1, waiters}   landed
--          {0, fence}     the record is not this flight's any more: nothing published; the last fence given
if #KEYS == 0 then return 0 end -- only to be known by its hash
local record = redis.call('HGETALL', KEYS[1])
local owner, id, state, heir
local waiters = {}
for n = 1, #record, 2 do
  local field, value = record[n], record[n + 1]
  if field == 't' then owner = value
  elseif field == 'i' then id = value
  elseif field == 's' then state = value
  elseif field == 'h' then heir = true
  elseif string.sub(field, 1, 2) == 'n:' then waiters[#waiters + 1] = {string.sub(field, 3), value} end
end
-- The id too: a copy of a JOIN that comes late can make this token the leader of another flight, whose followers this
-- outcome may be too old for.
if state ~= 'R' or owner ~= ARGV[1] or id ~= ARGV[7] then
  return {0, string.match(redis.call('GET', KEYS[2]) or '0', '^%d+') or '0'}
end

local reuse, oversize = tonumber(ARGV[5]), ARGV[6] == 'x'
redis.call('DEL', KEYS[1])
if reuse > 0 and not oversize then
  redis.call('HSET', KEYS[1], 's', 'D', 'i', id, 'v', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], reuse)
end
local inline = #ARGV[2] <= tonumber(ARGV[4])
local wanted, owed = heir, ''
for _, waiter in ipairs(waiters) do
  local kind, inbox = string.sub(waiter[2], 1, 1), string.sub(waiter[2], 2)
  local head = waiter[1] .. ' ' .. id .. ' '
  if kind == 'w' then
    owed = ' w'
    redis.call('PUBLISH', inbox, 'a' .. head)
  elseif oversize then
    redis.call('PUBLISH', inbox, 'x' .. head)
  else
    wanted = true
    redis.call('PUBLISH', inbox, inline and ('o' .. head .. ARGV[2]) or ('n' .. head))
  end
end
if wanted and not oversize then
  -- Stored even when it was sent: a message may be lost, and the follower's poll must find it. An heir's is stored for
  -- the followers of the flights before it, who come within moments of each other: longer than a moment.
  redis.call('HSET', KEYS[3], 'i', id, 'v', ARGV[2])
  redis.call('PEXPIRE', KEYS[3], math.max(tonumber(ARGV[3]), heir and 1000 or 0))
end
-- Those who only waited for the end wait for the next outcome, and nobody else waits for one any more.
if heir or #waiters > 0 then redis.call('SET', KEYS[2], id .. owed, 'PX', 86400000) end
return {1, #waiters}
