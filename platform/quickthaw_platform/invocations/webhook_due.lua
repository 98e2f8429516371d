-- Return 1 where the webhook of an ended invocation is due to be sent, else 0.
local first = redis.call('ZRANGE', WEBHOOKS_KEY, 0, 0, 'WITHSCORES')
return first[2] and tonumber(first[2]) <= now() and 1 or 0
