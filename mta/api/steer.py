"""``/v1``, changing the queue: orders about a delivery, or about a whole message.

An order is the last step of the path, and takes no body. It is carried out at once
or refused with 409, which names the present state: an answer never leaves open what
is true now.
"""

from http import HTTPStatus

from flask import Blueprint, Response, json, jsonify, request

from mta.api.message import UNKNOWN
from mta.api.ports import Steer
from mta.api.problems import Refused
from mta.api.queries import is_message_id
from mta.api.records import delivery_record
from mta.api.v1 import UNKNOWN_DELIVERY
from mta.delivery import Delivery, DeliveryState
from mta.operate.pages import is_delivery_id
from mta.operate.steer import EFFECTS, Order, SteeredMessage

# Deciding a doubt is a judgment about one recipient's server.
MESSAGE_ORDERS = tuple(order for order in Order if order is not Order.ASSUME_DELIVERED)

# Clients that cannot post nothing post this.
_NO_BODY = (b"", b"{}")


def steer_routes(steer: Steer) -> Blueprint:
    """All routes under ``/v1`` that steer deliveries."""
    routes = Blueprint("steer", __name__, url_prefix="/v1")
    _add_orders_for_one(routes, steer)
    _add_orders_for_all(routes, steer)
    return routes


def _add_orders_for_one(routes: Blueprint, steer: Steer) -> None:
    def one(delivery_id: str, order: Order) -> Response:
        _refuse_body()
        known = is_delivery_id(delivery_id)
        steered = steer.steer(order, delivery_id) if known else None
        if steered is None:
            raise Refused(404, UNKNOWN_DELIVERY)
        if not steered.is_done:
            return _conflict(order, steered.delivery)
        return jsonify(delivery_record(steered.delivery))

    for order in Order:
        routes.post(
            f"/deliveries/<delivery_id>/{order.value}",
            endpoint=f"one-{order.value}",
            defaults={"order": order},
        )(one)


def _add_orders_for_all(routes: Blueprint, steer: Steer) -> None:
    def whole(message_id: str, order: Order) -> Response:
        _refuse_body()
        known = is_message_id(message_id)
        steered = steer.steer_message(order, message_id) if known else None
        if steered is None:
            raise Refused(404, UNKNOWN)
        if not steered.changed:
            return _nothing_changed(order, steered)
        return jsonify(
            {
                "id": steered.message_id,
                "state": EFFECTS[order].state.value,
                "changed": steered.changed,
                **_totals(steered),
            }
        )

    for order in MESSAGE_ORDERS:
        routes.post(
            f"/messages/<message_id>/{order.value}",
            endpoint=f"whole-{order.value}",
            defaults={"order": order},
        )(whole)


def _refuse_body() -> None:
    """Insist on an empty body: whatever it says would be passed over.

    Raises:
        Refused: It is not empty.
    """
    if request.stream.read(len(_NO_BODY[-1]) + 1) not in _NO_BODY:
        raise Refused(400, "This request takes no body")


def _conflict(order: Order, delivery: Delivery) -> Response:
    if delivery.state is DeliveryState.SENDING:
        detail = "It is being sent right now; try again in a moment"
    else:
        detail = f"It is {_words(delivery.state)}, which {order.value} cannot change"
    return _problem(detail, {"id": delivery.id, "state": delivery.state.value})


def _nothing_changed(order: Order, steered: SteeredMessage) -> Response:
    counts = [
        f"{count} {_words(state)}" for state, count in sorted(steered.states.items())
    ]
    now = ", ".join(counts) or "no deliveries yet"
    return _problem(
        f"There is nothing that {order.value} could change: {now}",
        {"id": steered.message_id, **_totals(steered)},
    )


def _totals(steered: SteeredMessage) -> dict[str, object]:
    states = {state.value: count for state, count in sorted(steered.states.items())}
    return {"states": states, "recipients": steered.recipients}


def _words(state: DeliveryState) -> str:
    return state.value.replace("_", " ")


def _problem(detail: str, facts: dict[str, object]) -> Response:
    """A problem (RFC 9457) that tells the present state in fields of its own."""
    problem: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus.CONFLICT.phrase,
        "status": HTTPStatus.CONFLICT.value,
        "detail": detail,
    }
    return Response(
        json.dumps(problem | facts) + "\n",
        HTTPStatus.CONFLICT,
        mimetype="application/problem+json",
    )
