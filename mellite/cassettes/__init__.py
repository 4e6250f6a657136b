"""Recorded traffic: text cassettes and HTTP cassettes, replaying and matching them; no vendor, no thunk."""

from __future__ import annotations

from .scripted import ScriptedTransport

__all__ = ["ScriptedTransport"]
