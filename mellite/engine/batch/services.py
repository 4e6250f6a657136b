"""The batch services of providers: how a file of lines becomes a batch, how far it is, and where its results are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias, cast, final
from urllib.parse import quote, urlsplit

import anyio
from attrs import field, frozen

from ...values.errors import BatchFailed, InvalidProviderOutput
from ...values.provider_json import JsonObject
from .lines import Format
from .sending import Answered, Sender

__all__ = ["Draft", "Look", "Noted", "Service", "State", "service_of"]

#: How far a batch is: "ended" in any way there is.
State: TypeAlias = Literal["running", "completed", "expired", "cancelled", "failed"]

#: Takes note of the id of a file, as soon as it is uploaded.
Noted: TypeAlias = Callable[[str], None]

_JSON: Final = {"content-type": "application/json"}


@frozen
class Look:
    """The progress of a batch, as its service tells it.

    Args:
        state: what has become of it.
        succeeded: how many requests were answered, as far as the service says.
        failed: how many were not.
        results: the URLs of its results.
        message: why it failed.
        wait: how long the service asks to wait before it is asked again, in seconds.
    """

    state: State
    succeeded: int = field(default=0, kw_only=True)
    failed: int = field(default=0, kw_only=True)
    results: Sequence[str] = field(default=(), kw_only=True)
    message: str | None = field(default=None, kw_only=True)
    wait: float | None = field(default=None, kw_only=True)


@frozen(kw_only=True)
class Draft:
    """A batch that is to be made.

    Args:
        name: what it is called, here and nowhere else.
        lines: gives its requests.
        headers: further headers.
        file: the provider's id of the file, if it is uploaded already.
        noted: told the id of the file, as soon as it is uploaded.
    """

    name: str
    lines: Callable[[], bytes]
    headers: Mapping[str, str]
    file: str | None
    noted: Noted


class Service(Protocol):
    """The batch service of a provider."""

    async def create(self, draft: Draft) -> str:
        """Make a batch, and return its id."""
        ...

    async def find(self, draft: Draft) -> str | None:
        """Return the id of a batch that may have been made; None if it was not."""
        ...

    async def look(self, id: str) -> Look:
        """Return how far a batch is."""
        ...

    async def cancel(self, id: str) -> None:
        """Have a batch cancelled."""
        ...


@final
class _Files:
    """The service of OpenAI, of those with an API like it, of Azure and Mistral: files of lines, and a batch for each.

    Args:
        base: the base URL, as in ``https://api.openai.com/v1``.
        path: what each request is sent to, as in ``/v1/responses``.
        model: the model, for Mistral's jobs.
        is_azure: whether it is Azure's, which refuses a batch of a file that it has not read yet.
    """

    def __init__(self, sender: Sender, base: str, path: str, model: str | None, *, is_azure: bool) -> None:
        self._sender = sender
        self._base = base
        self._path = path
        self._model = model
        self._is_azure = is_azure

    @property
    def _batches(self) -> str:
        return f"{self._base}/batches" if self._model is None else f"{self._base}/batch/jobs"

    async def create(self, draft: Draft) -> str:
        file = draft.file
        if file is None:
            file = _text(await self._upload(draft.lines(), draft.name), "id")
            draft.noted(file)
        if self._is_azure:
            await self._wait_until_read(file)
        path = self._path.removeprefix("/v1") if self._is_azure else self._path
        asked: JsonObject = {"endpoint": path, "metadata": {"mellite": draft.name}}
        if self._model is None:
            asked |= {"input_file_id": file, "completion_window": "24h"}
        else:
            asked |= {"input_files": [file], "model": self._model}
        body = json.dumps(asked).encode()
        return _text(
            await self._sender.ask("POST", self._batches, body=body, headers={**_JSON, **draft.headers}, repeats=False),
            "id",
        )

    async def _upload(self, lines: bytes, name: str) -> Answered:
        mark = os.urandom(16).hex()
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}.jsonl"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        )
        body = head.encode() + lines + f"\r\n--{mark}--\r\n".encode()
        headers = {"content-type": f"multipart/form-data; boundary={mark}"}
        return await self._sender.ask("POST", f"{self._base}/files", body=body, headers=headers)

    async def _wait_until_read(self, file: str) -> None:
        """Wait until the service has read a file: https://github.com/openai/openai-dotnet/issues/312.

        Raises:
            BatchFailed: if it cannot, or takes very long.
        """
        state, interval = "pending", _SOON
        told: JsonObject = {}
        with anyio.move_on_after(_READING):
            while True:
                answered = await self._sender.ask("GET", f"{self._base}/files/{quote(file, safe='')}")
                told = answered.json()
                state = str(told.get("status")).lower()
                if state not in _UNREAD:
                    break
                await anyio.sleep(interval if answered.wait is None else answered.wait)
                interval = min(_SELDOM, interval * 2)
        if state in _UNREAD:
            msg = f"the service has not read the file {file} of a batch in {_READING / 60:.0f} minutes; ask again"
            raise BatchFailed(msg, code="failed", retryable=True)
        if state in _UNREADABLE:
            msg = f"the service cannot read the file {file} of a batch: {told.get('status_details') or state}"
            raise BatchFailed(msg, code="failed")

    async def find(self, draft: Draft) -> str | None:
        file = draft.file
        if file is None:
            return None
        answer = (await self._sender.ask("GET", self._batches)).json()
        for each in _objects(answer.get("data")):
            files = each.get("input_files")
            if each.get("input_file_id") == file or (isinstance(files, list) and file in files):
                return cast("str | None", each.get("id"))
        return None

    async def look(self, id: str) -> Look:
        answered = await self._sender.ask("GET", f"{self._batches}/{quote(id, safe='')}")
        told = answered.json()
        counts = told.get("request_counts") if self._model is None else told
        counts = counts if isinstance(counts, dict) else {}
        names = ("output_file_id", "error_file_id") if self._model is None else ("output_file", "error_file")
        files = [found for name in names if isinstance(found := told.get(name), str) and found]
        return Look(
            _FILE_STATES.get(str(told.get("status")).lower(), "running"),
            succeeded=_count(counts, "completed" if self._model is None else "succeeded_requests"),
            failed=_count(counts, "failed" if self._model is None else "failed_requests"),
            results=[f"{self._base}/files/{quote(each, safe='')}/content" for each in files],
            message=_reasons(told.get("errors")),
            wait=answered.wait,
        )

    async def cancel(self, id: str) -> None:
        await self._sender.ask("POST", f"{self._batches}/{quote(id, safe='')}/cancel")


#: The states of a file that Azure has not read yet, and of one that it cannot read.
_UNREAD: Final = frozenset({"pending", "running", "notrunning", "uploaded"})
_UNREADABLE: Final = frozenset({"error", "failed", "deleted", "deleting"})

#: How often to look at it, in seconds: at first, and at most; and for how long in all.
_SOON: Final = 1.0
_SELDOM: Final = 15.0
_READING: Final = 900.0

_FILE_STATES: Final[Mapping[str, State]] = {
    "completed": "completed",
    "success": "completed",
    "failed": "failed",
    "expired": "expired",
    "timeout_exceeded": "expired",
    "cancelled": "cancelled",
}


def _reasons(errors: object) -> str | None:
    """Return why a batch failed, in the service's words."""
    listed = errors.get("data") if isinstance(errors, dict) else errors
    said = [str(each.get("message")) for each in _objects(listed) if each.get("message")]
    return "; ".join(said[:3]) or None


@final
class _Messages:
    """Anthropic's service: all requests in one JSON value.

    Args:
        url: the URL of the Messages API.
    """

    def __init__(self, sender: Sender, url: str) -> None:
        self._sender = sender
        self._url = f"{url}/batches"

    async def create(self, draft: Draft) -> str:
        body = b'{"requests":[' + draft.lines().strip().replace(b"\n", b",") + b"]}"
        return _text(
            await self._sender.ask("POST", self._url, body=body, headers={**_JSON, **draft.headers}, repeats=False),
            "id",
        )

    async def find(self, draft: Draft) -> str | None:  # noqa: ARG002 - its batches have no names to find them by
        return None

    async def look(self, id: str) -> Look:
        url = f"{self._url}/{quote(id, safe='')}"
        answered = await self._sender.ask("GET", url)
        told = answered.json()
        found = told.get("request_counts")
        counts = found if isinstance(found, dict) else {}
        has_ended = told.get("processing_status") == "ended"
        return Look(
            "completed" if has_ended else "running",  # what was cancelled or expired, each line tells
            succeeded=_count(counts, "succeeded"),
            failed=sum(_count(counts, name) for name in ("errored", "expired", "canceled")),
            results=[f"{url}/results"] if has_ended and told.get("results_url") else (),
            wait=answered.wait,
        )

    async def cancel(self, id: str) -> None:
        await self._sender.ask("POST", f"{self._url}/{quote(id, safe='')}/cancel")


@final
class _Operations:
    """Google's service: files of lines, and a long-running operation for each.

    Args:
        base: the base URL with the version, as in ``https://generativelanguage.googleapis.com/v1beta``.
        model: the model's path, as in ``models/gemini-2.5-flash``.
    """

    def __init__(self, sender: Sender, base: str, model: str) -> None:
        self._sender = sender
        self._base = base
        self._model = model

    async def create(self, draft: Draft) -> str:
        file = draft.file
        if file is None:
            file = await self._upload(draft.lines(), draft.name)
            draft.noted(file)
        body = json.dumps({"batch": {"displayName": draft.name, "inputConfig": {"fileName": file}}}).encode()
        url = f"{self._base}/{self._model}:batchGenerateContent"
        return _text(
            await self._sender.ask("POST", url, body=body, headers={**_JSON, **draft.headers}, repeats=False), "name"
        )

    async def _upload(self, lines: bytes, name: str) -> str:
        parts = urlsplit(self._base)
        origin = f"{parts.scheme}://{parts.netloc}"
        start = {
            **_JSON,
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(len(lines)),
            "x-goog-upload-header-content-type": "application/jsonl",
        }
        about = json.dumps({"file": {"displayName": name}}).encode()
        begun = await self._sender.ask("POST", f"{origin}/upload{parts.path}/files", body=about, headers=start)
        url = begun.headers.get("x-goog-upload-url", "")
        if urlsplit(url).netloc != parts.netloc:
            msg = "the service named no place of its own to upload a file to"
            raise InvalidProviderOutput(msg)
        rest = {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0"}
        made = (await self._sender.ask("POST", url, body=lines, headers=rest, keyless=True)).json()
        found = made.get("file")
        file = found.get("name") if isinstance(found, dict) else None
        if not isinstance(file, str):
            msg = "the service has taken a file, and did not say what it is called"
            raise InvalidProviderOutput(msg)
        return file

    async def find(self, draft: Draft) -> str | None:
        answer = (await self._sender.ask("GET", f"{self._base}/batches?pageSize=100")).json() if draft.file else {}
        for each in _objects(answer.get("operations")):
            about = each.get("metadata")
            if isinstance(about, dict) and about.get("displayName") == draft.name:
                return cast("str | None", each.get("name"))
        return None

    async def look(self, id: str) -> Look:
        answered = await self._sender.ask("GET", f"{self._base}/{_checked_name(id)}")
        told = answered.json()
        about = cast("Mapping[str, Any]", found) if isinstance(found := told.get("metadata"), dict) else {}
        stats = found if isinstance(found := about.get("batchStats"), dict) else {}
        output = told.get("response") or about.get("output")
        file = output.get("responsesFile") if isinstance(output, dict) else None
        error = told.get("error")
        state = str(about.get("state", "")).rpartition("STATE_")[2].lower()
        return Look(
            _OPERATION_STATES.get(state, "failed" if error else "running"),
            succeeded=_count(stats, "successfulRequestCount"),
            failed=_count(stats, "failedRequestCount"),
            results=[f"{self._base}/{_checked_name(file)}:download?alt=media"] if isinstance(file, str) else (),
            message=str(error.get("message")) if isinstance(error, dict) else None,
            wait=answered.wait,
        )

    async def cancel(self, id: str) -> None:
        await self._sender.ask("POST", f"{self._base}/{_checked_name(id)}:cancel")


_OPERATION_STATES: Final[Mapping[str, State]] = {
    "succeeded": "completed",
    "partially_succeeded": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "expired": "expired",
}


def service_of(format: Format, sender: Sender, *, url: str, base: str, path: str, model: str) -> Service:
    """Return the service of a provider.

    Args:
        format: how it writes its lines.
        sender: asks it.
        url: the URL of the call without a batch.
        base: the base URL.
        path: the path of the call, as it stands in lines.
        model: the model.
    """
    if format == "anthropic":
        return _Messages(sender, url)
    if format == "gemini":
        return _Operations(sender, base, model)
    return _Files(sender, base, path, model if format == "mistral" else None, is_azure=format == "azure")


def _text(answered: Answered, name: str) -> str:
    """Return a text in an answer.

    Raises:
        InvalidProviderOutput: if it is not there.
    """
    found = answered.json().get(name)
    if not isinstance(found, str) or not found:
        msg = f"the batch service gave an answer without {name!r}"
        raise InvalidProviderOutput(msg)
    return found


def _checked_name(name: str) -> str:
    """Return the name of a resource, as a path that leads nowhere else."""
    return "/".join([quote(each, safe="") for each in name.split("/")])


def _count(counts: Mapping[str, Any], name: str) -> int:
    try:
        return int(counts.get(name) or 0)
    except (TypeError, ValueError):
        return 0


def _objects(value: object) -> list[JsonObject]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
