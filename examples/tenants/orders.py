"""The routes of orders. Two of them hold a mistake that is there to be attacked."""

import csv
import io
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from examples.tenants.models import Order
from examples.tenants.services import ServicesOf
from workload.encryption import ValueDoesNotOpen, caseless
from workload.tenancy.context import current_tenant

router = APIRouter(prefix="/api/orders")


class PlacedOrder(BaseModel):
    """What a client sends; ``number`` is the tenant's own."""

    number: int = Field(gt=0, lt=2**31)
    item: str = Field(max_length=200)
    cents: int = Field(ge=0, lt=2**53)
    email: str | None = Field(default=None, max_length=254)


class ShownOrder(BaseModel):
    """What a client gets; no ``email`` where the stored value does not open in its row."""

    number: int
    item: str
    cents: int
    email: str | None

    @classmethod
    def of(cls, order: Order) -> "ShownOrder":
        """Open the sealed value."""
        try:
            email = order.email
        except ValueDoesNotOpen:
            email = None
        return cls(number=order.number, item=order.item, cents=order.cents, email=email)


@router.post("", status_code=201)
async def place_order(placed: PlacedOrder, services: ServicesOf) -> ShownOrder:
    """Store an order; 409 where the tenant has this number."""
    try:
        async with services.orders() as session:
            order = Order(tenant_id=UUID(current_tenant().tenant_id), **placed.model_dump())
            session.add(order)
    except IntegrityError:
        raise HTTPException(409, "this number is taken") from None
    return ShownOrder.of(order)


@router.get("")
async def list_orders(services: ServicesOf, email: str | None = None) -> list[ShownOrder]:
    """Return the tenant's orders; those of one customer where ``email`` is given."""
    tenant_id = current_tenant().tenant_id
    query = select(Order).where(Order.tenant_id == UUID(tenant_id)).order_by(Order.number)
    async with services.orders() as session:
        if email is not None:
            query = query.where(Order.email.equals(tenant_id, email))
        shown = [ShownOrder.of(each) for each in await session.scalars(query)]
    if email is None:
        return shown
    # A token of the blind index may be another value's too: what was opened decides.
    wanted = caseless(email)
    return [each for each in shown if each.email is not None and caseless(each.email) == wanted]


@router.get("/search")
async def search_orders(
    services: ServicesOf, words: str = "", order: Annotated[str, Query(alias="sort")] = "number"
) -> list[dict[str, Any]]:
    """Find orders by words.

    THE HOLE of this example, never to be copied: two texts of the client's become SQL, and the
    database's message goes back to the client, which makes the hole easy to use.
    """
    tenant_id = current_tenant().tenant_id
    statement = (
        f"SELECT number, item, cents FROM orders WHERE tenant_id = '{tenant_id}' "  # noqa: S608 - the hole
        f"AND item ILIKE '%{words}%' ORDER BY {order}"
    )
    try:
        async with services.orders() as session:
            found = await session.execute(text(statement))
            return [dict(row) for row in found.mappings()]
    except DBAPIError as fault:
        raise HTTPException(400, str(fault.orig)) from None


@router.get("/export")
async def export_orders(services: ServicesOf) -> Response:
    """Return the tenant's orders as CSV.

    The second mistake: the query has no WHERE. The policies make it the tenant's all the same.
    """
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("number", "item", "cents"))
    async with services.orders() as session:
        rows = await session.execute(select(Order.number, Order.item, Order.cents))
        writer.writerows(rows.tuples())
    return Response(table.getvalue(), media_type="text/csv")
