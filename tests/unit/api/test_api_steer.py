"""Orders by HTTP: what is asked of the room below, and how its answers are told."""

import pytest

from mta.api.steer import MESSAGE_ORDERS
from mta.delivery import DeliveryState
from mta.errors import StoreUnavailable
from mta.operate.steer import Order, SteeredMessage

MESSAGE_ID = "19ab3c5d7e0001c0de"
DELIVERY_ID = f"{MESSAGE_ID}.001"
KEY = {"Authorization": "Bearer k3y"}


@pytest.fixture
def client(make_app):
    return make_app(environ={"MTA_API_KEY": "k3y"}).test_client()


@pytest.mark.parametrize("order", Order)
def test_an_order_about_a_delivery_answers_its_new_state(
    client, steer, a_delivery, order
):
    """The whole delivery, as it is read elsewhere."""
    steer.delivery = a_delivery(state=DeliveryState.HELD)

    answer = client.post(f"/v1/deliveries/{DELIVERY_ID}/{order.value}", headers=KEY)

    assert answer.status_code == 200
    assert (answer.json["id"], answer.json["state"]) == (DELIVERY_ID, "held")
    assert steer.orders == [(order, DELIVERY_ID)]


@pytest.mark.parametrize("order", MESSAGE_ORDERS)
def test_an_order_about_a_message_answers_what_became_of_it(client, steer, order):
    """How many obeyed, and where all of them are now."""
    steer.message = SteeredMessage(
        message_id=MESSAGE_ID,
        changed=2,
        states={DeliveryState.SENDING: 1, DeliveryState.HELD: 2},
        recipients=4,
    )

    answer = client.post(f"/v1/messages/{MESSAGE_ID}/{order.value}", headers=KEY)

    assert answer.status_code == 200
    assert answer.json["changed"] == 2
    assert answer.json["states"] == {"held": 2, "sending": 1}
    assert answer.json["recipients"] == 4
    assert steer.orders == [(order, MESSAGE_ID)]


def test_what_is_being_sent_is_a_conflict(client, steer, a_delivery):
    """Nobody can take it back; the answer says so, and names the state."""
    steer.delivery = a_delivery(state=DeliveryState.SENDING)
    steer.is_done = False

    answer = client.post(f"/v1/deliveries/{DELIVERY_ID}/cancel", headers=KEY)

    assert answer.status_code == 409
    assert answer.mimetype == "application/problem+json"
    assert answer.json["state"] == "sending"
    assert "being sent right now" in answer.json["detail"]


def test_what_is_finished_is_a_conflict(client, steer, a_delivery):
    """An order that comes too late changes no history."""
    steer.delivery = a_delivery(state=DeliveryState.DELIVERED)
    steer.is_done = False

    answer = client.post(f"/v1/deliveries/{DELIVERY_ID}/hold", headers=KEY)

    assert answer.status_code == 409
    assert answer.json["state"] == "delivered"
    assert answer.json["detail"] == "It is delivered, which hold cannot change"


def test_a_message_of_which_nothing_changes_is_a_conflict(client, steer):
    """The answer says where its deliveries are instead."""
    steer.message = SteeredMessage(
        message_id=MESSAGE_ID,
        changed=0,
        states={DeliveryState.SENDING: 1, DeliveryState.DELIVERED: 2},
        recipients=3,
    )

    answer = client.post(f"/v1/messages/{MESSAGE_ID}/hold", headers=KEY)

    assert answer.status_code == 409
    assert answer.json["states"] == {"delivered": 2, "sending": 1}
    assert answer.json["detail"].endswith("could change: 2 delivered, 1 sending")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (f"deliveries/{DELIVERY_ID}/hold", 1),
        (f"messages/{MESSAGE_ID}/hold", 1),
        (f"deliveries/{MESSAGE_ID}/hold", 0),
        ("deliveries/%24where/hold", 0),
        (f"messages/{DELIVERY_ID}/hold", 0),
        (f"deliveries/{DELIVERY_ID}/delete", 0),
        (f"messages/{MESSAGE_ID}/assume-delivered", 0),
    ],
)
def test_what_is_not_there_is_not_found(client, steer, path, asked):
    """Strange ids are not even looked up, and unknown orders are no routes."""
    answer = client.post(f"/v1/{path}", headers=KEY)

    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
    assert len(steer.orders) == asked


def test_an_order_needs_the_key(client, steer):
    """As every route does."""
    assert client.post(f"/v1/deliveries/{DELIVERY_ID}/hold").status_code == 401
    assert steer.orders == []


def test_pages_of_other_sites_cannot_order(client, steer):
    """A browser may know the key."""
    answer = client.post(
        f"/v1/deliveries/{DELIVERY_ID}/cancel",
        headers={**KEY, "Origin": "https://evil.test"},
    )

    assert answer.status_code == 403
    assert steer.orders == []


def test_looking_is_no_order(client, steer):
    """Whatever follows links changes nothing."""
    answer = client.get(f"/v1/deliveries/{DELIVERY_ID}/cancel", headers=KEY)

    assert answer.status_code == 405
    assert steer.orders == []


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 200), (b"{}", 200), (b'{"reason": "x"}', 400)]
)
def test_an_order_takes_no_body(client, steer, a_delivery, body, status):
    """Nothing that is said is passed over in silence."""
    steer.delivery = a_delivery()

    answer = client.post(f"/v1/deliveries/{DELIVERY_ID}/retry", data=body, headers=KEY)

    assert answer.status_code == status


def test_an_absent_store_is_503(client, steer):
    """And says when to ask again."""
    steer.error = StoreUnavailable("away")

    answer = client.post(f"/v1/deliveries/{DELIVERY_ID}/retry", headers=KEY)

    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
