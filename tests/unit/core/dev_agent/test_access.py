import pytest

from connect_proxy.dev_agent.access import READ, WRITE, OpenAccess
from connect_proxy.secret import NO_SECRET, Secret


@pytest.mark.parametrize("token", [NO_SECRET, Secret("any")])
@pytest.mark.parametrize("permission", [READ, WRITE])
def test_with_acls_off_everybody_may_do_everything(token: Secret, permission: str) -> None:
    access = OpenAccess()
    assert access.allows(token, resource="service", name="web", permission=permission)
    assert (access.enabled, access.default_allow) == (False, True)
