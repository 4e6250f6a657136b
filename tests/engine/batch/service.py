"""Batch services of four kinds in a process of their own: files, batches, results, errors, expiry, broken downloads.

``python -m tests.engine.batch.service LOG --looks 2 --break-at 2500`` prints its port. A prompt says what becomes of
it: one with "refuse" or "overflow" is refused, one with "expire" expires, one with "lost" has no line in the results.
All others are answered with the prompt read backwards, the last one first. A batch has ended when it was looked at so
many times; one that was cancelled ends at once, with half of its answers. The first download of each file breaks off
at so many bytes; with a number below 0, the first request to each path is answered with 429. Anthropic's gives no parts
of files.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[3]


#: So often a batch with "outage" in a prompt cannot be looked at: more often than a call is tried again.
OUTAGE = 8

#: So often Azure is asked for a file until it has read it.
UNREAD = 2


class Services:
    """What all connections know."""

    def __init__(self, log: Path, looks: int, break_at: int, *, tells: bool) -> None:
        self.log, self.looks, self.break_at, self.tells = log, looks, break_at, tells
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict] = {}
        self.broken: set[str] = set()
        self.reads: dict[str, int] = {}
        self.is_busy = break_at < 0
        self.met: set[str] = set()

    def keep(self, data: bytes, name: str | None = None) -> str:
        """Keep a file; return what it is called."""
        name = name or f"file-{len(self.files) + 1}"
        self.files[name] = data
        return name

    def batch(self, kind: str, lines: list[dict], **facts: object) -> dict:
        """Begin a batch."""
        made = {"id": f"batch_{len(self.batches) + 1}", "kind": kind, "lines": lines, "looks": 0, **facts}
        self.batches[made["id"]] = made
        return made

    def look(self, batch: dict) -> None:
        """Look at a batch, which may end by that."""
        batch["looks"] += 1
        if "ended" not in batch and (batch["looks"] >= self.looks or batch.get("cancelled")):
            batch["ended"] = True
            if "invalid" in json.dumps(batch["lines"]):
                batch["failed"] = "line 1 is invalid"
                return
            own = {"anthropic": anthropic_results, "gemini": gemini_results}
            written = own.get(batch["kind"], openai_results)(batch)
            for name, lines in written.items():
                if lines:
                    batch[name] = self.keep(
                        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
                    )


def prompt_of(body: dict) -> str:
    """The prompt of a request of any kind."""
    found = re.findall(r'"(?:text|content|input)": "([^"]*)"', json.dumps(body, ensure_ascii=False))
    return found[-1]


def becomes(batch: dict, lines: list[dict], body: str) -> Iterator[tuple[dict, str, str]]:
    """What becomes of each request, the last one first."""
    half = len(lines) // 2
    for place, line in reversed(list(enumerate(lines))):
        prompt = prompt_of(line[body])
        kind = next((word for word in ("refuse", "overflow", "expire", "lost") if word in prompt), "answer")
        if batch.get("cancelled") and place >= half:
            kind = "cancel"
        if kind != "lost":
            yield line, prompt, kind


def openai_results(batch: dict) -> dict[str, list[dict]]:
    """Lines of results as OpenAI and Mistral write them."""
    good: list[dict] = []
    bad: list[dict] = []
    for line, prompt, kind in becomes(batch, batch["lines"], "body"):
        about = {"id": f"batch_req_{prompt}", "custom_id": line["custom_id"]}
        if kind == "answer":
            is_chat = batch["endpoint"].endswith("/chat/completions")
            body = (chat_answer if is_chat else responses_answer)(prompt, line["body"].get("model") or batch["model"])
            good.append(
                {**about, "response": {"status_code": 200, "request_id": f"r-{prompt}", "body": body}, "error": None}
            )
        elif kind in ("refuse", "overflow"):
            response = {"status_code": 400, "request_id": "r", "body": chat_refusal(prompt)}
            bad.append({**about, "response": response, "error": None})
        else:
            error = {"code": "batch_expired" if kind == "expire" else "batch_cancelled", "message": "too late"}
            bad.append({**about, "response": None, "error": error})
    return {"output": good, "errors": bad}


def openai_state(batch: dict) -> str:
    """How far a batch is, in OpenAI's words."""
    if "ended" not in batch:
        return "in_progress"
    return "cancelled" if batch.get("cancelled") else "failed" if "failed" in batch else "completed"


def chat_refusal(prompt: str) -> dict:
    """Why Chat Completions gives no answer."""
    code = "context_length_exceeded" if "overflow" in prompt else None
    error = {"message": f"no answer to {prompt}", "type": "invalid_request_error", "code": code, "param": None}
    return {"error": error}


def chat_answer(prompt: str, model: str) -> dict:
    """An answer of Chat Completions; one to a prompt with "long" is cut off."""
    finish = "length" if "long" in prompt else "stop"
    choice = {"index": 0, "message": {"role": "assistant", "content": prompt[::-1]}, "finish_reason": finish}
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    return {
        "id": f"c-{prompt}",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [choice],
        "usage": usage,
    }


def responses_answer(prompt: str, model: str) -> dict:
    """An answer of Responses."""
    part = {"type": "output_text", "text": prompt[::-1], "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 500,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1500,
    }
    return {
        "id": f"resp_{prompt}",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": model,
        "output": [message],
        "usage": usage,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def message_answer(prompt: str, model: str, tier: str) -> dict:
    """An answer of Messages."""
    return {
        "id": f"msg_{prompt}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": prompt[::-1]}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1000, "output_tokens": 500, "service_tier": tier},
    }


def anthropic_results(batch: dict) -> dict[str, list[dict]]:
    """Lines of results as Anthropic writes them."""
    lines = []
    for line, prompt, kind in becomes(batch, batch["lines"], "params"):
        if kind == "answer":
            result = {"type": "succeeded", "message": message_answer(prompt, line["params"]["model"], "batch")}
        elif kind == "refuse":
            reason = {"type": "invalid_request_error", "message": f"no answer to {prompt}"}
            result = {"type": "errored", "error": {"type": "error", "error": reason, "request_id": "req_1"}}
        else:
            result = {"type": "expired" if kind == "expire" else "canceled"}
        lines.append({"custom_id": line["custom_id"], "result": result})
    return {"output": lines}


def gemini_results(batch: dict) -> dict[str, list[dict]]:
    """Lines of results as Google writes them."""
    lines = []
    for line, prompt, kind in becomes(batch, batch["lines"], "request"):
        if kind == "answer":
            candidate = {
                "content": {"role": "model", "parts": [{"text": prompt[::-1]}]},
                "finishReason": "STOP",
                "index": 0,
            }
            usage = {"promptTokenCount": 1000, "candidatesTokenCount": 500, "totalTokenCount": 1500}
            told = {"response": {"candidates": [candidate], "usageMetadata": usage, "modelVersion": batch["model"]}}
        else:
            codes = {"refuse": 3, "expire": 4, "cancel": 1}
            told = {"error": {"code": codes[kind], "message": f"no answer to {prompt}"}}
        lines.append({"key": line["key"], **told})
    return {"output": lines}


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    services: Services

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer."""
        self.serve(b"")

    def do_POST(self) -> None:
        """Answer."""
        self.serve(self.rfile.read(int(self.headers.get("content-length", 0))))

    def serve(self, data: bytes) -> None:
        """Answer a request by its path, and note it."""
        path = urlsplit(self.path).path
        with self.services.log.open("a") as log:
            told = {name: self.headers.get(name) for name in ("authorization", "api-key", "x-goog-api-key", "range")}
            log.write(json.dumps([self.command, path, told]) + "\n")
        if self.services.tells:
            sys.stdout.write(f"{path}\n")
            sys.stdout.flush()
        keys = ("authorization", "api-key", "x-goog-api-key", "x-goog-upload-offset")
        if not any(self.headers.get(name) for name in keys):
            return self.give({"error": {"message": "no key", "type": "authentication_error"}}, status=401)
        if self.services.is_busy and path not in self.services.met:
            self.services.met.add(path)
            return self.give({"error": {"message": "busy", "type": "rate_limit_error"}}, status=429)
        root = "google" if path.startswith(("/v1beta/", "/upload/")) else path.split("/")[1]
        own = {"a": "anthropic", "google": "google"}
        return getattr(self, own.get(root, "openai"))(path, data)

    def give(self, value: object, status: int = 200, **headers: str) -> None:
        """Answer with JSON."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"content-type": "application/json", "retry-after": "0.02", **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def download(self, name: str) -> None:
        """Give a file, from where the client wants it; the first time only a part."""
        data = self.services.files[name]
        takes_ranges = not self.path.startswith("/a/")
        found = re.match(r"bytes=(\d+)-", self.headers.get("range", "")) if takes_ranges else None
        begin = int(found[1]) if found else 0
        self.send_response(206 if found else 200)
        self.send_header("content-length", str(len(data) - begin))
        self.end_headers()
        at = self.services.break_at
        if at > 0 and name not in self.services.broken:
            self.services.broken.add(name)
            self.wfile.write(data[begin : begin + at])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(data[begin:])

    # OpenAI, Mistral below /mistral, and Azure below /openai

    def openai(self, path: str, data: bytes) -> None:
        """Files and batches."""
        services = self.services
        kind = {"mistral": "mistral", "openai": "azure"}.get(path.split("/")[1], "openai")
        words = path.removeprefix("/mistral").removeprefix("/openai").split("/")[2:]
        if words == ["files"]:
            content = data.split(b"application/jsonl\r\n\r\n")[1].rpartition(b"\r\n--")[0]
            assert b'name="purpose"\r\n\r\nbatch\r\n' in data
            about = {"object": "file", "purpose": "batch", "filename": "f.jsonl"}
            about["status"] = "pending" if kind == "azure" else "processed"
            return self.give({"id": services.keep(content), "bytes": len(content), "created_at": 1, **about})
        if words[0] == "files":
            return self.download(words[1]) if words[2:] == ["content"] else self.give(self.read(words[1]))
        if words == ["chat", "completions"]:
            asked = json.loads(data)
            prompt = prompt_of(asked)
            if "refuse" in prompt or "overflow" in prompt:
                return self.give(chat_refusal(prompt), status=400)
            return self.give(chat_answer(prompt, asked["model"]))
        words = words[2:] if kind == "mistral" else words[1:]
        if self.command == "POST" and not words:
            asked = json.loads(data)
            file = asked["input_files"][0] if kind == "mistral" else asked["input_file_id"]
            if kind == "azure" and services.reads.get(file, 0) < UNREAD:
                return self.give({"error": {"message": "the file is not processed", "code": "400"}}, status=400)
            lines = [json.loads(line) for line in services.files[file].splitlines()]
            made = services.batch(kind, lines, file=file, endpoint=asked["endpoint"], model=asked.get("model"))
            return self.give(self.told(made))
        if not words:
            return self.give({"data": [self.told(each) for each in services.batches.values()]})
        batch = services.batches[words[0]]
        if words[1:] == ["cancel"]:
            batch["cancelled"] = True
        else:
            services.look(batch)
        if "outage" in json.dumps(batch["lines"]) and batch["looks"] <= OUTAGE:
            return self.give({"error": {"message": "out of order", "type": "server_error"}}, status=503)
        return self.give(self.told(batch))

    def read(self, file: str) -> dict:
        """A file, as Azure tells of it: it is read when it was looked at so many times, if it can be."""
        reads = self.services.reads[file] = self.services.reads.get(file, 0) + 1
        state = "pending" if reads < UNREAD else "error" if b"unreadable" in self.services.files[file] else "processed"
        return {
            "id": file,
            "object": "file",
            "status": state,
            "status_details": "no lines" if state == "error" else None,
        }

    def told(self, batch: dict) -> dict:
        """A batch, as the service tells of it."""
        names = {"output_file_id": "output", "error_file_id": "errors"}
        count = len(batch["lines"])
        if batch["kind"] == "mistral":
            return {
                "id": batch["id"],
                "object": "batch",
                "endpoint": batch["endpoint"],
                "created_at": 1,
                "total_requests": count,
                "completed_requests": count if "ended" in batch else 0,
                "status": ("CANCELLED" if batch.get("cancelled") else "SUCCESS") if "ended" in batch else "RUNNING",
                "input_files": [batch["file"]],
                "output_file": batch.get("output"),
                "error_file": batch.get("errors"),
                "succeeded_requests": count,
                "failed_requests": 0,
                "errors": [],
            }
        state = openai_state(batch)
        if batch["kind"] == "azure":  # whose words begin with a capital, and whose file of errors is there, if empty
            state = state.capitalize()
            if "ended" in batch and not batch.get("errors"):
                batch["errors"] = self.services.keep(b"")
        return {
            "id": batch["id"],
            "object": "batch",
            "created_at": 1,
            "completion_window": "24h",
            "endpoint": batch["endpoint"],
            "status": state,
            "errors": {"object": "list", "data": [{"message": batch["failed"]}]} if "failed" in batch else None,
            "input_file_id": batch["file"],
            **{name: batch.get(kept) for name, kept in names.items()},
            "request_counts": {"total": count, "completed": count if "ended" in batch else 0, "failed": 0},
        }

    # Anthropic, below /a

    def anthropic(self, path: str, data: bytes) -> None:
        """Message batches."""
        services = self.services
        if path.endswith("/messages"):
            asked = json.loads(data)
            return self.give(message_answer(prompt_of(asked), asked["model"], "standard"))
        words = path.partition("/messages/batches")[2].strip("/").split("/")
        if words == [""]:
            batch = services.batch("anthropic", json.loads(data)["requests"])
        else:
            batch = services.batches[words[0]]
            if words[1:] == ["results"]:
                return self.download(batch["output"])
            if words[1:] == ["cancel"]:
                batch["cancelled"] = True
            else:
                services.look(batch)
        has_ended = "ended" in batch
        told = {
            "id": batch["id"],
            "type": "message_batch",
            "processing_status": "ended" if has_ended else "in_progress",
            "created_at": "2026-11-30T00:00:00Z",
            "expires_at": "2026-12-01T00:00:00Z",
            "request_counts": {
                **dict.fromkeys(("canceled", "errored", "expired", "processing"), 0),
                "succeeded": len(batch["lines"]) if has_ended else 0,
            },
            "results_url": "https://elsewhere.invalid/results" if has_ended else None,
        }
        return self.give(told)

    # Google, below /v1beta and /upload

    def google(self, path: str, data: bytes) -> None:
        """Files and operations."""
        services = self.services
        if path == "/upload/v1beta/files":
            if self.headers["x-goog-upload-command"] == "start":
                url = f"http://{self.headers['host']}/upload/v1beta/files?upload_id=1"
                return self.give({}, x_goog_upload_url=url)
            assert self.headers.get("x-goog-api-key") is None
            return self.give({"file": {"name": f"files/{services.keep(data)}"}}, x_goog_upload_status="final")
        if path.endswith(":batchGenerateContent"):
            asked = json.loads(data)["batch"]
            file = asked["inputConfig"]["fileName"].removeprefix("files/")
            lines = [json.loads(line) for line in services.files[file].splitlines()]
            model = path.rpartition("/")[2].partition(":")[0]
            batch = services.batch("gemini", lines, name=asked["displayName"], model=model)
        elif path.endswith(":download"):
            return self.download(path.rpartition("/")[2].removesuffix(":download"))
        elif path == "/v1beta/batches":
            return self.give({"operations": [self.operation(each) for each in services.batches.values()]})
        else:
            batch = services.batches[path.rpartition("/")[2].removesuffix(":cancel")]
            if path.endswith(":cancel"):
                batch["cancelled"] = True
            else:
                services.look(batch)
        return self.give(self.operation(batch))

    def operation(self, batch: dict) -> dict:
        """A batch, as the service tells of it."""
        has_ended = "ended" in batch
        state = ("CANCELLED" if batch.get("cancelled") else "SUCCEEDED") if has_ended else "RUNNING"
        stats = {"requestCount": str(len(batch["lines"])), "successfulRequestCount": str(len(batch["lines"]))}
        about = {"state": f"BATCH_STATE_{state}", "displayName": batch["name"], "batchStats": stats}
        told = {"name": f"batches/{batch['id']}", "metadata": about}
        return {**told, "done": True, "response": {"responsesFile": f"files/{batch['output']}"}} if has_ended else told


class Served:
    """Services that run.

    Attributes:
        url: where.
    """

    def __init__(self, url: str, log: Path, process: subprocess.Popen) -> None:
        self.url, self.log, self.process = url, log, process

    def seen(self, path: str = "") -> list[list]:
        """The requests so far whose path ends so: method, path, headers."""
        rows = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        return [row for row in rows if row[1].endswith(path)]

    def wait_for(self, path: str) -> None:
        """Wait until somebody asks for a path that ends so."""
        for line in self.process.stdout:
            if line.decode().strip().endswith(path):
                return
        raise AssertionError(path)


@contextmanager
def services(folder: Path, looks: int = 2, break_at: int = 0, *, tells: bool = False) -> Iterator[Served]:
    """Services for a block; those that tell can be waited for."""
    log = folder / "service.log"
    command = [sys.executable, "-m", "tests.engine.batch.service", str(log)]
    words = ["--looks", str(looks), "--break-at", str(break_at), *(["--tell"] if tells else [])]
    process = subprocess.Popen([*command, *words], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        yield Served(f"http://127.0.0.1:{int(process.stdout.readline())}", log, process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("--looks", type=int, default=2)
    parser.add_argument("--break-at", type=int, default=0)
    parser.add_argument("--tell", action="store_true")
    given = parser.parse_args()
    Handler.services = Services(given.log, given.looks, given.break_at, tells=given.tell)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
