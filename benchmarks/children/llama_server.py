"""Child process: `llama_server.py GGUF PORT THREADS TUNED` runs llama.cpp's server until it is ended.

TUNED 0 is its defaults; 1 leaves out what costs time at a start and one short request does not need: fitting
parameters to the memory, and the warm-up run.
"""

import signal
import sys

import xllamacpp

gguf, port, threads, tuned = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path = gguf
params.port = int(port)
params.n_ctx = 2048
params.cpuparams.n_threads = int(threads)
params.cpuparams_batch.n_threads = int(threads)
if int(tuned):
    params.fit_params = False
    params.warmup = False
server = xllamacpp.Server(params)
signal.pause()
