"""A device that AWS's own SDK speaks for: its shadow client, over MQTT with mutual TLS.

Whoever starts it writes commands to its input and reads events from its output, a line of JSON each, so that what a test
asserts is what the SDK made of the messages, not what was sent. It says `ready` when everything is subscribed to, and
ends with its input or at `quit`.

    {"do": "get", "shadow": "lamp", "token": "mine"}
    {"do": "update", "shadow": null, "desired": {"on": true}, "reported": {"on": false}, "version": 3}
    {"do": "delete", "shadow": null}
    {"do": "quit"}

A shadow that is null is the classic one. A section that is left out is not spoken of; one that is null is removed. Events
are named by the ends of their topics: `get/accepted`, `update/rejected`, `update/delta`, `update/documents` and so on,
with what the SDK said as `said`, which is null where it could not read the message.
"""

import argparse
import json
import sys
import threading

from awscrt import mqtt, mqtt5
from awscrt.mqtt_request_response import ClientOptions, SubscriptionStatusEventType
from awsiot import ModeledClass, ServiceStreamOptions, V2ServiceException
from awsiot import iotshadow, mqtt5_client_builder, mqtt_connection_builder

PATIENCE = 30
VERBS = ["Get", "Update", "Delete"]
ONE = threading.Lock()


def say(event, **more):
    with ONE:
        print(json.dumps({"event": event, **more}), flush=True)


def plain(value):
    """What the SDK's classes hold, without what they leave empty."""
    if isinstance(value, ModeledClass):
        slots = {slot: getattr(value, slot) for slot in value.__slots__ if not slot.endswith("_is_nullable")}
        return {slot: plain(held) for slot, held in slots.items() if held is not None}
    return int(value.timestamp()) if hasattr(value, "timestamp") else value


def kind(shadow, name):
    """The SDK has each of its classes twice, and takes the shadow's name in one of them."""
    return getattr(iotshadow, name.format("Named" if shadow else ""))


def method(client, shadow, name):
    return getattr(client, name.format("named_" if shadow else ""))


def whom(arguments, shadow):
    named = {"shadow_name": shadow} if shadow else {}
    return {"thing_name": arguments.thing, **named}


class First:
    """The client of old: every answer is a subscription, whoever asked."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.connection = mqtt_connection_builder.mtls_from_path(
            on_connection_interrupted=lambda connection, error, **_: say("interrupted", said=str(error)),
            on_connection_resumed=lambda connection, return_code, session_present, **_: say("resumed"),
            reconnect_min_timeout_secs=1,
            reconnect_max_timeout_secs=2,
            **place(arguments),
        )
        self.connection.connect().result(PATIENCE)
        self.client = iotshadow.IotShadowClient(self.connection)

    def subscribe(self, shadow):
        waiting = []
        for verb in VERBS:
            request = kind(shadow, verb + "{}ShadowSubscriptionRequest")
            for outcome in ["accepted", "rejected"]:
                name = f"subscribe_to_{verb.lower()}_{{}}shadow_{outcome}"
                waiting.append(self.one(shadow, name, request, f"{verb.lower()}/{outcome}"))
        delta, updated = (kind(shadow, "{}Shadow" + it + "SubscriptionRequest") for it in ["DeltaUpdated", "Updated"])
        waiting.append(self.one(shadow, "subscribe_to_{}shadow_delta_updated_events", delta, "update/delta"))
        waiting.append(self.one(shadow, "subscribe_to_{}shadow_updated_events", updated, "update/documents"))
        for subscribed in waiting:
            subscribed.result(PATIENCE)

    def one(self, shadow, name, request, event):
        heard = lambda said: say(event, shadow=shadow, said=plain(said))
        request = request(**whom(self.arguments, shadow))
        return method(self.client, shadow, name)(request, mqtt.QoS.AT_LEAST_ONCE, heard)[0]

    def ask(self, verb, shadow, request):
        method(self.client, shadow, f"publish_{verb}_{{}}shadow")(request, mqtt.QoS.AT_LEAST_ONCE).result(PATIENCE)

    def end(self):
        self.connection.disconnect().result(PATIENCE)


class Second:
    """The client of MQTT 5: it hears the answers to its own requests only, known by their tokens, and two streams."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.streams = []
        connected = threading.Event()
        self.connection = mqtt5_client_builder.mtls_from_path(
            on_lifecycle_connection_success=lambda _: connected.set(),
            on_lifecycle_connection_failure=lambda it: say("interrupted", said=str(it.exception)),
            on_lifecycle_disconnection=lambda it: say("interrupted", said=str(it.exception)),
            **place(arguments),
        )
        self.connection.start()
        if not connected.wait(PATIENCE):
            raise TimeoutError("no connection")
        self.client = iotshadow.IotShadowClientV2(self.connection, ClientOptions(16, 16, PATIENCE))

    def subscribe(self, shadow):
        delta, updated = (kind(shadow, "{}Shadow" + it + "SubscriptionRequest") for it in ["DeltaUpdated", "Updated"])
        self.one(shadow, "create_{}shadow_delta_updated_stream", delta, "update/delta")
        self.one(shadow, "create_{}shadow_updated_stream", updated, "update/documents")

    def one(self, shadow, name, request, event):
        subscribed = threading.Event()

        def status(it):
            if it.type == SubscriptionStatusEventType.SUBSCRIPTION_ESTABLISHED:
                subscribed.set()

        options = ServiceStreamOptions(
            incoming_event_listener=lambda said: say(event, shadow=shadow, said=plain(said)),
            subscription_status_listener=status,
            deserialization_failure_listener=lambda _: say(event, shadow=shadow, said=None),
        )
        stream = method(self.client, shadow, name)(request(**whom(self.arguments, shadow)), options)
        stream.open()
        self.streams.append(stream)
        if not subscribed.wait(PATIENCE):
            raise TimeoutError(f"no subscription for {event}")

    def ask(self, verb, shadow, request):
        def answered(future):
            failed = future.exception()
            if failed is None:
                say(f"{verb}/accepted", shadow=shadow, said=plain(future.result()))
            elif isinstance(failed, V2ServiceException) and failed.modeled_error is not None:
                say(f"{verb}/rejected", shadow=shadow, said=plain(failed.modeled_error))
            else:
                say(f"{verb}/failed", shadow=shadow, said=repr(getattr(failed, "inner_error", failed)))

        method(self.client, shadow, verb + "_{}shadow")(request).add_done_callback(answered)

    def end(self):
        self.connection.stop()


def place(arguments):
    return {
        "endpoint": arguments.host,
        "port": arguments.port,
        "ca_filepath": arguments.ca,
        "cert_filepath": arguments.certificate,
        "pri_key_filepath": arguments.key,
        "client_id": arguments.client_id,
    }


def request(arguments, command):
    verb, shadow = command["do"], command.get("shadow")
    fields = {**whom(arguments, shadow), "client_token": command.get("token")}
    if verb == "update":
        sections = {name: command[name] for name in ["desired", "reported"] if name in command}
        removed = {f"{name}_is_nullable": True for name, section in sections.items() if section is None}
        fields["state"] = iotshadow.ShadowState(**sections, **removed)
        fields["version"] = command.get("version")
    return kind(shadow, verb.capitalize() + "{}ShadowRequest")(**fields)


def main():
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--version", type=int, choices=[1, 2], default=1, help="which of the SDK's two shadow clients")
    known.add_argument("--host", default="localhost")
    known.add_argument("--port", type=int, required=True)
    for name in ["ca", "certificate", "key", "client-id", "thing"]:
        known.add_argument(f"--{name}", required=True)
    known.add_argument("--shadow", action="append", default=[], help="a named one; the classic one is always there")
    arguments = known.parse_args()
    device = (First if arguments.version == 1 else Second)(arguments)
    for shadow in [None, *arguments.shadow]:
        device.subscribe(shadow)
    say("ready")
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "quit":
            break
        device.ask(command["do"], command.get("shadow"), request(arguments, command))
    device.end()


if __name__ == "__main__":
    main()
