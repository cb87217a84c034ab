/** @import {LogLevel} from './raw.js' */

/**
 * What the host gives beside the transaction. A component sets it to the host's functions, a test
 * to its own.
 *
 * @type {{
 *   write(level: LogLevel, message: string): void,
 *   get(key: string): string | undefined,
 *   all(): [string, string][],
 *   stack(error: Error): string,
 * }}
 */
export const host = {
  write: (level, message) => console.error(`${level} ${message}`),
  get: () => undefined,
  all: () => [],
  stack: (error) => error.stack ?? '',
};
