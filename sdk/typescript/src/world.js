/**
 * The world as a handler may see it: the same log must give the same tables. The time is that of
 * the batch's first event; chance, the network and whatever waits are refused in words, where the
 * engine would only stop.
 */

/** @type {number | undefined} */
let millis = 0;

/** @param {number | undefined} now milliseconds since 1970; a query has none */
export function setTime(now) {
  millis = now;
}

function now() {
  if (millis === undefined) throw new Error('the time: a query has no clock here, take it as a parameter');
  return millis;
}

const CHANCE = 'the same log must give the same tables, so there is no chance: make it of the event (its id, its position)';
const WAITING = 'nothing in a handler waits, and there is no network: a projection has its events, its tables and its settings';

/** Puts it into the place of the engine's own. */
export function settle() {
  globalThis.Date = /** @type {DateConstructor} */ (
    new Proxy(Date, {
      construct: (target, args, self) => Reflect.construct(target, args.length > 0 ? args : [now()], self),
      apply: () => new Date(now()).toString(),
    })
  );
  Date.now = now;
  Math.random = refuse('Math.random', CHANCE);
  const world = {
    crypto: { getRandomValues: refuse('crypto.getRandomValues', CHANCE), randomUUID: refuse('crypto.randomUUID', CHANCE) },
    performance: { now: () => 0 },
    fetch: refuse('fetch', WAITING),
    setTimeout: refuse('setTimeout', WAITING),
    setInterval: refuse('setInterval', WAITING),
  };
  for (const [name, value] of Object.entries(world)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
}

/**
 * @param {string} name
 * @param {string} why
 */
function refuse(name, why) {
  return () => {
    throw new Error(`${name}: ${why}`);
  };
}
