"""Finds the route of a path: literal paths by dictionary, then one regular expression a path with parameters.

Knows `HEAD` for every `GET`, all methods of a path for `Allow`, and tolerates one slash at the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import Message, Receive, Scope, Send

from gateway.errors import MethodNotAllowed
from gateway.http_cache import CACHED
from gateway.queries import query_names


@dataclass(slots=True)
class PathRoutes:
    """The routes of one path, by method."""

    path: str
    by_method: dict[str, APIRoute] = field(default_factory=dict)

    def add(self, route: APIRoute) -> None:
        """Take a route in."""
        for method in route.methods or ():
            self.by_method[method] = route

    @property
    def allowed(self) -> list[str]:
        """Return the methods that are possible."""
        head = ["HEAD"] if "GET" in self.by_method else []
        return sorted([*self.by_method, *head])

    def route_for(self, method: str) -> APIRoute | None:
        """Return the route of a method."""
        return self.by_method.get("GET" if method == "HEAD" else method)


class RouteTable(BaseRoute):
    """All routes as one, so that finding one does not mean trying each."""

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        paths: dict[str, PathRoutes] = {}
        for route in routes:
            paths.setdefault(route.path_format, PathRoutes(route.path_format)).add(route)
        self._literal = {path: found for path, found in paths.items() if "{" not in path}
        self._patterns = [
            (next(iter(found.by_method.values())).path_regex, found) for path, found in paths.items() if "{" in path
        ]

    def find(self, path: str) -> PathRoutes | None:
        """Return the routes of a path; None when there are none."""
        plain = path.rstrip("/") or "/"
        found = self._literal.get(plain)
        if found is not None:
            return found
        return next((routes for pattern, routes in self._patterns if pattern.fullmatch(plain)), None)

    def kept_path(self, path: str) -> tuple[str, frozenset[str]] | None:
        """Return the plain form of a path whose answers may be kept, and the query names its route reads."""
        found = self.find(path)
        route = found.route_for("GET") if found is not None else None
        if route is None or route.openapi_extra != CACHED["openapi_extra"]:
            return None
        return path.rstrip("/"), query_names(route.dependant)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request as Starlette's routing asks."""
        if scope["type"] != "http":
            return Match.NONE, {}
        path = scope["path"].rstrip("/") or "/"
        found = self.find(path)
        if found is None:
            return Match.NONE, {}
        route = found.route_for(scope["method"])
        if route is None:
            return Match.PARTIAL, {"path_routes": found}
        _, child = route.matches({**scope, "path": path, "method": next(iter(route.methods or ()))})
        return Match.FULL, child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the route that was found, or say which methods are possible."""
        found: PathRoutes | None = scope.get("path_routes")
        if found is not None:
            raise MethodNotAllowed(scope["method"], found.allowed)
        route: APIRoute = scope["route"]
        await route.app(scope, receive, _without_body(send) if scope["method"] == "HEAD" else send)


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head
