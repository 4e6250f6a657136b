"""Start the servers of others on loopback, each in its own process, and stop them again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

KEY = "sk-servers-of-others-0123456789"
"""The key that the proxy is started with; the others take any."""

READY = 180.0
"""Seconds that a server may take until it answers."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextlib.contextmanager
def started(
    command: Sequence[str], *, url: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server while the block runs, and give its process id when it answers at this URL, in whatever words."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        try:
            wait_until_ready(process, url, log)
            yield process.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Return when the server answers; raise with the end of its log if it ends or takes too long."""
    give_up = time.monotonic() + READY
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > give_up:
            said = log.read_text(errors="replace")[-2000:]
            msg = f"no answer at {url}; the server said:\n{said}"
            raise RuntimeError(msg)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.3)  # until it ends, or it is time to ask again


@contextlib.contextmanager
def llama_cpp(model: Path, logs: Path) -> Iterator[str]:
    """llama.cpp's own server, out of the wheel xllamacpp."""
    port = free_port()
    command = [sys.executable, "-m", "tests.servers.llama_server", str(model / "model.gguf"), str(port)]
    with started(command, url=f"http://127.0.0.1:{port}/health", log=logs / "llama.log"):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def transformers(model: Path, logs: Path) -> Iterator[str]:
    """`transformers serve`, pinned to one model."""
    port = free_port()
    command = [
        str(Path(sys.executable).parent / "transformers"), "serve", str(model),
        "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32",
    ]  # fmt: skip
    offline = {"HF_HUB_OFFLINE": "1"}
    with started(command, url=f"http://127.0.0.1:{port}/health", log=logs / "transformers.log", environment=offline):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def litellm(program: str, models: Mapping[str, tuple[str, str]], logs: Path) -> Iterator[str]:
    """The LiteLLM proxy in front of other servers: name -> (its model, its base URL)."""
    port = free_port()
    rows = [
        {"model_name": name, "litellm_params": {"model": model, "api_base": base, "api_key": "none"}}
        for name, (model, base) in models.items()
    ]
    config = logs / "litellm.yaml"
    settings = {"model_list": rows, "general_settings": {"master_key": KEY}}
    config.write_text(json.dumps(settings))  # JSON is YAML
    command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"}
    with started(
        command, url=f"http://127.0.0.1:{port}/health/liveliness", log=logs / "litellm.log", environment=quiet
    ):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def aimock(program: str, answers: Sequence[Mapping[str, object]], logs: Path) -> Iterator[str]:
    """The mock of many providers from the npm registry, with fixed answers."""
    port = free_port()
    fixtures = logs / "aimock.json"
    fixtures.write_text(json.dumps({"fixtures": list(answers)}))
    command = [program, "-p", str(port), "--host", "127.0.0.1", "-f", str(fixtures)]
    with started(command, url=f"http://127.0.0.1:{port}/health", log=logs / "aimock.log"):
        yield f"http://127.0.0.1:{port}"
