"""Who is who in the scenario, and what there is to be stolen."""

from typing import Any

from demo.cases import OTHER_TENANT, TENANT, TENANT_DOMAIN

ATTACKER, VICTIM = TENANT, OTHER_TENANT
VICTIM_DOMAIN = "shop.globex.example"
HOSTS = {TENANT_DOMAIN: ATTACKER, VICTIM_DOMAIN: VICTIM}
EMAILS = {ATTACKER: "mallory@acme.example", VICTIM: "ceo@globex.example"}
PASSWORDS = {ATTACKER: "correct horse battery", VICTIM: "Globex-winter-2026"}
ORDERS: dict[str, list[dict[str, Any]]] = {
    ATTACKER: [
        {"number": 1, "item": "anvil", "cents": 4_999, "email": "wile@acme.example"},
        {"number": 2, "item": "rocket skates", "cents": 12_900, "email": "wile@acme.example"},
        {"number": 3, "item": "bird seed", "cents": 299, "email": None},
    ],
    VICTIM: [
        {
            "number": 101,
            "item": "plutonium-7261",
            "cents": 9_000_000,
            "email": "b61@globex.example",
        },
        {"number": 102, "item": "weather-7262", "cents": 7_500_000, "email": "b62@globex.example"},
        {"number": 103, "item": "laser-7263", "cents": 6_100_000, "email": "b63@globex.example"},
        {"number": 104, "item": "plutonium-7261", "cents": 9_000_000, "email": None},
        {"number": 105, "item": "plutonium-7261", "cents": 9_000_000, "email": None},
    ],
}
THEIRS_ALONE = r"\w*-726\d|\w+@globex\.example"
"""What only the victim's rows hold, as a regular expression."""
