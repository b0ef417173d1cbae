"""Sealed columns: AES-256-GCM with a data key for each tenant and class, wrapped by Vault.

``orm``, ``sql_key_store`` and ``sql_reencryption`` need the extra ``encryption``, for SQLAlchemy.
"""

from workload.encryption.blind_index import BlindIndex, caseless, exact, ip_address, phone
from workload.encryption.blocking import BlockingKeyring
from workload.encryption.errors import (
    FieldInputFault,
    FieldKeysAway,
    FieldKeysDestroyed,
    FieldKeysMissing,
    ValueDoesNotOpen,
)
from workload.encryption.key_admin import KeyAdmin
from workload.encryption.keyring import Keyring
from workload.encryption.places import FieldColumn, KeyScope, RowId
from workload.encryption.scope_keys import ScopeKeys
from workload.settings import FieldKeySettings

__all__ = [
    "BlindIndex",
    "BlockingKeyring",
    "FieldColumn",
    "FieldInputFault",
    "FieldKeySettings",
    "FieldKeysAway",
    "FieldKeysDestroyed",
    "FieldKeysMissing",
    "KeyAdmin",
    "KeyScope",
    "Keyring",
    "RowId",
    "ScopeKeys",
    "ValueDoesNotOpen",
    "caseless",
    "exact",
    "ip_address",
    "phone",
]
