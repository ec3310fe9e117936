"""Two services talk over mutual TLS on this machine: the whole of connect-proxy in one minute.

    python docs/demo/run.py [--backend builtin|envoy|custom_exec] [--seconds N]

Starts an embedded agent, a service ``web`` and its client ``api``, a sidecar for each; sends
requests; shows who proved to be whom; refuses and allows; stops everything. Each step prints the
command that does the same by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import fields
from types import FrameType

from agent_api import Agent, AgentRefusedError
from backends import BACKENDS, HERE, sidecar_words
from mesh import (
    Intention,
    Ports,
    decision_on,
    identity_behind,
    refusal_without_certificate,
    register,
)
from stage import DemoError, Stage, answers

PROGRAM = [sys.executable, "-m", "connect_proxy"]
SIDECARS = ("web", "api")
READY_S = 30


class Demo:
    """The steps, in order. Each leaves what the next one needs."""

    def __init__(self, stage: Stage, backend: str, seconds: float) -> None:
        self.stage = stage
        self.backend = backend
        self.seconds = seconds
        self.steps = 0
        # Nothing that the caller has set for a Consul of his own may lead there.
        self.environment = {
            name: text for name, text in os.environ.items() if not name.startswith(("CONSUL_", "CONNECT_"))
        }
        names = [field.name for field in fields(Ports)]
        self.ports = Ports(**dict(zip(names, stage.free_ports(len(names)), strict=True)))
        self.agent: Agent
        self.caller = ""
        """The identity that api's sidecar proved."""

    def play(self) -> None:
        """All of it. Raises DemoError where something is not as it should be."""
        self.start_agent()
        self.start_web()
        self.start_sidecars()
        self.send_request()
        self.show_identities()
        self.measure()
        intention = Intention(self.agent)
        self.deny(intention)
        self.allow(intention)

    def start_agent(self) -> None:
        """The embedded agent, on ports that are free."""
        words = [*PROGRAM, "agent", "-dev", "-http-port", "0", "-grpc-port", "0", "-dns-port", "-1"]
        self.step("Start an agent: catalog, certificate authority, intentions", words)
        output = self.stage.start("agent", [*words, "-format", "json"], self.environment)
        self.stage.wait_for("the agent's ports", lambda: output.read_bytes().endswith(b"\n"))
        http = json.loads(output.read_text().splitlines()[0])["http_addr"]
        host, _, port = http.removeprefix("http://").rpartition(":")
        self.agent = Agent(host=host, port=int(port))
        self.environment["CONSUL_HTTP_ADDR"] = self.agent.address
        roots = self.agent.call("GET", "/v1/agent/connect/ca/roots").value
        self.show(["export", f"CONSUL_HTTP_ADDR={self.agent.address}"])
        self.say(f"its certificate authority stands for the trust domain {roots['TrustDomain']}")

    def start_web(self) -> None:
        """The application, and what Consul is told of both services."""
        web = [sys.executable, str(HERE / "web.py"), str(self.ports.web)]
        self.step("Start the service 'web' and register it and its client 'api'", web)
        self.stage.start("web", web, self.environment)
        self.stage.wait_for("web to listen", lambda: answers(self.ports.web))
        register(self.agent, self.ports)
        witness = [sys.executable, str(HERE / "witness.py"), str(self.ports.witness)]
        self.stage.start("witness", witness, self.environment)
        self.say(f"web is plain HTTP on 127.0.0.1:{self.ports.web}; it knows nothing of the mesh")
        self.say(f"api will find web on its own 127.0.0.1:{self.ports.api_to_web}")
        self.say("a third service, 'witness', tells its callers who they proved to be")

    def start_sidecars(self) -> None:
        """One for each service, and wait until both can do their work."""
        commands = {service: self.sidecar(service) for service in SIDECARS}
        self.step(f"Start a sidecar for each, with the backend '{self.backend}'")
        start = time.monotonic()
        for service, words in commands.items():
            self.show(words)
            self.stage.start(f"{service}'s sidecar", words, self.environment)
        for service in SIDECARS:
            words = ["wait", "-proxy-id", f"{service}-sidecar-proxy", "-timeout", f"{READY_S}s"]
            self.show([*PROGRAM, *words])
            self.run_to_end(*words)
        self.stage.wait_for("api to reach web", lambda: self.call_web().returncode == 0)
        self.say(f"both are ready after {time.monotonic() - start:.1f} s")

    def send_request(self) -> None:
        """One request of the client application."""
        self.step(
            "api calls web through both sidecars", ["curl", f"http://127.0.0.1:{self.ports.api_to_web}/"]
        )
        answer = self.call_web()
        if answer.returncode != 0:
            raise DemoError(answer.stderr)
        self.say(f"answer: {answer.stdout.strip()}")

    def show_identities(self) -> None:
        """What each side proved in a TLS handshake, seen from the other end of it."""
        self.step("Who proved to be whom (read from the certificates of real handshakes)")
        server = identity_behind(self.agent, self.ports.web_sidecar, caller="api")
        self.say(f"web's sidecar proved to be  {server}")
        self.caller = self.client(self.ports.api_to_witness).stdout.strip()
        self.say(f"api's sidecar proved to be  {self.caller}")
        for service, identity in (("web", server), ("api", self.caller)):
            if not identity.startswith("spiffe://") or not identity.endswith(f"/svc/{service}"):
                message = f"{service}'s sidecar proved to be {identity!r}"
                raise DemoError(message)
        refusal = refusal_without_certificate(self.ports.web_sidecar)
        if not refusal:
            message = "web's sidecar let in a caller without a certificate"
            raise DemoError(message)
        self.say(f"a caller without a certificate is refused: {refusal}")

    def measure(self) -> None:
        """Latency and throughput with the sidecars, and without for comparison."""
        self.step("Latency and throughput, as a small Python client sees them")
        for name, port in (
            ("through both sidecars", self.ports.api_to_web),
            ("without sidecars", self.ports.web),
        ):
            result = self.client(port, "--measure", str(self.seconds))
            if result.returncode != 0:
                raise DemoError(result.stderr)
            seen = json.loads(result.stdout)
            self.say(
                f"{name:<22} p50 {seen['p50_ms']:.2f} ms  p99 {seen['p99_ms']:.2f} ms  "
                f"{seen['requests_per_s']:,.0f} requests/s  {seen['mib_per_s']:,.0f} MiB/s"
            )

    def deny(self, intention: Intention) -> None:
        """An intention says no."""
        self.step("Deny: api may not call web any more", intention.set("deny"))
        took = self.stage.wait_for("the refusal", lambda: self.call_web().returncode != 0)
        refusal = self.call_web()
        if refusal.returncode == 0:
            message = "web answered although the intention denies it"
            raise DemoError(message)
        self.say(f"Consul tells web's sidecar  {decision_on(self.agent, self.caller)}")
        self.say(f"refused after {took:.2f} s: {refusal.stderr.strip()}")

    def allow(self, intention: Intention) -> None:
        """The same intention says yes again."""
        self.step("Allow: api may call web again", intention.set("allow"))
        took = self.stage.wait_for("the recovery", lambda: self.call_web().returncode == 0)
        self.say(f"Consul tells web's sidecar  {decision_on(self.agent, self.caller)}")
        self.say(f"recovered after {took:.2f} s: {self.call_web().stdout.strip()}")

    # ------------------------------------------------------------ telling and doing

    def step(self, title: str, command: list[str] | None = None) -> None:
        """The next step's title and the command that does it by hand."""
        self.steps += 1
        print(f"\n{self.steps}. {title}", flush=True)
        if command:
            self.show(command)

    def show(self, command: list[str]) -> None:
        """A command, as the reader would type it."""
        if command[: len(PROGRAM)] == PROGRAM:
            command = ["connect-proxy", *command[len(PROGRAM) :]]
        words = ["python" if word == sys.executable else _from_here(word) for word in command]
        print(f"   $ {shlex.join(words)}", flush=True)

    def say(self, text: str) -> None:
        """What has been seen."""
        print(f"   {text}", flush=True)

    def sidecar(self, service: str) -> list[str]:
        """The command that runs the sidecar of *service*."""
        return sidecar_words(self.backend, PROGRAM, service, lambda: self.stage.free_ports(1)[0])

    def call_web(self) -> subprocess.CompletedProcess[str]:
        """One request of api to web."""
        return self.client(self.ports.api_to_web)

    def client(self, *words: int | str) -> subprocess.CompletedProcess[str]:
        """Run the client application ``api``."""
        command = [sys.executable, str(HERE / "api.py"), *map(str, words)]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )

    def run_to_end(self, *words: str) -> None:
        """Run a connect-proxy command that ends by itself. Raises DemoError with its words."""
        done = subprocess.run(
            [*PROGRAM, *words], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            message = f"connect-proxy {shlex.join(words)}: exit code {done.returncode}\n{done.stderr}"
            raise DemoError(message)


def _from_here(word: str) -> str:
    """A path below the current folder without that folder."""
    return word.removeprefix(f"{os.getcwd()}{os.sep}")


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """0 if everything was seen, 1 if not, 130 when interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backend", default="builtin", choices=BACKENDS)
    parser.add_argument("--seconds", default=3.0, type=float, help="how long to measure")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupted)
    began = time.monotonic()
    stage = Stage()
    try:
        with stage:
            try:
                Demo(stage, arguments.backend, arguments.seconds).play()
            except (DemoError, AgentRefusedError, OSError, subprocess.SubprocessError) as failure:
                print(f"\nfailed: {failure}\n{stage.last_words()}", file=sys.stderr)
                return 1
            print("\nStop everything", flush=True)
    except KeyboardInterrupt:
        print("\ninterrupted: everything is stopped", file=sys.stderr)
        return 130
    left = stage.left_behind()
    print(f"   left behind: {', '.join(left) or 'nothing'}")
    print(f"   {time.monotonic() - began:.0f} s in all")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
