-- Fill an instance's free slots from its version's queue. ARGV: instance. Returns assignments.
local instance, time = read_instance(ARGV[1]), now()
local leased = fill(instance, math.huge, time)
settle(instance, time)
return leased
