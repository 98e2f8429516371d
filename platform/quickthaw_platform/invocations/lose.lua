-- The owner of an invocation is gone. Whoever is about to take it over owns it now; else it is queued again, unless it
-- may not be run again (it is not resumable, and was begun), or was lost so many times in a row while it ran, without anything new in between. ARGV: id, epoch, reason, most losses in a row, then event and error of a loss
-- that ends it, those of one loss too many, 0 where it was never run by who is gone, and 1 where the owner's instance
-- is gone as well: nothing more is leased to that, though its record may outlive this call.
-- Returns 'requeued' | 'moved' | 'failed' | 'stale'.
local id, epoch, time = ARGV[1], ARGV[2], now()
local inv = inv_key(id)
local f = redis.call('HMGET', inv, 'state', 'epoch', 'outputs', 'records', 'resumable', 'losses', 'lost_at',
  'moving_to', 'offered', 'instance')
local owned = f[1] == 'assigned' or f[1] == 'running'
if owned and f[8] and epoch == f[9] then  -- it was to be taken over by what is gone
  end_move(id, f[8], ARGV[3], time)
  return 'stale'
end
if not owned or f[2] ~= epoch then return 'stale' end
local instance = ARGV[10] == '1' and read_instance(f[10])
if instance then drain(instance) end
local began = f[1] == 'running' and ARGV[9] ~= '0'  -- what nobody had begun to run has done and killed nothing
if f[5] == '0' and (f[3] or began) then
  close(id, 'failed', ARGV[5], {'error', ARGV[6]}, time)
  return 'failed'
end
local progress = (f[3] or '') .. '/' .. (f[4] or '')
if began then
  local losses = progress == f[7] and tonumber(f[6]) + 1 or 1
  if losses >= tonumber(ARGV[4]) then
    close(id, 'failed', ARGV[7], {'error', ARGV[8]}, time)
    return 'failed'
  end
  redis.call('HSET', inv, 'losses', losses, 'lost_at', progress)
end
if f[8] and keeps_slot(id, f[8]) then
  local due = redis.call('ZSCORE', MOVES_KEY, id)
  hand_over(id, time)
  redis.call('ZADD', MOVES_KEY, due, id)  -- its node may never have been told: see moves.lua
  return 'moved'
end
requeue(id, ARGV[3], time)
return 'requeued'
