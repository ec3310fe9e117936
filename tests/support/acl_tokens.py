"""ACL tokens of a real Consul for a test."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from support.consul_api import ConsulApi


@dataclass(frozen=True, kw_only=True)
class AclToken:
    """``secret`` is what a client shows, ``accessor`` what an administrator deletes it by."""

    secret: str
    accessor: str


def make_token(api: ConsulApi, rules: str) -> AclToken:
    """A token with one policy of these *rules* (HCL)."""
    name = f"test-{uuid.uuid4().hex}"
    policy = api.put("/v1/acl/policy", {"Name": name, "Rules": rules})
    assert policy.status == 200, policy.text
    token = api.put("/v1/acl/token", {"Policies": [{"Name": name}]})
    assert token.status == 200, token.text
    return AclToken(secret=token.json["SecretID"], accessor=token.json["AccessorID"])


def delete_token(api: ConsulApi, token: AclToken) -> None:
    answer = api.delete(f"/v1/acl/token/{token.accessor}")
    assert answer.status == 200, answer.text
