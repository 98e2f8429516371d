"""Stands for the process of an import that comes to no good end: by the signal whose number the source is."""

from __future__ import annotations

import json
import os
import signal
import sys

order = json.load(sys.stdin)
print(json.dumps({"stage": "read", "done": 0, "total": os.getpid()}), flush=True)
if order["source"] == "waits":
    signal.pause()
elif order["source"].isdigit():
    os.kill(os.getpid(), int(order["source"]))
sys.exit(3)
