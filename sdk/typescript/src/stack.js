/** As many frames tell where it was. */
const FRAMES = 12;

/**
 * The places of the plugin's own files in a bundle: for each line of it the file and the line that
 * it was.
 *
 * @param {{sources: string[], mappings: string}} map a source map
 */
export function lineTable({ sources, mappings }) {
  /** @type {(string | 0)[]} */
  const lines = [];
  let [source, line] = [0, 0];
  for (const group of mappings.split(';')) {
    /** @type {string | undefined} */
    let first;
    for (const segment of group === '' ? [] : group.split(',')) {
      const [, toSource, toLine] = decode(segment);
      if (toSource === undefined) continue;
      source += toSource;
      line += toLine;
      first ??= `${source}:${line + 1}`;
    }
    lines.push(first ?? 0);
  }
  return { sources, lines: lines.join(',') };
}

/** Reads numbers in the base 64 of source maps. @param {string} segment */
function decode(segment) {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const numbers = [];
  let [value, shift] = [0, 0];
  for (const letter of segment) {
    const digit = digits.indexOf(letter);
    value |= (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    numbers.push(value & 1 ? -(value >> 1) : value >> 1);
    [value, shift] = [0, 0];
  }
  return numbers;
}

/**
 * A stack with the lines of the author's files instead of the bundle's.
 *
 * @param {string} stack of SpiderMonkey: lines such as `function@file:line:column`
 * @param {{sources: string[], lines: string}} table
 */
export function originalStack(stack, { sources, lines }) {
  const places = lines.split(',');
  const frames = [];
  for (const [, name, line] of stack.matchAll(/^ *(.*)@plugin\.js:(\d+):\d+$/gm)) {
    const place = places[Number(line) - 1];
    if (!place || place === '0') continue;
    const [source, original] = place.split(':');
    frames.push(`    at ${name || '(module)'} (${sources[Number(source)]}:${original})`);
  }
  return frames.slice(0, FRAMES).join('\n');
}
