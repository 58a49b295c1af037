// Publishes the text of every message in capitals, to the topic `to` of its configuration.
//
// A payload that is no text is rejected: it goes to the dead letters, where an operator finds it.

import { publish } from 'edgewit:pubsub/publisher@0.1.0';
import { get } from 'wasi:config/store@0.2.0-rc.1';

const reject = (reason) => ({ tag: 'reject', val: reason });

export const handler = {
  onMessage({ message }) {
    const topic = get('to');
    if (topic === undefined) {
      throw reject('config `to` is missing: add `to = "…"` under [component.NAME.config]');
    }
    let text;
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(message.payload);
    } catch (error) {
      throw reject(`not text: ${error}`);
    }
    try {
      publish({ ...message, topic, payload: new TextEncoder().encode(text.toUpperCase()) });
    } catch (refused) {
      throw reject(`publish refused: ${JSON.stringify(refused.payload ?? String(refused))}`);
    }
  },
};
