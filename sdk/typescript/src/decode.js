/** @import {Definition, RawEvent} from './raw.js' */

import { Event, named } from './event.js';
import { Failure } from './failure.js';
import { parseJson, stringifyJson } from './json.js';
import { Misfit, readWith } from './schema.js';

/** What makes typed events of raw ones: by schemas, and before them by upcasters. */
export class Decoder {
  /**
   * @param {Definition['events']} events
   * @param {Definition['upcast']} upcast
   */
  constructor(events = {}, upcast = {}) {
    this.schemas = events;
    this.steps = upcast;
    /** For each type with upcasters the schema version that they lead to. @type {Map<string, number>} */
    this.newest = new Map();
    for (const [type, steps] of Object.entries(upcast)) {
      this.newest.set(type, Math.max(...Object.keys(steps).map(Number)) + 1);
    }
  }

  /**
   * @param {RawEvent} raw
   * @param {number} index of the event to blame
   */
  event(raw, index) {
    const type = raw.eventType;
    const lifted = this.newest.has(type) ? this.#lift(raw, type, index) : raw;
    const schema = this.schemas[type];
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
    const steps = this.steps[type];
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

/**
 * @param {Definition['upcast']} upcast
 * @param {(why: string) => void} wrong
 */
export function checkUpcast(upcast = {}, wrong) {
  for (const [type, steps] of Object.entries(upcast)) {
    const versions = Object.keys(steps).map(Number);
    if (versions.length === 0 || !versions.every((version) => Number.isInteger(version) && version > 0)) {
      wrong(`\`upcast\` has for ${type} no steps by the schema version that they lift, such as {1: (payload) => …}`);
    }
  }
}
