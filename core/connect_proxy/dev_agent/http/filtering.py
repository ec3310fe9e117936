"""``?filter=`` of a request."""

from connect_proxy.dev_agent.filter_expression import FilterError, Predicate, compile_filter
from connect_proxy.dev_agent.http.call import Call
from connect_proxy.errors import ApiError


def filter_of(call: Call) -> Predicate:
    """What the request wants to see of a list; everything without a filter."""
    try:
        return compile_filter(call.query.get("filter", ""))
    except FilterError as exc:
        raise ApiError(500, f"Failed to create boolean expression evaluator: {exc}") from exc
