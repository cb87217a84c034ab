import { host } from './host.js';

export const log = {
  trace: (/** @type {string} */ message) => host.write('trace', message),
  debug: (/** @type {string} */ message) => host.write('debug', message),
  info: (/** @type {string} */ message) => host.write('info', message),
  warn: (/** @type {string} */ message) => host.write('warn', message),
  error: (/** @type {string} */ message) => host.write('error', message),
};
