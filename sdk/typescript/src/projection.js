/** @import {Backend, Definition, Migration, RawDescription, RawEvent, RawFailure, RawQuery, RawRequest, RawRows} from './raw.js' */

import { Decoder, checkUpcast } from './decode.js';
import { Failure } from './failure.js';
import { host } from './host.js';
import { Kept, NAME, Query } from './query.js';
import { Tx } from './tx.js';

const FIELDS = ['name', 'text', 'mode', 'topics', 'events', 'types', 'upcast', 'migrations', 'on', 'batch', 'queries'];
const MODES = ['inline', 'catch-up', 'async'];

/** A projection whose definition was found to be sound. */
export class Projection {
  /** @param {Definition} definition */
  constructor(definition) {
    this.definition = definition;
    const { on, events, types } = definition;
    this.types = on ? Object.keys(on) : (types ?? Object.keys(events ?? {}));
    this.decoder = new Decoder(events, definition.upcast);
    this.queries = new Map(Object.entries(definition.queries ?? {}));
  }

  /**
   * @param {Migration[]} migrations
   * @returns {RawDescription}
   */
  describe(migrations) {
    const { name, text = '', mode = 'async', topics } = this.definition;
    /** @type {RawDescription['topics']} */
    let filter = { tag: 'all' };
    if (topics?.include) filter = { tag: 'include', val: [...topics.include] };
    else if (topics?.exclude) filter = { tag: 'exclude', val: [...topics.exclude] };
    return { name, text, mode, topics: filter, eventTypes: this.types, migrations };
  }

  /**
   * Handles a batch as the host would have it handled: typed events, one transaction, everything
   * that was queued written at the end. The component and the test doubles both come here.
   *
   * @param {Backend} backend
   * @param {RawEvent[]} raw
   * @returns {RawFailure | undefined}
   */
  handle(backend, raw) {
    const tx = new Tx(backend);
    try {
      const events = [];
      for (let index = 0; index < raw.length; index++) events.push(this.decoder.event(raw[index], index));
      const { on, batch } = this.definition;
      if (batch) {
        synchronous(batch(events, tx), 'batch');
      } else {
        for (const event of events) {
          tx.blame(event);
          const handler = /** @type {NonNullable<typeof on>} */ (on)[event.type];
          synchronous(handler.call(on, event, tx), event.type);
        }
      }
      tx.flush();
      return undefined;
    } catch (error) {
      return failureOf(error, tx.blamed, 'poison');
    }
  }

  /** @returns {RawQuery[]} */
  describeQueries() {
    return [...this.queries].map(([name, query]) => query.describe(name));
  }

  /**
   * Answers a request as the host would have it answered. The component and the test doubles both
   * come here. Throws what the host is told of a failure.
   *
   * @param {Backend} backend
   * @param {RawRequest} request
   * @returns {RawRows}
   */
  query(backend, request) {
    const tx = new Tx(backend, new Kept());
    try {
      const query = this.queries.get(request.name);
      if (!query) throw new Failure('poison', `no query \`${request.name}\``);
      const rows = query.ask(tx, request);
      // An error that the query went on after is one.
      tx.flush();
      return rows;
    } catch (error) {
      throw failureOf(error, undefined, 'fatal');
    }
  }
}

/** @param {Definition} definition */
export function defineProjection(definition) {
  /** @type {(why: string) => never} */
  const wrong = (why) => {
    throw new TypeError(`defineProjection: ${why}`);
  };
  for (const field in definition) {
    if (!FIELDS.includes(field)) wrong(`there is no \`${field}\`, only ${FIELDS.join(', ')}`);
  }
  const { name, mode = 'async', topics, on, batch, events, types, upcast, queries = {} } = definition;
  if (!NAME.test(name)) wrong(`the name \`${name}\` is not one: [a-z][a-z0-9_]{0,47}`);
  if (!MODES.includes(mode)) wrong(`the mode \`${mode}\` is not one of ${MODES.join(', ')}`);
  if (topics?.include && topics.exclude) wrong('topics are either included or excluded');
  if (!on === !batch) wrong('either `on` (a handler for each type of event) or `batch` (one for all events) is needed');
  if (on && types) wrong('the types of `on` are its handlers: `types` is for `batch`');
  for (const type of Object.keys(on ? (events ?? {}) : {})) {
    if (!on?.[type]) wrong(`\`events\` has a schema for ${type}, and \`on\` no handler`);
  }
  for (const [type, handler] of Object.entries(on ?? { batch })) {
    if (typeof handler !== 'function') wrong(`the handler of ${type} is no function`);
    if (handler?.constructor.name === 'AsyncFunction') wrong(asynchronous(type));
  }
  checkUpcast(upcast, wrong);
  for (const [name, it] of Object.entries(queries)) {
    if (!(it instanceof Query)) wrong(`the query \`${name}\` is not made by query({…}, (tx, params) => …)`);
    it.check(name, wrong);
  }
  return new Projection(definition);
}

function asynchronous(/** @type {string} */ type) {
  return `the handler of ${type} is asynchronous: handlers are synchronous, nothing in them waits. Remove \`async\` and \`await\``;
}

/**
 * @param {unknown} result
 * @param {string} type
 */
function synchronous(result, type) {
  if (result !== undefined && typeof (/** @type {any} */ (result)?.then) === 'function') throw new Failure('fatal', asynchronous(type));
}

/**
 * What the host is told. What nobody has foreseen is poison for an event, and fatal for a query: its
 * stack goes to the log.
 *
 * @param {any} error
 * @param {number | undefined} blamed
 * @param {RawFailure['kind']} kind
 * @returns {RawFailure}
 */
function failureOf(error, blamed, kind) {
  if (error instanceof Failure) return { index: error.index ?? blamed, kind: error.kind, message: error.message };
  // An error of the bindings is none of this realm's.
  if (typeof error?.message !== 'string') {
    return { index: blamed, kind, message: typeof error === 'string' ? error : `thrown: ${String(error)}` };
  }
  const message = `${error.name}: ${error.message}`;
  host.write('error', `${message}\n${host.stack(error)}`);
  return { index: blamed, kind, message };
}
