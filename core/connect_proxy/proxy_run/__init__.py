"""One run: resolve the registration, render, launch, supervise."""

from connect_proxy.proxy_run.request import RunRequest
from connect_proxy.proxy_run.run import run_proxy

__all__ = ["RunRequest", "run_proxy"]
