"""Defaults that several places share, without any heavy import."""

from __future__ import annotations

MICRO_BATCH = 64
"""Prompts run together through the top blocks, at most."""
