/** @import {Backend, Definition, Migration, RawDescription, RawEvent, RawFailure} from './raw.js' */

import { Event, named } from './event.js';
import { Failure } from './failure.js';
import { host } from './host.js';
import { parseJson, stringifyJson } from './json.js';
import { Misfit, readWith } from './schema.js';
import { Tx } from './tx.js';

const FIELDS = ['name', 'text', 'mode', 'topics', 'events', 'types', 'upcast', 'migrations', 'on', 'batch'];
const MODES = ['inline', 'catch-up', 'async'];

/** A projection whose definition was found to be sound. */
export class Projection {
  /** @param {Definition} definition */
  constructor(definition) {
    this.definition = definition;
    const { on, events, types } = definition;
    this.types = on ? Object.keys(on) : (types ?? Object.keys(events ?? {}));
    /** For each type with upcasters the schema version that they lead to. @type {Map<string, number>} */
    this.newest = new Map();
    for (const [type, steps] of Object.entries(definition.upcast ?? {})) {
      this.newest.set(type, Math.max(...Object.keys(steps).map(Number)) + 1);
    }
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
      for (let index = 0; index < raw.length; index++) events.push(this.#event(raw[index], index));
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
      return failureOf(error, tx.blamed);
    }
  }

  /**
   * @param {RawEvent} raw
   * @param {number} index
   */
  #event(raw, index) {
    const type = raw.eventType;
    const lifted = this.newest.has(type) ? this.#lift(raw, type, index) : raw;
    const schema = this.definition.events?.[type];
    try {
      const payload = parseJson(lifted.payload);
      return new Event(lifted, type, schema ? readWith(schema, payload) : payload, index);
    } catch (error) {
      if (!(error instanceof Misfit || error instanceof SyntaxError)) throw error;
      const why = error instanceof Misfit ? error.describe('field') : error.message;
      throw new Failure('poison', `the payload of ${named(lifted)} can't be read: ${why}`, { index });
    }
  }

  /**
   * Lifts an event of an older schema version, step by step.
   *
   * @param {RawEvent} raw
   * @param {string} type
   * @param {number} index
   * @returns {RawEvent}
   */
  #lift(raw, type, index) {
    const newest = /** @type {number} */ (this.newest.get(type));
    const steps = this.definition.upcast?.[type] ?? {};
    const refuse = (/** @type {string} */ why, /** @type {unknown} */ cause) => {
      throw new Failure('poison', `${named(raw)}: ${why}`, { index, cause });
    };
    if (raw.schemaVersion === newest) return raw;
    if (raw.schemaVersion > newest) {
      refuse(`its schema version is newer than this plugin, which knows it up to ${newest}: deploy a newer plugin`, undefined);
    }
    let payload = parseJson(raw.payload);
    for (let version = raw.schemaVersion; version < newest; version++) {
      const step = steps[version];
      if (!step) refuse(`nothing lifts schema version ${version} to ${version + 1}, on the way to ${newest}`, undefined);
      try {
        payload = { ...step(payload), type, version: version + 1 };
      } catch (error) {
        refuse(`the upcaster from schema version ${version}: ${error instanceof Error ? error.message : error}`, error);
      }
    }
    const lifted = { payload: stringifyJson(payload), schemaVersion: newest };
    // All other fields are those of the event, which may be getters.
    return Object.create(raw, Object.getOwnPropertyDescriptors(lifted));
  }
}

/** @param {Definition} definition */
export function defineProjection(definition) {
  const wrong = (/** @type {string} */ why) => {
    throw new TypeError(`defineProjection: ${why}`);
  };
  for (const field in definition) {
    if (!FIELDS.includes(field)) wrong(`there is no \`${field}\`, only ${FIELDS.join(', ')}`);
  }
  const { name, mode = 'async', topics, on, batch, events, types, upcast = {} } = definition;
  if (!/^[a-z][a-z0-9_]{0,47}$/.test(name)) wrong(`the name \`${name}\` is not one: [a-z][a-z0-9_]{0,47}`);
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
  for (const [type, steps] of Object.entries(upcast)) {
    const versions = Object.keys(steps).map(Number);
    if (versions.length === 0 || !versions.every((version) => Number.isInteger(version) && version > 0)) {
      wrong(`\`upcast\` has for ${type} no steps by the schema version that they lift, such as {1: (payload) => …}`);
    }
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
 * What the host is told. What nobody has foreseen is poison: its stack goes to the log.
 *
 * @param {any} error
 * @param {number | undefined} blamed
 * @returns {RawFailure}
 */
function failureOf(error, blamed) {
  if (error instanceof Failure) return { index: error.index ?? blamed, kind: error.kind, message: error.message };
  // An error of the bindings is none of this realm's.
  if (typeof error?.message !== 'string') {
    return { index: blamed, kind: 'poison', message: typeof error === 'string' ? error : `thrown: ${String(error)}` };
  }
  const message = `${error.name}: ${error.message}`;
  host.write('error', `${message}\n${host.stack(error)}`);
  return { index: blamed, kind: 'poison', message };
}
