// Builds the dashboard into a folder (dist where none is given). The page asks for its files by their digests, so
// that a browser may keep them for ever.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "dist"));
mkdirSync(out, { recursive: true });

await build({
    absWorkingDir: here,
    entryPoints: { app: "src/main.tsx" },
    outdir: out,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    banner: { js: "/* Preact 10 and uPlot 1.6 (both MIT) are in here; sources: host/ui */" },
    logLevel: "warning",
});

const copy = (name) => writeFileSync(join(out, name), readFileSync(join(here, "src", name)));
copy("icon.svg");
let page = readFileSync(join(here, "src/index.html"), "utf8");
for (const name of ["app.js", "app.css", "icon.svg"]) {
    const digest = createHash("sha256").update(readFileSync(join(out, name))).digest("hex").slice(0, 16);
    page = page.replace(`"${name}"`, `"${name}?v=${digest}"`);
}
writeFileSync(join(out, "index.html"), page);
