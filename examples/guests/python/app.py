"""Publishes the text of every message in capitals, to the topic `to` of its configuration.

A payload that is no text is rejected: it goes to the dead letters, where an operator finds it.
"""

from dataclasses import replace

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import publisher, store
from wit_world.imports.types import Delivery, Failure_Reject


class Handler(exports.Handler):
    def on_message(self, delivery: Delivery) -> None:
        topic = store.get("to")
        if topic is None:
            raise Err(Failure_Reject('config `to` is missing: add `to = "…"` under [component.NAME.config]'))
        try:
            text = delivery.message.payload.decode()
        except UnicodeDecodeError as error:
            raise Err(Failure_Reject(f"not text: {error}"))
        try:
            publisher.publish(replace(delivery.message, topic=topic, payload=text.upper().encode()))
        except Err as refused:
            raise Err(Failure_Reject(f"publish refused: {refused.value}"))
