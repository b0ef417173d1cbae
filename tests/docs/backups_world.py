"""What the reader of docs/backups.md has: a program that dumps, logins by policy, two Vaults."""

import shutil
from collections.abc import Callable

from tests.docs.worlds import World
from tests.support.real import started
from workload.backups.archive import new_label
from workload.backups.policies import policy_of_job

PAGE = "docs/backups.md"
LABEL = new_label("policy", 0)
CHUNK_3 = 787_504
"""Where chunk 3 of an archive begins, behind 1024 bytes of header and the chunks 0 to 2."""
PG_DUMP = """\
#!/bin/sh
if [ "$2" != orders ]; then
  echo "pg_dump: error: connection to server failed: FATAL:  database \\"$2\\" does not exist" >&2
  exit 1
fi
exec {head} -c 1300000 /dev/zero
"""


def backups(world: World) -> None:
    """A `pg_dump` of one database, settings with entries, and another Vault that seals them."""
    program = world.folder.parent / "bin/pg_dump"
    program.write_text(PG_DUMP.format(head=shutil.which("head")))
    program.chmod(0o755)
    world.places["https://vault.example.com:8200"] = (
        f"{world.openbao.address} --vault-namespace {world.namespace}"
    )
    settings = world.settings(modules={}, certificate_store={})
    settings["issuers"][0]["share"] = True
    world.write("sidecar.yaml", settings)
    world.put_key()
    world.put("septem/certificates/edge", pem="a chain and its key")
    another = started(None)
    world.exits.callback(another.stop)
    another.client.sys.enable_secrets_engine("transit")
    another.client.write_data("transit/keys/backups", data={"type": "aes256-gcm96"})
    world.places["https://backup-vault.example.com:8200"] = another.address
    for job in ("seal", "open"):
        token = another.token_for(policy_of_job(job, LABEL), name=job)
        world.write(f"{job}-token", token).chmod(0o600)


def administrator(world: World) -> None:
    world.write(".vault-token", world.openbao.client.token)


def with_policy_of(job: str) -> Callable[[World], None]:
    """A login that has the policy of `septem backup policy` and no other."""

    def log_in(world: World) -> None:
        world.vault.sys.create_or_update_policy(job, policy_of_job(job, LABEL))
        world.write(".vault-token", token_with(world, job))

    return log_in


def token_with(world: World, policy: str) -> str:
    answer = world.vault.auth.token.create(
        policies=[policy], no_default_policy=True, no_parent=True
    )
    return str(answer["auth"]["client_token"])


def an_altered_copy(world: World) -> None:
    """One bit of chunk 3 is another one."""
    archive = bytearray((world.folder / "orders.sealed").read_bytes())
    archive[CHUNK_3 + 100_000] ^= 1
    copy = world.write("offsite/orders.sealed", "")
    copy.write_bytes(archive)


def a_tenants_key(world: World) -> None:
    world.vault.write_data("transit/keys/backups-acme", data={"type": "aes256-gcm96"})


def tokens_by_the_pages_policies(world: World) -> None:
    for job in ("backup", "restore"):
        token = token_with(world, f"sidecar-{job}")
        world.write(f"{job}-token", token).chmod(0o600)


def a_key_lost_and_a_certificate_renewed(world: World) -> None:
    world.vault.secrets.kv.v2.delete_metadata_and_all_versions("iam/jwt-signing-key")
    world.put("septem/certificates/edge", pem="the next chain and its key")


RESTORE = "sidecar vault restore entries.sealed --config sidecar.yaml"
BETWEEN = {
    (PAGE, "septem backup seal"): with_policy_of("seal"),
    (PAGE, "septem backup open"): with_policy_of("open"),
    (PAGE, "septem backup verify offsite/"): an_altered_copy,
    (PAGE, "septem backup rewrap"): with_policy_of("rewrap"),
    (PAGE, "vault "): administrator,
    (PAGE, "vault write transit/keys/backups-acme"): a_tenants_key,
    (PAGE, "sidecar vault backup"): tokens_by_the_pages_policies,
    (PAGE, f"{RESTORE} --dry-run"): a_key_lost_and_a_certificate_renewed,
}
"""What is done between two commands of the page, by their beginnings."""
