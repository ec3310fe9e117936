"""Ids as Consul's state store insists on them."""

import re

_LENGTH = 36
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def check_uuid(text: str) -> str:
    """What is wrong with *text* as a UUID, in Consul's words; empty if nothing."""
    if len(text) != _LENGTH:
        return f"UUID must be {_LENGTH} characters"
    if not _UUID.fullmatch(text):
        return f'Invalid UUID: "{text}"'
    return ""
