/** @import {Backend, Migration, RawEvent, RawRequest} from './raw.js' */
/** @import {Projection} from './projection.js' */

import * as hostConfig from 'eventfabric:projection/config@0.1.0';
import * as hostLog from 'eventfabric:projection/log@0.1.0';

import { host } from './host.js';
import { stringifyJson } from './json.js';
import { log } from './log.js';
import { originalStack } from './stack.js';
import { setTime, settle } from './world.js';

const written = (/** @type {(message: string) => void} */ write) => (/** @type {unknown[]} */ ...parts) =>
  write(parts.map((part) => (typeof part === 'object' && part !== null ? stringifyJson(part) : String(part))).join(' '));

/** Nobody sees what a component prints: it goes to the log. */
const lines = {
  log: written(log.info),
  trace: written(log.trace),
  debug: written(log.debug),
  info: written(log.info),
  warn: written(log.warn),
  error: written(log.error),
};

/**
 * The functions that a component exports.
 *
 * @param {Projection} projection
 * @param {Migration[]} migrations
 * @param {{eventStore?: Pick<typeof host, 'load' | 'append'>, outgoing?: Pick<typeof host, 'send'>}} [extensions]
 */
export function component(projection, migrations, { eventStore, outgoing } = {}) {
  host.write = hostLog.write;
  host.get = hostConfig.get;
  host.all = hostConfig.all;
  if (eventStore) [host.load, host.append] = [eventStore.load, eventStore.append];
  if (outgoing) host.send = outgoing.send;
  host.stack = (error) => originalStack(error.stack ?? '', /** @type {any} */ (globalThis).eventfabricLines);
  settle();
  globalThis.console = /** @type {any} */ (lines);
  return {
    describe: () => projection.describe(migrations),
    /**
     * @param {Backend} tx
     * @param {RawEvent[]} events
     */
    handle(tx, events) {
      setTime(Number(events[0].occurredAt / 1000n));
      const failure = projection.handle(tx, events);
      // The bindings take what is thrown for the failure.
      if (failure) throw failure;
    },
    queries: {
      describeQueries: () => projection.describeQueries(),
      /**
       * @param {Backend} tx
       * @param {RawRequest} request
       */
      query(tx, request) {
        setTime(undefined);
        return projection.query(tx, request);
      },
    },
  };
}
