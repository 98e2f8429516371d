-- Write events of the owner, and what it records beside them for a later owner. ARGV: id, epoch, seq of the first
-- event, position of the first record, how many events, then of each: its JSON, and its mark where it is model output
-- (see worker.replay; else ''); then the records. What is there already is skipped: a call may come twice when its
-- answer was lost. Returns 1 done, 0 not the owner (any more), or {last seq in the log, last record} when there
-- would be a gap.
local id, epoch, first, first_record, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local inv = inv_key(id)
local f = redis.call('HMGET', inv, 'state', 'epoch', 'seq', 'first_output_at', 'records', 'cut_at', 'gaps')
if f[1] ~= 'running' or f[2] ~= epoch then return 0 end
local last, recorded = tonumber(f[3]), tonumber(f[5] or 0)
if first > last + 1 or first_record > recorded + 1 then return {last, recorded} end
local time = text(now())
for i = math.max(first, last + 1), first + count - 1 do
  local at = 6 + 2 * (i - first)
  put(id, i, ARGV[at], ARGV[at + 1])
end
for i = 6 + 2 * count + math.max(0, recorded + 1 - first_record), #ARGV do
  recorded = recorded + 1
  redis.call('XADD', records_key(id), recorded .. '-0', 'r', ARGV[i])
end
redis.call('HSET', inv, 'seq', math.max(last, first + count - 1), 'records', recorded)
if count == 0 then return 1 end
redis.call('HSET', inv, 'outputs', first + count - 1, 'last_output_at', time)
if not f[4] then redis.call('HSET', inv, 'first_output_at', time) end
if f[6] then
  local gap = text(tonumber(time) - tonumber(f[6]))
  redis.call('HSET', inv, 'gaps', (f[7] and f[7] .. ' ' or '') .. epoch .. '=' .. gap)
  redis.call('HDEL', inv, 'cut_at')
end
return 1
