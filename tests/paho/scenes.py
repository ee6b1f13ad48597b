"""Scenes with the MQTT client library of the Eclipse Foundation, played by tests/it/paho.rs.

Usage: scenes.py SCENE VERSION PORT. A scene that does not go as it should ends with an exception.
"""

import queue
import socket
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

DEADLINE_S = 20
VERSIONS = {"3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}


class Client:
    """A connected client whose events are waited for."""

    def __init__(self, client_id, *, durable=False, will=None):
        self.events = queue.Queue()
        self.messages = queue.Queue()
        clean = {} if VERSION == mqtt.MQTTv5 else {"clean_session": not durable}
        api = mqtt.CallbackAPIVersion.VERSION2
        self.mqtt = mqtt.Client(api, client_id, protocol=VERSION, **clean)
        self.mqtt.on_connect = lambda _c, _u, flags, code, _p: self.events.put(
            ("connected", not code.is_failure, flags.session_present)
        )
        self.mqtt.on_subscribe = lambda *_: self.events.put("subscribed")
        self.mqtt.on_publish = lambda *_: self.events.put("published")
        self.mqtt.on_disconnect = lambda *_: self.events.put("disconnected")
        self.mqtt.on_message = lambda _c, _u, message: self.messages.put(message)
        if will:
            self.mqtt.will_set(*will)
        start = {}
        if VERSION == mqtt.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 100 if durable else 0
            start = {"clean_start": not durable, "properties": properties}
        self.mqtt.connect("127.0.0.1", PORT, **start)
        self.mqtt.loop_start()
        _, accepted, self.session_present = self.events.get(timeout=DEADLINE_S)
        assert accepted

    def expect(self, event):
        got = self.events.get(timeout=DEADLINE_S)
        assert got == event, f"expected {event}, got {got}"

    def subscribe(self, topic, qos):
        self.mqtt.subscribe(topic, qos)
        self.expect("subscribed")

    def publish(self, topic, payload, qos, properties=None):
        self.mqtt.publish(topic, payload, qos, properties=properties)
        self.expect("published")

    def take(self):
        return self.messages.get(timeout=DEADLINE_S)

    def disconnect(self):
        self.mqtt.disconnect()
        self.expect("disconnected")
        self.mqtt.loop_stop()

    def vanish(self):
        """Goes without DISCONNECT and does not come back."""
        self.mqtt.on_disconnect = None
        self.mqtt.loop_stop()
        self.mqtt.socket().shutdown(socket.SHUT_RDWR)


def round_trips():
    """Every QoS, in order, acknowledged to the end."""
    subscriber, publisher = Client("subscriber"), Client("publisher")
    for qos in range(3):
        subscriber.subscribe(f"room/{qos}", qos)
        for number in range(50):
            publisher.publish(f"room/{qos}", f"{number}", qos)
        got = [subscriber.take() for _ in range(50)]
        assert [message.payload for message in got] == [b"%d" % n for n in range(50)]
        assert all(message.qos == qos and not message.dup for message in got)
    subscriber.disconnect()
    publisher.disconnect()


def resume():
    """What came while the client was away is there when it is back."""
    client = Client("durable", durable=True)
    client.subscribe("a", 2)
    client.disconnect()
    publisher = Client("publisher")
    for number in range(20):
        publisher.publish("a", f"{number}", 1 + number % 2)
    client = Client("durable", durable=True)
    assert client.session_present
    got = [client.take() for _ in range(20)]
    # A message of QoS 2 is handed over when its PUBREL is there: each QoS has an order of its own.
    for qos in (1, 2):
        payloads = [message.payload for message in got if message.qos == qos]
        assert payloads == [b"%d" % n for n in range(qos - 1, 20, 2)], payloads
    publisher.publish("a", "live", 1)
    assert client.take().payload == b"live"
    client.disconnect()
    publisher.disconnect()
    # The next scene, in another version, begins anew.
    Client("durable").disconnect()


def will():
    """The will of a client that vanishes, and none of one that says goodbye."""
    watcher = Client("watcher")
    watcher.subscribe("will/#", 1)
    Client("polite", will=("will/polite", "gone", 1)).disconnect()
    Client("vanishing", will=("will/vanishing", "gone", 1)).vanish()
    got = watcher.take()
    assert (got.topic, got.payload, got.qos) == ("will/vanishing", b"gone", 1)
    watcher.disconnect()


def properties():
    """Properties of MQTT 5.0 arrive as they were sent; in 3.1.1 there are none."""
    subscriber, publisher = Client("subscriber"), Client("publisher")
    subscriber.subscribe("a", 2)
    sent = None
    if VERSION == mqtt.MQTTv5:
        sent = Properties(PacketTypes.PUBLISH)
        sent.UserProperty = [("b", "2"), ("a", "1"), ("b", "2")]
        sent.ContentType = "text/plain"
        sent.ResponseTopic = "answers"
        sent.CorrelationData = b"\0\1\xff"
        sent.PayloadFormatIndicator = 1
        sent.MessageExpiryInterval = 1000
        sent.TopicAlias = 3
    for qos in range(3):
        publisher.publish("a", "x", qos, sent)
        got = subscriber.take()
        assert got.qos == qos
        if sent is None:
            continue
        expected = {name: value for name, value in sent.json().items() if name != "TopicAlias"}
        assert got.properties.json() == expected, got.properties.json()
    subscriber.disconnect()
    publisher.disconnect()


if __name__ == "__main__":
    scenes = {"round_trips": round_trips, "resume": resume, "will": will, "properties": properties}
    VERSION, PORT = VERSIONS[sys.argv[2]], int(sys.argv[3])
    scenes[sys.argv[1]]()
