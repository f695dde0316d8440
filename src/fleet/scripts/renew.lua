-- Prolong many records in one call. Compare, then PEXPIRE, never SET: it cannot bring a record back.
-- KEYS  records    ARGV  for each of them: token, ttl in ms
-- Returns  for each of them 1, or 0 where the record is not this token's any more
if #KEYS == 0 then return 0 end -- only to be known by its hash
local renewed = {}
for n, key in ipairs(KEYS) do
  -- pcall: a key that holds something else is one lease lost, and not all that are renewed with it.
  if redis.pcall('HGET', key, 't') == ARGV[2 * n - 1] then
    renewed[n] = redis.call('PEXPIRE', key, ARGV[2 * n])
  else
    renewed[n] = 0
  end
end
return renewed
