/** @import {RawEvent} from './raw.js' */

import { Timestamp } from './time.js';

/** A fact from the log. What the raw event knows is looked up when it is asked for, as most of it never is. */
export class Event {
  /** @type {RawEvent} */ #raw;

  /**
   * @param {RawEvent} raw
   * @param {string} type
   * @param {any} data
   * @param {number} index
   */
  constructor(raw, type, data, index) {
    this.#raw = raw;
    this.type = type;
    this.data = data;
    this.index = index;
  }

  get position() {
    return this.#raw.position;
  }

  get id() {
    return this.#raw.id;
  }

  get tenant() {
    return this.#raw.tenant;
  }

  get aggregate() {
    return this.#raw.aggregate;
  }

  get aggregateId() {
    return this.#raw.aggregateId;
  }

  get version() {
    return this.#raw.version;
  }

  get schemaVersion() {
    return this.#raw.schemaVersion;
  }

  get payload() {
    return this.#raw.payload;
  }

  get occurredAt() {
    return new Timestamp(this.#raw.occurredAt);
  }

  get correlationId() {
    return this.#raw.correlationId ?? null;
  }

  get causationId() {
    return this.#raw.causationId ?? null;
  }
}

/** An event in words. @param {RawEvent} raw */
export function named(raw) {
  return `${raw.eventType} version ${raw.schemaVersion} at position ${raw.position} (stream ${raw.aggregate}/${raw.aggregateId})`;
}
