-- Return what became of an invocation, and nothing of what it put out. ARGV: id, then record fields.
-- Returns {their values, JSON of its statuses}.
local id = ARGV[1]
local found = {}
for _, entry in ipairs(redis.call('XRANGE', log_key(id), '-', '+')) do
  if entry[2][2]:find('"type":"status"', 1, true) then found[#found + 1] = entry[2][2] end
end
return {redis.call('HMGET', inv_key(id), unpack(ARGV, 2)), found}
