"""The application: routes, and before them the middleware that believes the edge alone."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from examples.tenants import login, orders
from examples.tenants.services import Services
from workload.tenancy.asgi import TenantMiddleware
from workload.tenancy.context import TenantUnknown
from workload.tenancy.edge import Edge

OpenServices = Callable[[], AbstractAsyncContextManager[Services]]


def routes_of(open_services: OpenServices) -> FastAPI:
    """Return the routes, without what says whose a request is."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services() as app.state.services:
            yield

    app = FastAPI(title="orders", lifespan=lifespan)
    app.include_router(orders.router)
    app.include_router(login.router)
    app.add_exception_handler(TenantUnknown, _no_tenant)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


def create_application(open_services: OpenServices) -> TenantMiddleware:
    """Return the application. Whoever reaches its Unix socket is the edge.

    ``missing="pass"``: a login has no tenant yet. Orders without one are answered by 401.
    """
    return TenantMiddleware(routes_of(open_services), Edge(unix_socket=True), missing="pass")


def _no_tenant(_request: Request, _fault: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the request has no tenant"}, 401)


def _invalid(_request: Request, fault: Exception) -> JSONResponse:
    """Say where a request is wrong, and not what it held: that may be a password."""
    errors = fault.errors() if isinstance(fault, RequestValidationError) else ()
    told = [{"where": each["loc"], "what": each["msg"]} for each in errors]
    return JSONResponse({"detail": told}, 422)
