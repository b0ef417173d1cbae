"""A configuration with what must be in it, and what is wrong with one."""

import pytest

from sidecar.common.errors import ConfigFault
from sidecar.config import parse_config

MINIMAL = """\
vault:
  address: https://vault.internal:8200
  auth: {method: token_file, path: /run/vault/token}
tokens:
  issuers: [{issuer: https://iam.example, audiences: [https://api.example]}]
routes:
  - {name: api, path_prefix: /}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigFault) as fault:
        parse_config(text, "test.yaml")
    return list(fault.value.problems)
