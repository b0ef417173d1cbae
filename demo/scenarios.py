"""Stories of keys, played before the user's eyes: Vault goes away, and a key rotates.

Requests flow through Envoy all the while. Each step prints when it happened, the state
of the keys, and how many answers were right; in the end every one must have been.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from signal import SIGCONT, SIGSTOP
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rich.console import Console

from demo.cases import API, Minter, bearer
from demo.decision_cache import KEYS as CACHE_KEYS
from demo.decision_cache import decision_cache
from demo.process import fetch_text
from demo.stack import Stack
from demo.tenants.scenario import tenants
from demo.tenants.world import stack_options
from sidecar.common.clock import wall_seconds

KEYS = {"poll_seconds": 0.5, "max_age_seconds": 6.0, "dual_key_seconds": 4.0}
"""The security model's days, shortened to seconds."""
_WAIT_SECONDS = 20.0
_PAUSE_SECONDS = 0.02


class Traffic:
    """Good and forged tokens through Envoy, without end, each answer held to what it must be."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._requests: dict[str, tuple[tuple[str, str], int]] = {}
        self.right = 0
        self.wrong: list[str] = []
        self._thread = threading.Thread(target=self._run, name="traffic")
        mint = Minter(stack.key, wall_seconds())
        self.expect("the first key", mint.good(), 200)
        self.expect("forged", mint.forged(), 401)
        self._thread.start()

    def expect(self, name: str, token: str, status: int) -> None:
        """Send this token too, from now on; its answer must have this status."""
        with self._lock:
            self._requests[name] = (bearer(token), status)

    def forget(self, name: str) -> None:
        """Send it no more."""
        with self._lock:
            del self._requests[name]

    def stop(self) -> None:
        """End the traffic."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        client = self._stack.client
        while not self._stop.is_set():
            with self._lock:
                requests = list(self._requests.items())
                for name, (header, status) in requests:
                    got = client.get(API, (header,)).status
                    if got == status:
                        self.right += 1
                    else:
                        self.wrong.append(f"{name}: {got}, not {status}")
            time.sleep(_PAUSE_SECONDS)


class Timeline:
    """Prints what happens, when, and how the answers are."""

    def __init__(self, stack: Stack, console: Console) -> None:
        self._stack = stack
        self._console = console
        self._started = time.monotonic()
        self.traffic = Traffic(stack)

    def say(self, what: str) -> None:
        """Print one line."""
        seconds = time.monotonic() - self._started
        wrong = len(self.traffic.wrong)
        answers = f"{self.traffic.right} right, {wrong} wrong"
        colour = "red" if wrong else "green"
        self._console.print(
            f"[dim]{seconds:5.1f} s[/]  keys: {self.state():9} [{colour}]{answers:22}[/]  {what}"
        )

    def state(self) -> str:
        """Return the state of the keys, as /readyz has it."""
        text = fetch_text(self._stack.admin_port, "/readyz")
        return str(json.loads(text)["keys"]) if text else "?"

    def wait_for(self, state: str) -> bool:
        """Wait until the keys are in a state."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while self.state() != state:
            if time.monotonic() > deadline:
                self.say(f"[red]the state {state} does not come[/]")
                return False
            time.sleep(_PAUSE_SECONDS)
        return True

    def end(self) -> bool:
        """Stop the traffic and say how it was."""
        self.traffic.stop()
        wrong = self.traffic.wrong
        for line in sorted(set(wrong)):
            self._console.print(f"[red]{line}[/]")
        if not wrong:
            self._console.print(f"Every one of {self.traffic.right} answers was right.")
        return not wrong


def vault_outage(stack: Stack, console: Console) -> bool:
    """Freeze Vault for longer than KEY_MAX_AGE, then let it go on."""
    console.print(
        "Vault freezes: calls to it hang. 7 days of KEY_MAX_AGE are 6 seconds here; polls every "
        "half second.\n"
    )
    line = Timeline(stack, console)
    time.sleep(1)
    line.say("all is well")
    stack.openbao.process.signal(SIGSTOP)
    line.say("Vault is frozen")
    good = line.wait_for("outage")
    line.say("one warning; requests go on with the keys in memory, rotation is blocked")
    good &= line.wait_for("degraded")
    line.say("KEY_MAX_AGE has passed: one critical alert; requests still go on")
    time.sleep(1)
    stack.openbao.process.signal(SIGCONT)
    line.say("Vault goes on")
    good &= line.wait_for("active")
    line.say("one all-clear")
    _show_alerts(stack, console)
    return line.end() and good


def rotation(stack: Stack, console: Console) -> bool:
    """Replace the signing key in Vault while requests flow."""
    console.print(
        "The signing key in Vault is replaced. A replaced key verifies for the dual-key window: "
        "4 seconds here, 15.5 minutes by default.\n"
    )
    line = Timeline(stack, console)
    time.sleep(1)
    line.say("one key")
    fresh = ec.generate_private_key(ec.SECP256R1())
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    stack.openbao.put_key(fresh.private_bytes(*form).decode())
    line.say("a new key is written to Vault")
    old_and_new = 2
    good = _wait(lambda: _keys(stack) == old_and_new)
    line.say("both keys verify")
    line.traffic.expect("the new key", Minter(fresh, wall_seconds()).good(), 200)
    time.sleep(2)
    line.say("tokens of the old and of the new key pass")
    line.traffic.forget("the first key")
    good &= _wait(lambda: _keys(stack) == 1)
    line.traffic.expect("the old key", Minter(stack.key, wall_seconds()).good(), 401)
    line.say("the window has passed: the old key verifies no more")
    time.sleep(1)
    line.say("tokens of the old key are denied")
    return line.end() and good


class Scenario(NamedTuple):
    """What is played, and what its stack differs in."""

    play: Callable[[Stack, Console], bool]
    stack: Mapping[str, Any]


SCENARIOS = {
    "decision-cache": Scenario(decision_cache, {"keys": CACHE_KEYS, "decision_cache": {}}),
    "rotation": Scenario(rotation, {"keys": KEYS, "on_demand": {}}),
    "tenants": Scenario(tenants, stack_options()),
    "vault-outage": Scenario(vault_outage, {"keys": KEYS, "on_demand": {}}),
}


def _keys(stack: Stack) -> int:
    lines = fetch_text(stack.admin_port, "/metrics").splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("septem_keys{"))


def _wait(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def _show_alerts(stack: Stack, console: Console) -> None:
    """Print what the sidecar said about it: three lines, not one a failed poll."""
    console.print("\nsystem.health, from the sidecar's log:")
    for text in list(stack.sidecar.lines):
        if '"sidecar.observability.alerts"' in text:
            entry = json.loads(text)
            console.print(f"  {entry['level']:8} {entry['message']}", markup=False)
