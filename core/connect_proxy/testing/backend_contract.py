"""What every backend has to keep to. A class of tests to inherit.

.. code-block:: python

    class TestMyBackend(BackendContract):
        backend = "my_backend"

        def context(self) -> ProxyContext:      # only if the example does not suit
            return examples.context(self.load(), passthrough=("true",))
"""

from __future__ import annotations

import json

from connect_proxy.backends import Backend, load_backend
from connect_proxy.plugin_api import (
    ChildLaunch,
    ExecLaunch,
    InProcessLaunch,
    Launch,
    ProxyContext,
    ProxyProcess,
    RenderedConfig,
)
from connect_proxy.settings.fields import CORE
from connect_proxy.testing import examples


class BackendContract:
    """Inherit and set :attr:`backend`; override :meth:`context` to suit."""

    backend: str = ""

    def load(self) -> Backend:
        """The backend under test, by the door that the program uses."""
        return load_backend(self.backend)

    def context(self) -> ProxyContext:
        """What it is run with."""
        return examples.context(self.load())

    def rendered(self) -> tuple[ProxyContext, RenderedConfig]:
        """The context and what the backend renders from it."""
        context = self.context()
        return context, self.load().render_config(context)

    def launched(self) -> tuple[ProxyContext, Launch]:
        """The context and what the backend would launch."""
        context, config = self.rendered()
        return context, self.load().launch(context, config)

    def test_its_options_do_not_take_a_name_of_the_core(self) -> None:
        """One flag, one meaning."""
        taken = {row.name for row in CORE} & {row.name for row in self.load().options()}
        assert not taken

    def test_each_of_its_options_says_what_it_is_for(self) -> None:
        """``--help`` and the reference are made of it."""
        assert [row.name for row in self.load().options() if not row.help.strip()] == []

    def test_rendering_twice_gives_the_same(self) -> None:
        """``render_config`` is pure."""
        context = self.context()
        backend = self.load()
        assert backend.render_config(context) == backend.render_config(context)

    def test_a_masked_config_shows_no_token(self) -> None:
        """Whatever is secret is named in ``RenderedConfig.secrets``."""
        context, config = self.rendered()
        masked = config.masked()
        text = masked.decode() if isinstance(masked, bytes) else json.dumps(masked, default=repr)
        assert context.agent.token
        assert context.agent.token.reveal() not in text

    def test_no_token_stands_in_argv(self) -> None:
        """Every process on the host can read argv."""
        context, launch = self.launched()
        if isinstance(launch, InProcessLaunch):
            return  # it has no argv
        assert context.agent.token.reveal() not in "\0".join(launch.argv)

    def test_no_repr_shows_the_token(self) -> None:
        """Reprs end up in logs and tracebacks."""
        context, config = self.rendered()
        launch = self.load().launch(context, config)
        assert context.agent.token.reveal() not in repr((context, config, launch))

    def test_each_document_has_its_place_in_argv(self) -> None:
        """A document that no word names would never be read."""
        _, launch = self.launched()
        documents = () if isinstance(launch, InProcessLaunch) else launch.documents
        for document in documents:
            assert isinstance(launch, ExecLaunch | ChildLaunch)
            assert any(document.placeholder in word for word in launch.argv)

    def test_it_says_how_to_look_after_what_it_launches(self) -> None:
        """Time-outs are there and positive."""
        context, launch = self.launched()
        proxy = launch.proxy if isinstance(launch, InProcessLaunch) else None
        supervision = self.load().supervise(context, ProxyProcess(pid=1, proxy=proxy))
        assert supervision.stop_timeout_s > 0
        assert supervision.drain_timeout_s > 0
