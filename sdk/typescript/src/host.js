/** @import {Backend, LogLevel, RawExpected, RawNewEvent, RawPage, RawOutgoing, RawResponse} from './raw.js' */

/**
 * What the host gives beside the transaction. A component sets it to the host's functions, a test
 * to its own.
 *
 * @type {{
 *   write(level: LogLevel, message: string): void,
 *   get(key: string): string | undefined,
 *   all(): [string, string][],
 *   stack(error: Error): string,
 *   load(tx: Backend, cause: number, aggregate: string, id: string, after: number, limit: number): RawPage,
 *   append(tx: Backend, cause: number, aggregate: string, id: string, expected: RawExpected, events: RawNewEvent[]): number,
 *   send(cause: number, request: RawOutgoing): RawResponse,
 * }}
 */
export const host = {
  write: (level, message) => console.error(`${level} ${message}`),
  get: () => undefined,
  all: () => [],
  stack: (error) => error.stack ?? '',
  load: () => missing('the log'),
  append: () => missing('the log'),
  send: () => missing('outgoing HTTP'),
};

/** @type {(what: string) => never} */
function missing(what) {
  throw new Error(`${what} is not there: a test imports @eventfabric/sdk/testing`);
}
