"""Transports for other people's HTTP clients, which ask a cassette; each needs its own client installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .aiohttp import AiohttpConnector as AiohttpConnector
    from .before_send import botocore as botocore
    from .httpx import AsyncHttpxTransport as AsyncHttpxTransport, HttpxTransport as HttpxTransport
    from .httpx2 import AsyncHttpx2Transport as AsyncHttpx2Transport, Httpx2Transport as Httpx2Transport
    from .requests import RequestsAdapter as RequestsAdapter
else:
    from ...values.lazily import attach

    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            ".aiohttp": "AiohttpConnector",
            ".before_send": "botocore",
            ".httpx": "AsyncHttpxTransport HttpxTransport",
            ".httpx2": "AsyncHttpx2Transport Httpx2Transport",
            ".requests": "RequestsAdapter",
        },
    )
