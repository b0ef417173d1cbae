"""What a hash by Argon2id costs (RFC 9106 §3.1)."""

from dataclasses import dataclass

from workload.settings import SettingsFault

_BOUNDS = {
    "time_cost": (1, 64),
    "memory_kib": (8, 1_048_576),
    "lanes": (1, 16),
    "digest_bytes": (16, 64),
}
_LEAST_WORK_KIB = 35_840
"""Memory times passes of the cheapest that OWASP's Password Storage Cheat Sheet lists."""
_KIB_A_LANE = 8


@dataclass(frozen=True, slots=True)
class Argon2Parameters:
    """Passes, KiB of memory, lanes (threads) and length of the digest: SECURITY-MODEL §4."""

    time_cost: int = 1
    memory_kib: int = 65_536
    lanes: int = 4
    digest_bytes: int = 32

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise SettingsFault(f"{name} must be an integer from {low} to {high}: {value!r}")
        if self.memory_kib < _KIB_A_LANE * self.lanes:
            raise SettingsFault(f"memory_kib must be at least {_KIB_A_LANE} for each lane")

    def is_weak(self) -> bool:
        """Return whether it costs an attacker less than the least that OWASP recommends."""
        return self.memory_kib * self.time_cost < _LEAST_WORK_KIB


MODEL_PARAMETERS = Argon2Parameters()
"""Those of SECURITY-MODEL §4: one pass over 64 MiB in four lanes, 32 bytes."""
