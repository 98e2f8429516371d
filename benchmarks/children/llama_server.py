"""Child process: `llama_server.py GGUF PORT THREADS SETTINGS` runs llama.cpp's server until it is ended.

SETTINGS is a JSON object of the server's own parameters, by the names that `xllamacpp.CommonParams` gives them; what it
leaves out keeps its default, but for a context of 2,048 tokens.
"""

import json
import signal
import sys

import xllamacpp

gguf, port, threads, settings = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path = gguf
params.port = int(port)
params.n_ctx = 2048
params.cpuparams.n_threads = int(threads)
params.cpuparams_batch.n_threads = int(threads)
for name, value in json.loads(settings).items():
    setattr(params, name, value)
server = xllamacpp.Server(params)
signal.pause()
