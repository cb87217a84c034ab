/** @import {Definition, RawExpected, RawNewEvent} from './raw.js' */
/** @import {Event} from './event.js' */
/** @import {Tx} from './tx.js' */

import { Decoder, checkUpcast } from './decode.js';
import { Failure } from './failure.js';
import { host } from './host.js';
import { parseJson, stringifyJson } from './json.js';
import { Misfit, readWith } from './schema.js';

const FIELDS = ['events', 'upcast'];
/** As many events come at once. */
const PAGE = 1_000;

/**
 * @typedef {{type: string, data?: object, schemaVersion?: number, topic?: string}} NewEvent
 */

/** The streams of one kind of aggregate. */
class Aggregate {
  /**
   * @param {string} name
   * @param {Pick<Definition, 'events' | 'upcast'>} definition
   */
  constructor(name, { events, upcast }) {
    this.name = name;
    this.decoder = new Decoder(events, upcast);
    this.types = events && new Set(Object.keys(events));
  }

  /**
   * @param {Tx} tx
   * @param {Event} cause
   * @param {string} id
   * @param {{after?: number}} [options]
   */
  load(tx, cause, id, { after = 0 } = {}) {
    const events = [];
    for (let version = after; ; ) {
      const page = tx.log(cause, (backend) => host.load(backend, cause.index, this.name, id, version, PAGE));
      for (const raw of page.events) {
        if (this.types && !this.types.has(raw.eventType)) continue;
        events.push(this.decoder.event(raw, cause.index));
      }
      version = page.version;
      if (!page.more) return new Stream(this, tx, cause, id, events, version);
    }
  }

  /**
   * @param {Tx} tx
   * @param {Event} cause
   * @param {string} id
   * @param {NewEvent | readonly NewEvent[]} events
   * @param {{expected?: number}} [options]
   */
  append(tx, cause, id, events, { expected } = {}) {
    const raw = (Array.isArray(events) ? events : [events]).map((event) => this.#raw(event));
    return tx.log(cause, (backend) => host.append(backend, cause.index, this.name, id, expectedVersion(expected), raw));
  }

  /**
   * @param {NewEvent} event
   * @returns {RawNewEvent}
   */
  #raw({ type, data = {}, schemaVersion = this.decoder.newest.get(type) ?? 1, topic }) {
    if (this.types && !this.types.has(type)) {
      throw new TypeError(`${this.name} has no event ${type}, only ${[...this.types].join(', ')}`);
    }
    const payload = stringifyJson(data);
    const schema = this.decoder.schemas[type];
    try {
      // What nobody could read would stay in the log for ever.
      if (schema) readWith(schema, parseJson(payload));
    } catch (error) {
      if (!(error instanceof Misfit)) throw error;
      throw new TypeError(`the new event ${type} of ${this.name}: ${error.describe('field')}`);
    }
    return { eventType: type, schemaVersion, payload, topic };
  }
}

/** The events of one aggregate, as far as they were loaded. */
class Stream {
  /** @type {Aggregate} */ #aggregate;
  /** @type {Tx} */ #tx;
  /** @type {Event} */ #cause;

  /**
   * @param {Aggregate} aggregate
   * @param {Tx} tx
   * @param {Event} cause
   * @param {string} id
   * @param {Event[]} events
   * @param {number} version
   */
  constructor(aggregate, tx, cause, id, events, version) {
    this.#aggregate = aggregate;
    this.#tx = tx;
    this.#cause = cause;
    this.id = id;
    this.events = events;
    this.version = version;
  }

  /** @param {...NewEvent} events */
  append(...events) {
    this.version = this.#aggregate.append(this.#tx, this.#cause, this.id, events, { expected: this.version });
    return this.version;
  }
}

/**
 * @param {string} name
 * @param {Pick<Definition, 'events' | 'upcast'>} [definition]
 */
export function aggregate(name, definition = {}) {
  /** @type {(why: string) => never} */
  const wrong = (why) => {
    throw new TypeError(`aggregate ${name}: ${why}`);
  };
  for (const field in definition) {
    if (!FIELDS.includes(field)) wrong(`there is no \`${field}\`, only ${FIELDS.join(', ')}`);
  }
  checkUpcast(definition.upcast, wrong);
  return new Aggregate(name, definition);
}

/**
 * @param {number | undefined} version
 * @returns {RawExpected}
 */
function expectedVersion(version) {
  if (version === undefined) return { tag: 'any' };
  if (!Number.isInteger(version) || version < 0) throw new Failure('fatal', `the version of a stream is a whole number from 0, and not ${version}`);
  return version === 0 ? { tag: 'none' } : { tag: 'exact', val: version };
}
