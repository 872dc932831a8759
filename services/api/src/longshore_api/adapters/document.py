"""The OpenAPI document made whole: bodies that routes read themselves, how each may fail, names and examples.

The framework writes what it sees in signatures; routes say the rest in `opt`: `takes` the struct of the body, `endless` for a
stream that goes on. What must not enter: routes.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute

from longshore_api.adapters import bodies, views

BASE: Final = "/api/v1/"
_REF: Final = "#/components/schemas/{name}"
#: What is taken is named so, since what is given back may have the same name.
_GIVEN: Final = "Given"
_FAILS: Final = {
    "400": "Something of it is wrong: `detail` and `errors` name the field and the remedy",
    "401": "Show a credential: `Authorization: Bearer …`",
    "403": "This credential may not do that",
    "404": "There is no such thing",
    "409": "Another was first, or the Idempotency-Key was used for another request",
    "413": "The body is too large: send less at once",
    "429": "Too many requests: wait for as long as `Retry-After` says",
    "503": "PostgreSQL, the log or a dispatcher does not answer: try again after `Retry-After` seconds",
    "504": "The read model has not reached `after` yet: ask again",
}
_EVERY: Final = ("400", "429", "503")
_GUARDED: Final = ("401", "403")
_READS: Final = ("404", "504")
_WRITES: Final = ("404", "409", "413")
#: What an example of a body looks like, by the name of its struct.
EXAMPLES: Final[dict[str, Any]] = {
    "NewSubmission": {"batch": "fits", "task": {"command": ["./fit", "--seed", "7"], "cpus": 2, "memory": 4294967296},
                      "size": 100},
    "Cancel": {"tasks": ["1204.0-99", "1205.3"], "kill": False},
    "Named": {"filter": {"batch": "fits", "state": "failed", "cause": "oom"}},
    "Signal": {"tasks": ["1204"], "signal": "SIGUSR1"},
    "Edit": {"batch": "fits", "set": {"memory": 8589934592}},
    "Undo": {"request": 1207},
    "Pause": {"freeze": True},
    "PauseWorkers": {"workers": ["w1"], "drain": True},
    "Workers": {"workers": ["w1", "w2"]},
    "ResizeWorkers": {"workers": ["w1"], "concurrency": 8, "prefetch_percent": 50},
    "MoveWorkers": {"workers": ["w1"], "batch": "fits"},
    "CareWorkers": {"workers": ["w1"], "care": "clean"},
    "ShareChange": {"weight": 2},
    "Retention": {"outputs": 2592000, "logs": 604800},
    "Policy": {"half_life": 604800, "trouble": {"worker-lost": 10}},
    "Question": {"kind": "task", "id": "1204.17"},
    "CancelRequested": {"type": "cancel-requested", "tasks": [[1204, 0, 99]]},
}  # fmt: skip


class Document(JsonRenderPlugin):
    """The document at /schema/openapi.json, made once."""

    def __init__(self) -> None:
        super().__init__(path="/openapi.json")
        self._made: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The bytes."""
        if self._made is None:
            self._made = msgspec.json.encode(whole(request.app, openapi_schema))
        return self._made


def whole(app: Litestar, document: dict[str, Any]) -> dict[str, Any]:
    """The document with all that routes say of themselves."""
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= _schemas(views.Problem)[1]
    problem = {"application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}}
    handlers = dict(_handlers(app))
    for path, item in document["paths"].items():
        if not path.startswith(BASE):
            continue
        for method, operation in item.items():
            handler = handlers.get((path, method.upper()))
            if not isinstance(operation, dict) or "responses" not in operation:
                continue
            operation["operationId"] = _name(method, path)
            if handler is not None:
                _of_handler(operation, handler, schemas)
            for status in _statuses(method, operation):
                operation["responses"][status] = {"description": _FAILS[status], "content": problem}
            _conditional(method, operation)
            _answered(operation)
    schemas |= _schemas(bodies.Preview)[1]
    _tuples(document)
    return document


def _handlers(app: Litestar) -> Iterator[tuple[tuple[str, str], HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
                yield (path, str(method)), handler


def _name(method: str, path: str) -> str:
    """`get_tasks_task_output` of GET /api/v1/tasks/{task}/output: unique, and fit for a name in any language."""
    words = re.findall(r"\w+", path.replace("/api/v1/", "/"))
    return "_".join([method, *(word.replace("-", "_") for word in words)])


def _of_handler(operation: dict[str, Any], handler: HTTPRouteHandler, schemas: dict[str, Any]) -> None:
    if handler.fn.__doc__ and not operation.get("description"):
        operation["description"] = handler.fn.__doc__.strip()
    if (takes := handler.opt.get("takes")) is not None:
        schema, found = _schemas(takes, _GIVEN)
        schemas |= found
        content: dict[str, Any] = {"schema": schema}
        if (example := EXAMPLES.get(getattr(takes, "__name__", "CancelRequested"))) is not None:
            content["example"] = example
        operation["requestBody"] = {"required": _required(takes), "content": {"application/json": content}}
    if handler.opt.get("gives") is dict:
        operation["responses"]["200"]["content"] = {"application/json": {"schema": {"type": "object"}}}
    if handler.opt.get("endless"):
        operation["x-endless"] = True


def _required(kind: Any) -> bool:
    return not isinstance(kind, type) or any(f.required for f in msgspec.structs.fields(kind)) or kind in (
        bodies.Named, bodies.Cancel, bodies.Edit, bodies.NewSubmission,
    )  # fmt: skip


def _schemas(kind: Any, prefix: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """(the schema of this kind, those it refers to by name)"""
    template = _REF.format(name=prefix + "{name}")
    (schema,), found = msgspec.json.schema_components([kind], schema_hook=_anything, ref_template=template)
    return schema, {prefix + name: each for name, each in found.items()}


def _answered(operation: dict[str, Any]) -> None:
    """What was waited for is answered with 200, and so is a preview."""
    later = operation["responses"].get("202")
    if later is None or "200" in operation["responses"] or not later.get("content"):
        return
    schemas = [each["schema"] for each in later["content"].values()]
    if any(parameter["name"] == "preview" for parameter in operation.get("parameters", ())):
        schemas.append({"$ref": _REF.format(name="Preview")})
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    content = {"application/json": {"schema": schema}}
    operation["responses"]["200"] = {"description": "It was answered while that was waited for", "content": content}


def _tuples(node: Any) -> None:
    """Tuples of one kind are arrays of so many: generators of clients know these better than `prefixItems`."""
    if isinstance(node, list | tuple):
        for each in node:
            _tuples(each)
    elif isinstance(node, dict):
        places = node.get("prefixItems")
        if isinstance(places, list) and places and all(place == places[0] for place in places):
            node |= {"items": places[0], "minItems": len(places), "maxItems": len(places)}
            del node["prefixItems"]
        for each in node.values():
            _tuples(each)


def _anything(_: type) -> dict[str, Any]:
    """Values of which no more is said than that they are JSON."""
    return {"description": "any JSON"}


def _statuses(method: str, operation: dict[str, Any]) -> list[str]:
    found = [*_EVERY]
    if operation.get("security") != []:
        found += [*_GUARDED]
    found += _READS if method == "get" else _WRITES
    return found


def _conditional(method: str, operation: dict[str, Any]) -> None:
    """What all reads of JSON can: fewer fields, and nothing at all if the reader has it."""
    good = operation["responses"].get("200", {})
    if method != "get" or "application/json" not in good.get("content", {}):
        return
    operation.setdefault("parameters", []).append({
        "name": "fields", "in": "query", "required": False, "schema": {"type": "string"},
        "description": "Only these fields of each item, separated by commas",
    })  # fmt: skip
    operation["parameters"].append({
        "name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"},
        "description": "The ETag of what the reader has",
    })  # fmt: skip
    good.setdefault("headers", {})["ETag"] = {"schema": {"type": "string"}, "description": "Of these bytes"}
    operation["responses"]["304"] = {"description": "The reader has it"}
