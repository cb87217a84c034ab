/**
 * Runs the initializer of a module and gives back the module as it is afterwards: what the Wizer of
 * the Bytecode Alliance does, but the same bytes come of the same source, as no clock and no chance
 * can be seen, and Node.js is all that is needed.
 */

const MEMORY = 5;
const GLOBAL = 6;
const EXPORT = 7;
const DATA = 11;
const DATA_COUNT = 12;

/** Zeros between two parts of the memory that are not worth another segment. */
const GAP = 64;
/** The number of segments that every engine takes. */
const MOST_SEGMENTS = 90_000;

/**
 * @param {Uint8Array} wasm
 * @param {{initializer: string, files: Record<string, string>, env: Record<string, string>, stdin: string}} options
 * @returns {Promise<Uint8Array>}
 */
export async function snapshot(wasm, { initializer, files, env, stdin }) {
  const module = await WebAssembly.compile(/** @type {BufferSource} */ (wasm));
  const wasi = new Wasi({ files, env, stdin });
  const instance = await WebAssembly.instantiate(module, wasi.imports(module));
  const exports = /** @type {{memory: WebAssembly.Memory} & Record<string, () => void>} */ (instance.exports);
  wasi.memory = exports.memory;
  try {
    exports._initialize();
    exports[initializer]();
  } catch (error) {
    throw new Error(wasi.stderr.trim() || String(error));
  }
  return freeze(wasm, new Uint8Array(exports.memory.buffer), ['_initialize', initializer]);
}

/**
 * @param {Uint8Array} wasm
 * @param {Uint8Array<ArrayBuffer>} memory what is in it now
 * @param {string[]} done functions that are not to be called any more
 */
function freeze(wasm, memory, done) {
  const segments = segmentsOf(memory);
  /** @type {Uint8Array[]} */
  const parts = [wasm.subarray(0, 8)];
  for (const { id, body } of sections(wasm)) {
    switch (id) {
      case MEMORY:
        // One memory, without a maximum.
        if (body[0] !== 1 || body[1] !== 0) throw new Error('the engine has another memory than was expected');
        parts.push(section(id, [1, 0, ...leb(memory.length / 65_536)]));
        break;
      case GLOBAL:
        // The pointer of the stack alone, which is where it was.
        if (body[0] !== 1) throw new Error('the engine has more globals than was expected');
        parts.push(section(id, body));
        break;
      case EXPORT:
        parts.push(section(id, withoutExports(body, done)));
        break;
      case DATA_COUNT:
        parts.push(section(id, leb(segments.length)));
        break;
      case DATA:
        parts.push(section(id, dataOf(memory, segments)));
        break;
      default:
        parts.push(section(id, body));
    }
  }
  return Buffer.concat(parts);
}

/** @param {Uint8Array} wasm */
function* sections(wasm) {
  const reader = new Reader(wasm, 8);
  while (reader.at < wasm.length) {
    const id = wasm[reader.at++];
    yield { id, body: reader.bytes() };
  }
}

/**
 * @param {number} id
 * @param {ArrayLike<number>} body
 */
function section(id, body) {
  return Buffer.concat([Uint8Array.of(id, ...leb(body.length)), body instanceof Uint8Array ? body : Uint8Array.from(body)]);
}

/**
 * @param {Uint8Array} body
 * @param {string[]} names
 */
function withoutExports(body, names) {
  const reader = new Reader(body, 0);
  const kept = [];
  for (let left = reader.number(); left > 0; left--) {
    const start = reader.at;
    const name = Buffer.from(reader.bytes()).toString();
    reader.at += 1;
    reader.number();
    if (!names.includes(name)) kept.push(body.subarray(start, reader.at));
  }
  return Buffer.concat([Uint8Array.from(leb(kept.length)), ...kept]);
}

/** The parts of the memory that are not zero. @param {Uint8Array<ArrayBuffer>} memory */
function segmentsOf(memory) {
  const words = new BigUint64Array(memory.buffer);
  for (let gap = GAP; ; gap *= 2) {
    /** @type {{start: number, end: number}[]} */
    const segments = [];
    for (let n = 0; n < words.length; n++) {
      if (words[n] === 0n) continue;
      const start = n * 8;
      const last = segments.at(-1);
      if (last && start - last.end < gap) last.end = start + 8;
      else segments.push({ start, end: start + 8 });
    }
    if (segments.length <= MOST_SEGMENTS) return segments;
  }
}

/**
 * @param {Uint8Array} memory
 * @param {{start: number, end: number}[]} segments
 */
function dataOf(memory, segments) {
  /** @type {Uint8Array[]} */
  const parts = [Uint8Array.from(leb(segments.length))];
  for (const { start, end } of segments) {
    // Into the memory, at a constant.
    parts.push(Uint8Array.of(0, 0x41, ...signedLeb(start), 0x0b, ...leb(end - start)), memory.subarray(start, end));
  }
  return Buffer.concat(parts);
}

/** @param {number} value */
function leb(value) {
  const bytes = [];
  do {
    const rest = Math.floor(value / 128);
    bytes.push((value % 128) | (rest > 0 ? 128 : 0));
    value = rest;
  } while (value > 0);
  return bytes;
}

/** @param {number} value below 2^31 */
function signedLeb(value) {
  const bytes = [];
  for (;;) {
    const byte = value & 127;
    value >>= 7;
    if (value === 0 && (byte & 64) === 0) return [...bytes, byte];
    bytes.push(byte | 128);
  }
}

class Reader {
  /**
   * @param {Uint8Array} source
   * @param {number} at
   */
  constructor(source, at) {
    this.source = source;
    this.at = at;
  }

  number() {
    let [result, factor] = [0, 1];
    for (;;) {
      const byte = this.source[this.at++];
      result += (byte & 127) * factor;
      if (byte < 128) return result;
      factor *= 128;
    }
  }

  bytes() {
    const length = this.number();
    this.at += length;
    return this.source.subarray(this.at - length, this.at);
  }
}

const [OK, BADF, NOENT, NOSYS] = [0, 8, 44, 52];
/** The first descriptor that is free; 3 is the folder `/`. */
const FIRST_FILE = 4;

/** As much of WASI as the engine needs to start: some files, and nothing that is not the same the next time. */
class Wasi {
  memory = /** @type {WebAssembly.Memory} */ (/** @type {unknown} */ (undefined));
  stderr = '';
  /** @type {Map<number, {content: Uint8Array, at: number}>} */ #open = new Map();
  /** @type {Map<string, Uint8Array>} */ #files;
  /** @type {Uint8Array[]} */ #env;
  #next = FIRST_FILE;

  /** @param {{files: Record<string, string>, env: Record<string, string>, stdin: string}} options */
  constructor({ files, env, stdin }) {
    const encoder = new TextEncoder();
    this.#files = new Map(Object.entries(files).map(([name, text]) => [name, encoder.encode(text)]));
    this.#env = Object.entries(env).map(([name, value]) => encoder.encode(`${name}=${value}\0`));
    this.#open.set(0, { content: encoder.encode(stdin), at: 0 });
  }

  /**
   * Everything that a module imports; what is not here must not be called.
   *
   * @param {WebAssembly.Module} module
   */
  imports(module) {
    /** @type {Record<string, Record<string, Function>>} */
    const imports = {};
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      const own = from === 'wasi_snapshot_preview1' && name in this ? /** @type {any} */ (this)[name].bind(this) : undefined;
      (imports[from] ??= {})[name] =
        own ??
        (() => {
          throw new Error(`${from} ${name} is called while the plugin is loaded: only handlers may`);
        });
    }
    return /** @type {WebAssembly.Imports} */ (imports);
  }

  get #view() {
    return new DataView(this.memory.buffer);
  }

  /**
   * @param {number} at
   * @param {number} length
   */
  #bytes(at, length) {
    return new Uint8Array(this.memory.buffer, at, length);
  }

  /**
   * @param {number} count
   * @param {number} size
   */
  args_sizes_get(count, size) {
    this.#view.setUint32(count, 0, true);
    this.#view.setUint32(size, 0, true);
    return OK;
  }

  args_get() {
    return OK;
  }

  /**
   * @param {number} count
   * @param {number} size
   */
  environ_sizes_get(count, size) {
    this.#view.setUint32(count, this.#env.length, true);
    this.#view.setUint32(size, this.#env.reduce((sum, entry) => sum + entry.length, 0), true);
    return OK;
  }

  /**
   * @param {number} places
   * @param {number} at
   */
  environ_get(places, at) {
    for (const [n, entry] of this.#env.entries()) {
      this.#view.setUint32(places + n * 4, at, true);
      this.#bytes(at, entry.length).set(entry);
      at += entry.length;
    }
    return OK;
  }

  /**
   * @param {number} _id
   * @param {bigint} _precision
   * @param {number} at
   */
  clock_time_get(_id, _precision, at) {
    this.#view.setBigUint64(at, 0n, true);
    return OK;
  }

  /**
   * @param {number} at
   * @param {number} length
   */
  random_get(at, length) {
    this.#bytes(at, length).fill(42);
    return OK;
  }

  /**
   * @param {number} fd
   * @param {number} at
   */
  fd_prestat_get(fd, at) {
    if (fd !== 3) return BADF;
    this.#view.setUint32(at, 0, true);
    this.#view.setUint32(at + 4, 1, true);
    return OK;
  }

  /**
   * @param {number} _fd
   * @param {number} at
   */
  fd_prestat_dir_name(_fd, at) {
    this.#bytes(at, 1)[0] = '/'.charCodeAt(0);
    return OK;
  }

  /**
   * @param {number} fd
   * @param {number} at
   */
  fd_fdstat_get(fd, at) {
    if (fd > 3 && !this.#open.has(fd)) return BADF;
    const [characters, folder, file] = [2, 3, 4];
    this.#bytes(at, 24).fill(0);
    this.#view.setUint8(at, fd < 3 ? characters : fd === 3 ? folder : file);
    this.#view.setBigUint64(at + 8, 0xffff_ffffn, true);
    this.#view.setBigUint64(at + 16, 0xffff_ffffn, true);
    return OK;
  }

  fd_fdstat_set_flags() {
    return OK;
  }

  /**
   * @param {number} _folder
   * @param {number} _lookup
   * @param {number} path
   * @param {number} length
   * @param {number} _flags
   * @param {bigint} _rights
   * @param {bigint} _inherited
   * @param {number} _fdflags
   * @param {number} at
   */
  path_open(_folder, _lookup, path, length, _flags, _rights, _inherited, _fdflags, at) {
    const content = this.#files.get(this.#path(path, length));
    if (!content) return NOENT;
    this.#open.set(this.#next, { content, at: 0 });
    this.#view.setUint32(at, this.#next++, true);
    return OK;
  }

  /**
   * @param {number} _folder
   * @param {number} _lookup
   * @param {number} path
   * @param {number} length
   * @param {number} at
   */
  path_filestat_get(_folder, _lookup, path, length, at) {
    const content = this.#files.get(this.#path(path, length));
    if (!content) return NOENT;
    this.#bytes(at, 64).fill(0);
    this.#view.setUint8(at + 16, 4);
    this.#view.setBigUint64(at + 32, BigInt(content.length), true);
    return OK;
  }

  /**
   * @param {number} path
   * @param {number} length
   */
  #path(path, length) {
    return Buffer.from(this.#bytes(path, length)).toString().replace(/^[./]*/, '');
  }

  /**
   * @param {number} fd
   * @param {number} vectors
   * @param {number} count
   * @param {number} read
   */
  fd_read(fd, vectors, count, read) {
    const file = this.#open.get(fd);
    if (!file) return BADF;
    const start = file.at;
    for (let n = 0; n < count; n++) {
      const [at, length] = [this.#view.getUint32(vectors + n * 8, true), this.#view.getUint32(vectors + n * 8 + 4, true)];
      const chunk = file.content.subarray(file.at, file.at + length);
      this.#bytes(at, chunk.length).set(chunk);
      file.at += chunk.length;
    }
    this.#view.setUint32(read, file.at - start, true);
    return OK;
  }

  /**
   * @param {number} fd
   * @param {bigint} offset
   * @param {number} whence
   * @param {number} at
   */
  fd_seek(fd, offset, whence, at) {
    const file = this.#open.get(fd);
    if (!file || fd === 0) return BADF;
    file.at = Number(offset) + [0, file.at, file.content.length][whence];
    this.#view.setBigUint64(at, BigInt(file.at), true);
    return OK;
  }

  /** @param {number} fd */
  fd_close(fd) {
    return this.#open.delete(fd) ? OK : BADF;
  }

  /**
   * @param {number} _fd
   * @param {number} vectors
   * @param {number} count
   * @param {number} written
   */
  fd_write(_fd, vectors, count, written) {
    let sum = 0;
    for (let n = 0; n < count; n++) {
      const [at, length] = [this.#view.getUint32(vectors + n * 8, true), this.#view.getUint32(vectors + n * 8 + 4, true)];
      this.stderr += Buffer.from(this.#bytes(at, length)).toString();
      sum += length;
    }
    this.#view.setUint32(written, sum, true);
    return OK;
  }

  fd_readdir() {
    return NOSYS;
  }

  /** @param {number} code */
  proc_exit(code) {
    throw new Error(`the engine has ended with ${code}`);
  }
}
