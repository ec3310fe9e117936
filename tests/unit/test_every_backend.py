"""The contract that every backend of ours keeps; strangers run the same class on theirs."""

from connect_proxy.plugin_api import ProxyContext
from connect_proxy.testing import examples
from connect_proxy.testing.backend_contract import BackendContract


class TestBuiltin(BackendContract):
    backend = "builtin"


class TestCustomExec(BackendContract):
    backend = "custom_exec"

    def context(self) -> ProxyContext:
        return examples.context(self.load(), passthrough=("/bin/sh", "-c", "true"))
