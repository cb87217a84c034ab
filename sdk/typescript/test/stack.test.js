import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as esbuild from 'esbuild';

import { lineTable, originalStack } from '../src/stack.js';

test('a stack of the bundle becomes one of the author\'s files', async () => {
  const { outputFiles } = await esbuild.build({
    stdin: { contents: "import { lineTable } from './stack.js';\n\nfunction fail() {\n  throw new Error('x');\n}\n\nexport { fail, lineTable };\n", resolveDir: new URL('../src', import.meta.url).pathname, sourcefile: 'own.js' },
    bundle: true, write: false, format: 'esm', sourcemap: 'external', outfile: 'plugin.js',
  });
  const [map, code] = outputFiles.map(({ text }) => text);
  const line = code.split('\n').findIndex((text) => text.includes("new Error('x')") || text.includes('new Error("x")')) + 1;
  assert.ok(line > 4, 'not where it was');
  const stack = `fail@plugin.js:${line}:9\nelsewhere@initializer.js:${line}:1\n@plugin.js:99999:1\n`;
  assert.equal(originalStack(stack, lineTable(JSON.parse(map))), '    at fail (src/own.js:4)');
});
