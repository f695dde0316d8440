-- Try every command of the other scripts, on keys and a channel that nobody else uses. Leaves nothing behind.
-- KEYS  1 a hash   2 a sorted set   3 a string    ARGV  1 a channel
-- Returns  for each command that was refused: its name, and the server's words
local tried = {
  {'DEL', KEYS[1], KEYS[2], KEYS[3]}, {'TIME'},
  {'HSET', KEYS[1], 'a', '1'}, {'HGET', KEYS[1], 'a'}, {'HMGET', KEYS[1], 'a'}, {'HGETALL', KEYS[1]},
  {'HINCRBY', KEYS[1], 'a', 1}, {'HDEL', KEYS[1], 'a'},
  {'SET', KEYS[3], '1', 'PX', 1000}, {'GET', KEYS[3]}, {'EXISTS', KEYS[3]}, {'PTTL', KEYS[3]}, {'PEXPIRE', KEYS[3], 1000},
  {'ZADD', KEYS[2], 1, 'a'}, {'ZRANGE', KEYS[2], 0, 0}, {'ZRANK', KEYS[2], 'a'}, {'ZSCORE', KEYS[2], 'a'},
  {'ZREM', KEYS[2], 'a'}, {'PUBLISH', ARGV[1], ''},
  {'DEL', KEYS[1], KEYS[2], KEYS[3]},
}
local refused = {}
for n, command in ipairs(tried) do
  local answer = redis.pcall(unpack(command))
  if type(answer) == 'table' and answer.err and n < #tried then
    refused[#refused + 1] = command[1]
    refused[#refused + 1] = answer.err
  end
end
return refused
