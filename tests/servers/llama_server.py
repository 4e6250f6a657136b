"""llama.cpp's server as a program: `python -m tests.servers.llama_server MODEL.gguf PORT`."""

from __future__ import annotations

import signal
import sys

import xllamacpp


def main(model: str, port: str) -> None:
    """Serve one model until a signal comes."""
    asked = xllamacpp.CommonParams()
    asked.model.path = model
    asked.model_alias = {"tiny"}
    asked.hostnames = ["127.0.0.1"]
    asked.port = int(port)
    asked.n_ctx = 4 * 768
    asked.n_parallel = 4
    asked.n_gpu_layers = 0
    asked.use_jinja = True
    asked.warmup = False
    server = xllamacpp.Server(asked)
    print("listening at", server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main(*sys.argv[1:])
