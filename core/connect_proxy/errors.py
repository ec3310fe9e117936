"""Every exception that is raised on purpose.

The class says whose fault it is and carries the exit code of the program (``exit_code``):
0 ok, 1 failure, 2 usage, 3 configuration invalid, 4 a needed program is missing, 5 not ready in
time, 6 refused for good (ACL, version). A message is: what failed, the value in quotes, what to do.
"""

from collections.abc import Sequence


class ConnectProxyError(Exception):
    """Root of all. Its text is shown to the user as it is, without a traceback."""

    exit_code = 1


# ---------------------------------------------------------------- the user's words


class UsageError(ConnectProxyError):
    """The command line is wrong: unknown flag, missing or contradicting options."""

    exit_code = 2


class ConfigurationError(ConnectProxyError):
    """A setting, a file or a certificate is wrong. Names the setting and where it came from."""

    exit_code = 3


class MalformedValueError(ConfigurationError):
    """A text is no value of its type. Says what is accepted; who reads a setting adds whose value it is."""


class MalformedDocumentError(ConfigurationError):
    """A text is no HCL or JSON. ``line`` and ``column`` are from 1; who reads a file adds its name."""

    def __init__(self, message: str, *, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class AgentConfigurationError(ConfigurationError):
    """The agent's files are wrong. ``problems`` holds every one found, each as ``FILE:LINE: …``."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class MissingProgramError(ConnectProxyError):
    """A program that has to be started is not on this machine."""

    exit_code = 4


class MissingDependencyError(MissingProgramError):
    """A Python package of an extra is not installed. Names the ``pip install`` line."""


class PassingError(ConnectProxyError):
    """The machine lacks something at this moment: descriptors, memory, disk space. The same may succeed
    later, so what is supervised tries again."""


class NotReadyError(ConnectProxyError):
    """Something was waited for and did not come in time."""

    exit_code = 5


class RefusedError(ConnectProxyError):
    """Refused for good: trying again without a change cannot help."""

    exit_code = 6


class PortInUseError(ConnectProxyError):
    """An address that a listener needs is taken."""


# ---------------------------------------------------------------- the Consul agent


class ConsulError(ConnectProxyError):
    """The Consul agent could not do what it was asked."""


class AgentUnreachableError(ConsulError):
    """No connection to the agent, or it ended or timed out before an answer."""


class AgentAnswerError(ConsulError):
    """The agent answered with something that is not what its API promises.

    ``status`` is the HTTP status, 0 where the answer was not HTTP at all or its body was malformed.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NoLeaderError(AgentAnswerError):
    """The agent has no cluster leader at the moment: worth trying again."""


class NotFoundError(AgentAnswerError):
    """The agent knows no such id (HTTP 404)."""


class PermissionDeniedError(ConsulError, RefusedError):
    """The ACL token lacks a permission (HTTP 403 "Permission denied"). Names the missing rule."""

    exit_code = 6


class UnknownTokenError(ConsulError, RefusedError):
    """The ACL token is unknown to Consul, deleted or expired (HTTP 403 "ACL not found")."""

    exit_code = 6


# ---------------------------------------------------------------- the proxy's registration


class RegistrationError(ConnectProxyError):
    """The proxy to run cannot be told from what is registered at the agent."""


class RegistrationMissingError(RegistrationError):
    """No such proxy is registered (yet): waiting for it can help."""


class RegistrationAmbiguousError(RegistrationError):
    """Several proxies are registered for the service; ``proxy_ids`` holds all of them, sorted."""

    def __init__(self, message: str, *, proxy_ids: Sequence[str]) -> None:
        super().__init__(message)
        self.proxy_ids = tuple(proxy_ids)


class WrongKindError(RegistrationError):
    """The registration is there but is no sidecar proxy."""


# ---------------------------------------------------------------- the mesh


class PeerRefusedError(ConnectProxyError):
    """A peer's certificate carries no identity that is accepted. ``reason`` is a word for counting."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


# ---------------------------------------------------------------- backends


class UnknownBackendError(UsageError):
    """No installed backend has this name. Names the known ones."""


class BackendLoadError(ConnectProxyError):
    """An installed backend cannot be used: import fails, wrong hooks, name taken twice."""


class BackendError(ConnectProxyError):
    """A hook of the chosen backend failed. ``backend`` and ``hook`` say whose and where."""

    def __init__(self, backend: str, hook: str, cause: BaseException) -> None:
        super().__init__(f"backend {backend!r} failed in {hook}: {type(cause).__name__}: {cause}")
        self.backend = backend
        self.hook = hook


class ProxyControlError(ConnectProxyError):
    """A running proxy's control interface does not answer, or refuses what it is asked."""


class ApiError(ConnectProxyError):
    """The embedded agent refuses an HTTP request. ``status`` and the text are the answer.

    The text is Consul's own wherever Consul has one, since clients match on it.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class TransitionError(ConnectProxyError):
    """A state machine was given an event that its table has no arc for: a defect of ours."""


# ---------------------------------------------------------------- managed proxies


class DataDirectoryLockedError(ConnectProxyError):
    """Another agent works in this data directory. Names its pid."""


class DataDirectoryError(PassingError):
    """A file of the data directory cannot be read or written. Names it, the reason and the owner."""


class UnknownProxyError(UsageError):
    """No managed proxy has this id. Names the known ones."""


class PortsExhaustedError(ConnectProxyError):
    """No free port is left in a range of ``ports``. Names the range and the proxy."""


class ProxyTokenRefusedError(RefusedError):
    """No ACL token can be made for a managed proxy: the agent's own token may not. Names the rule."""


class AgentNotRunningError(ConnectProxyError):
    """No agent answers on the control socket of this data directory."""


class ControlError(ConnectProxyError):
    """The running agent refused or failed. Carries the exit code that its error has."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
