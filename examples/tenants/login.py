"""The login: Argon2id here, and the number of attempts bounded by the edge before it gets here."""

from uuid import UUID

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import update

from examples.tenants.models import Account
from examples.tenants.services import ServicesOf
from workload.passwords import HashingBusy

router = APIRouter()


class Credentials(BaseModel):
    """What a client sends. The edge counts attempts by ``email``: sidecar.yaml."""

    email: str = Field(max_length=254)
    password: str = Field(max_length=1024)


class LoggedIn(BaseModel):
    """Who it is. Have your identity provider issue this user's token here."""

    email: str
    tenant_id: UUID


@router.post("/api/v1/auth/login")
async def log_in(given: Credentials, services: ServicesOf) -> LoggedIn:
    """Verify a password. An account that does not exist costs and answers the same."""
    async with services.accounts() as session:
        account = await session.get(Account, given.email.lower())
    stored = None if account is None else account.password_hash
    try:
        verified = await services.passwords.verify(given.password, stored)
    except HashingBusy as busy:
        wait = {"retry-after": str(round(busy.retry_after_seconds or 1))}
        raise HTTPException(503, "try again in a few seconds", wait) from None
    if not verified or account is None:
        raise HTTPException(401, "the e-mail address or the password is wrong")
    if verified.replacement is not None:
        # Only where the old hash is still there: a change of the password may have come between.
        unchanged = (Account.email == account.email, Account.password_hash == stored)
        renewed = update(Account).where(*unchanged).values(password_hash=verified.replacement)
        async with services.accounts.begin() as session:
            await session.execute(renewed)
    return LoggedIn(email=account.email, tenant_id=account.tenant_id)
