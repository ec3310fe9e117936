"""How Envoy's statistics get Consul's labels: ``stats_config.stats_tags`` of the bootstrap."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

_CURRENT: Final = ("consul.destination.", "consul.upstream.")


def stats_tags(
    *,
    user_tags: Sequence[str],
    cluster: str,
    service: str,
    namespace: str,
    partition: str,
    datacenter: str,
    omit_deprecated: bool,
) -> list[dict[str, Any]]:
    """The registration's own tags, then Consul's rules, then the labels of this proxy.

    *user_tags* are ``name=value`` or ``name`` (value ``1``); one of them suppresses Consul's of the
    same name. Labels without a value are left out.
    """
    own = [_user_tag(text) for text in user_tags]
    taken = {tag["tag_name"] for tag in own}
    rules = [dict(rule) for rule in _rules() if not (omit_deprecated and _is_deprecated(rule["tag_name"]))]
    fixed = {
        "local_cluster": cluster,
        "consul.source.service": service,
        "consul.source.namespace": namespace or "default",
        "consul.source.partition": partition or "default",
        "consul.source.datacenter": datacenter,
    }
    labels = [{"tag_name": name, "fixed_value": value} for name, value in fixed.items() if value]
    return own + [tag for tag in [*rules, *labels] if tag["tag_name"] not in taken]


def _user_tag(text: str) -> dict[str, Any]:
    name, separator, value = text.partition("=")
    return {"tag_name": name.lower(), "fixed_value": value if separator else "1"}


def _is_deprecated(name: str) -> bool:
    """Consul 1.9 put ``destination`` or ``upstream`` into the names."""
    return not name.startswith(_CURRENT)


def stats_tags_v2(*, user_tags: Sequence[str], cluster: str) -> list[dict[str, Any]]:
    """Those of Consul 1.8: its rules, the registration's own tags, the label ``local_cluster``."""
    own = [_user_tag(text) for text in user_tags]
    taken = {tag["tag_name"] for tag in own}
    rules = [dict(rule) for rule in _rules("stats_tags_v2.json") if rule["tag_name"] not in taken]
    label = {"tag_name": "local_cluster", "fixed_value": cluster}
    return [*rules, *own, *([label] if label["tag_name"] not in taken else [])]


@cache
def _rules(name: str = "stats_tags.json") -> tuple[dict[str, str], ...]:
    """Consul's expressions in Consul's order: capture 1 is cut out of the name, capture 2 is the value."""
    return tuple(json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8")))
