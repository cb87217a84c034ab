// Makes wasi_snapshot_preview1.wasm of its text, and SHA256SUMS. In a folder where `npm install
// @bytecodealliance/jco@1.35.0` was run: `node …/adapter/build.mjs`.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const jco = createRequire(join(process.cwd(), "package.json")).resolve("@bytecodealliance/jco");
const { parse, componentEmbed } = await import(pathToFileURL(jco));
const file = (name) => new URL(name, import.meta.url);

const core = await parse(readFileSync(file("wasi_snapshot_preview1.wat"), "utf8"));
const adapter = await componentEmbed({
  binary: core,
  witSource: readFileSync(file("adapter.wit"), "utf8"),
  worldName: "adapter",
});
writeFileSync(file("wasi_snapshot_preview1.wasm"), adapter);

const sum = (name) => createHash("sha256").update(readFileSync(file(name))).digest("hex") + "  " + name + "\n";
const names = ["adapter.wit", "wasi_snapshot_preview1.wasm", "wasi_snapshot_preview1.wat"];
writeFileSync(file("SHA256SUMS"), names.map(sum).join(""));
