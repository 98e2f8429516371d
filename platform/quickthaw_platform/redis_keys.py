"""Every key of ours in Redis: `qt:TYPE`, or `qt:TYPE:NAME` where there is one for each name.

The type stands first and is written here; a name stands last. So no name, whatever it holds, makes a key of one type
read as one of another. The scripts have the same keys in invocations/prelude.lua.
"""

from __future__ import annotations

from enum import StrEnum


class RedisKey(StrEnum):
    """What a key holds. A member is the key itself where there is one, and `of` makes the key of a name."""

    FUNCTIONS = "qt:functions"  # set: names
    FUNCTION = "qt:function"  # hash of a function's name: its record
    FUNCTION_VERSIONS = "qt:function.versions"  # list of a name: ids, in order of first deploy
    FUNCTION_SECRETS = "qt:function.secrets"  # hash of a name: variable to sealed value
    SEALING = "qt:sealing"  # text: the key that seals secrets, see registry/sealing.py
    FUNCTION_LIVE = "qt:function.live"  # set of a name: invocations that have not ended
    FUNCTION_CALLS = "qt:function.calls"  # list of a name: when the last calls came
    FUNCTION_GAPS = "qt:function.gaps"  # list of a name: seconds without a call, before a call
    FUNCTION_IDLE_SINCE = "qt:function.idle_since"  # text of a name
    FUNCTION_LEARNT = "qt:function.learnt"  # hash of a name: averages, see router/learnt.py
    LOGS = "qt:logs"  # stream of a function's name: log lines

    VERSION = "qt:version"  # text of an id: its record
    VERSION_INSTANCES = "qt:version.instances"  # set of an id
    VERSION_QUEUE = "qt:version.queue"  # sorted set of an id: invocations by their place
    VERSION_OPEN = "qt:version.open"  # sorted set of an id: instances by free slots
    VERSION_FAIR = "qt:version.fair"  # hash of an id: see admit.lua
    VERSION_SERVED = "qt:version.served"  # hash of an id: see prelude.lua
    VERSION_WAITS = "qt:version.waits"  # hash of an id: why its queue waits
    VERSION_FAILURE = "qt:version.failure"  # text of an id: why its last start failed
    VERSION_DECISIONS = "qt:version.decisions"  # stream of an id: what the router decided
    VERSION_SAMPLES = "qt:version.samples"  # list of an id: its concurrency

    INVOCATION = "qt:inv"  # hash of an id: its record
    INVOCATION_LOG = "qt:inv.log"  # stream of an id: its events
    INVOCATION_RECORDS = "qt:inv.records"  # stream of an id: what a model said to its handler
    IDEMPOTENCY = "qt:idempotency"  # hash of API key, function and Idempotency-Key: the invocation
    ACTIVE = "qt:active"
    DEADLINES = "qt:deadlines"
    MOVES = "qt:moves"
    QUEUES = "qt:queues"
    WEBHOOKS = "qt:webhooks"
    WEBHOOKS_ATTEMPTS = "qt:webhooks.attempts"  # hash: invocation to deliveries tried
    STORED = "qt:stored"  # hash of a stored object's id
    STORED_BY_OWNER = "qt:stored.by_owner"  # sorted set of kind and API key: ids by when they were made

    NODES = "qt:nodes"  # set: ids
    NODE = "qt:node"  # hash of an id: its record
    NODE_CALLS = "qt:node.calls"  # list of an id: invocations that have a slot there and are to be taken up
    NODE_INSTANCES = "qt:node.instances"  # set of an id
    INSTANCES = "qt:instances"  # set: ids
    INSTANCE = "qt:instance"  # hash of an id: its record
    INSTANCE_LEASES = "qt:instance.leases"  # hash of an id: invocation to epoch

    CHECKPOINTS = "qt:checkpoints"  # hash: name to description
    RESULTS = "qt:results"  # hash of a checkpoint's id: what validations measured
    REMOTE = "qt:remote"  # set of a remote tier's URL: ids of checkpoints

    KEYS = "qt:keys"  # set: ids of API keys
    KEY = "qt:key"  # hash of an id: its record and digest
    KEY_OPEN = "qt:key.open"  # set of an id: invocations whose tokens are not charged yet
    HELD = "qt:held"  # hash of an API key: bytes of the store that its calls take, by when they go; see held.lua
    QUOTA = "qt:quota"  # the library `limits` keeps its counts behind it

    USAGE = "qt:usage"  # hash of an hour: see metering/usage/store.py
    USAGE_ROLLED = "qt:usage.rolled"  # hash of an hour
    USAGE_HOURS = "qt:usage.hours"
    USAGE_UNROLLED = "qt:usage.unrolled"
    MIGRATION_LEARNT = "qt:migration.learnt"
    ROUTER_ACCURACY = "qt:router.accuracy"

    CONTROLLER_LOCK = "qt:controller.lock"  # text of a round's name
    CONTROLLER_WATCH = "qt:controller.watch"
    CONTROLLER_HEARD = "qt:controller.heard"
    CONTROLLER_WANTED = "qt:controller.wanted"  # hash of a version's id: starts ahead, see controller/wanted.py
    REDBEAT = "qt:redbeat"  # RedBeat keeps its schedule behind it
    READY = "qt:ready"  # what readiness writes to see whether it can
    DOCTOR = "qt:doctor"  # what `quickthaw doctor` writes to see whether it can

    def of(self, *names: object) -> str:
        """Return the key of a name, or of several; all but the last must be free of colons."""
        return ":".join((self.value, *map(str, names)))
