import { fatal } from './failure.js';
import { host } from './host.js';

export const config = {
  get: (/** @type {string} */ key) => host.get(key),

  all: () => Object.fromEntries(host.all()),

  /**
   * @template T
   * @param {string} key
   * @param {(text: string) => T} read
   */
  parse(key, read) {
    const text = host.get(key);
    if (text === undefined) return undefined;
    try {
      return read(text);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      fatal(`the setting \`${key}\` = \`${text}\`: ${why}`);
    }
  },
};
