"""Addresses and names that `ultraedit serve` takes."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from ultraedit.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")


def check_name(name: str) -> str:
    """What a model may be called in requests.  Raises ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f'"{name}" cannot be the model\'s name; give --name one of letters, digits, ".", "_", "-" and "/" '
            '("@" stands before a version).'
        )
    return name


def check_origin(origin: str) -> str:
    """A web page's origin.  Raises ConfigError for "*", which would let every page call the server."""
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
        raise ConfigError(
            f'"{origin}" is not the origin of a web page; give --allow-origin one like https://chat.example.org.'
        )
    return origin


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_of(host: str, port: int) -> str:
    """The server's address as it is put into a browser."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"
