/**
 * What the generated bindings do for each text and each event, but quicker: the engine interprets
 * them, so a loop over the characters of a text takes longer than all else that is done with it.
 *
 * @param {string} bindings as componentize-js 0.23.0 generates them
 */
export function quicker(bindings) {
  const encode = between(bindings, 'function _utf8AllocateAndEncode(s, realloc, memory) {', '\n}\n');
  const lift = between(bindings, '  var result12 = [];\n', "  _debugLog(' [Instruction::CallInterface] (sync, @ enter)');");
  return bindings.replace(encode, () => ENCODE).replace(lift, () => LIFT) + LAZY_EVENT;
}

/**
 * @param {string} text
 * @param {string} first
 * @param {string} last
 */
function between(text, first, last) {
  const start = text.indexOf(first);
  const end = text.indexOf(last, start);
  if (start < 0 || end < 0) throw new Error(`the bindings of this version of componentize-js have no \`${first.trim()}\``);
  return text.slice(start, end);
}

const ENCODE = `function _utf8AllocateAndEncode(s, realloc, memory) {
  if (typeof s !== 'string') {
    throw new TypeError('expected a string, received [' + typeof s + ']');
  }
  if (s.length === 0) { return { ptr: 1, len: 0 }; }
  const bytes = TEXT_ENCODER_UTF8.encode(s);
  const len = bytes.length;
  const ptr = realloc(0, 0, 1, len);
  new Uint8Array(memory.buffer, ptr, len).set(bytes);
  return { ptr, len };
`;

/** The fields of an event are read when they are asked for; an instance ends with its batch, and its memory with it. */
const LIFT = `  var result12 = [];
  for (let i = 0; i < len12; i++) {
    result12.push(new LazyEvent(base12 + i * 96));
  }
`;

const LAZY_EVENT = `
function lazyText(at) {
  const view = dataView($memory);
  const length = view.getUint32(at + 4, true);
  return length === 0 ? '' : TEXT_DECODER_UTF8.decode(new Uint8Array($memory.buffer, view.getUint32(at, true), length));
}

class LazyEvent {
  constructor(base) { this.base = base; }
  get position() { return dataView($memory).getBigUint64(this.base, true); }
  get id() { return lazyText(this.base + 8); }
  get tenant() { return lazyText(this.base + 16); }
  get aggregate() { return lazyText(this.base + 24); }
  get aggregateId() { return lazyText(this.base + 32); }
  get version() { return dataView($memory).getUint32(this.base + 40, true); }
  get eventType() { return lazyText(this.base + 44); }
  get schemaVersion() { return dataView($memory).getUint32(this.base + 52, true); }
  get payload() { return lazyText(this.base + 56); }
  get occurredAt() { return dataView($memory).getBigInt64(this.base + 64, true); }
  get correlationId() { return dataView($memory).getUint8(this.base + 72) ? lazyText(this.base + 76) : undefined; }
  get causationId() { return dataView($memory).getUint8(this.base + 84) ? lazyText(this.base + 88) : undefined; }
}
`;
