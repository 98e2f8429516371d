-- Write events of owners, and what they record beside them for a later owner. ARGV holds the appends one after the
-- other; of each, how many arguments follow, then: id, epoch, seq of the first event, position of the first record,
-- how many events, then of each its JSON, and its mark where it is model output (see worker.replay; else ''); then, where
-- the invocation ends with it, its state, its terminal event and how many fields of the record follow, and these; else '';
-- then the records. What is there already is skipped: a call may come twice when its answer was lost. Returns of each 1
-- done, 0 not the owner (any more), {last seq in the log, last record} when there would be a gap, or, where it ended,
-- {'ended', next assignment or false}.
local moment = now()
local time = text(moment)

-- Make the append whose arguments are ARGV[from] to ARGV[to].
local function append(from, to)
  local id, epoch, first, first_record = ARGV[from], ARGV[from + 1], tonumber(ARGV[from + 2]), tonumber(ARGV[from + 3])
  local count = tonumber(ARGV[from + 4])
  local inv = inv_key(id)
  local f = redis.call('HMGET', inv, 'state', 'epoch', 'seq', 'first_output_at', 'records', 'cut_at', 'gaps')
  local ending = from + 5 + 2 * count
  local state, event = ARGV[ending], ARGV[ending + 1]
  if ENDED[f[1]] and f[1] == state and f[2] == epoch then return {'ended', false} end
  if f[1] ~= 'running' or f[2] ~= epoch then return 0 end
  local last, recorded = tonumber(f[3]), tonumber(f[5] or 0)
  if first > last + 1 or first_record > recorded + 1 then return {last, recorded} end
  for i = math.max(first, last + 1), first + count - 1 do
    local at = from + 5 + 2 * (i - first)
    put(id, i, ARGV[at], ARGV[at + 1])
  end
  local fields = state ~= '' and {unpack(ARGV, ending + 3, ending + 2 + tonumber(ARGV[ending + 2]))}
  local records = ending + 1 + (fields and #fields + 2 or 0)
  for i = records + math.max(0, recorded + 1 - first_record), to do
    recorded = recorded + 1
    redis.call('XADD', records_key(id), recorded .. '-0', 'r', ARGV[i])
  end
  local changed = {'seq', math.max(last, first + count - 1), 'records', recorded}
  if count > 0 then
    for _, field in ipairs({'outputs', first + count - 1, 'last_output_at', time}) do changed[#changed + 1] = field end
    if not f[4] then
      changed[#changed + 1] = 'first_output_at'
      changed[#changed + 1] = time
    end
  end
  redis.call('HSET', inv, unpack(changed))
  if count > 0 and f[6] then
    local gap = text(tonumber(time) - tonumber(f[6]))
    redis.call('HSET', inv, 'gaps', (f[7] and f[7] .. ' ' or '') .. epoch .. '=' .. gap)
    redis.call('HDEL', inv, 'cut_at')
  end
  return fields and {'ended', close(id, state, event, fields, moment)} or 1
end

local answers, at = {}, 1
while at <= #ARGV do
  local to = at + tonumber(ARGV[at])
  answers[#answers + 1] = append(at + 1, to)
  at = to + 1
end
return answers
