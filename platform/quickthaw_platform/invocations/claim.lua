-- Fill an instance's free slots from its version's queue. ARGV: instance. Returns assignments.
return fill(ARGV[1], math.huge, now())
