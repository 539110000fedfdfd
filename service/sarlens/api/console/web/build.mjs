// Builds the files that the gateway serves. Run it with `make console`; `node build.mjs DIR` writes to another folder.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const web = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(web, "..", "static");

const COPIES = {
  "pages/index.html": "console/index.html",
  "pages/icon.svg": "console/icon.svg",
  "pages/docs.html": "docs/index.html",
  "pages/redoc.html": "redoc/index.html",
  "node_modules/world-atlas/land-110m.json": "console/land-110m.json",
  "node_modules/swagger-ui-dist/swagger-ui-bundle.js": "docs/swagger-ui-bundle.js",
  "node_modules/swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt": "docs/swagger-ui-bundle.js.LICENSE.txt",
  "node_modules/swagger-ui-dist/swagger-ui.css": "docs/swagger-ui.css",
  "node_modules/redoc/bundles/redoc.standalone.js": "redoc/redoc.standalone.js",
  "node_modules/redoc/bundles/redoc.standalone.js.LICENSE.txt": "redoc/redoc.standalone.js.LICENSE.txt",
};
const COPIED_PACKAGES = ["world-atlas", "swagger-ui-dist", "redoc"];

await rm(out, { recursive: true, force: true });
for (const [from, to] of Object.entries(COPIES)) {
  await mkdir(dirname(join(out, to)), { recursive: true });
  // Without the maps that only debuggers would request.
  if (/\.(js|css)$/.test(to)) {
    let text = await readFile(join(web, from), "utf8");
    // ReDoc loads its logo from another host.
    text = text.replaceAll("https://cdn.redoc.ly/redoc/logo-mini.svg", "console/icon.svg");
    await writeFile(join(out, to), text.replace(/\n(\/\/|\/\*)# sourceMappingURL=[^\n]*\s*$/, "\n"));
  } else {
    await copyFile(join(web, from), join(out, to));
  }
}

const shared = { absWorkingDir: web, bundle: true, minify: true, metafile: true, legalComments: "none", outdir: out };
const results = [
  await build({
    ...shared,
    entryPoints: { "console/console": "src/main.ts", "docs/docs": "src/docs.ts", "redoc/redoc": "src/redoc.ts" },
    format: "esm",
    target: "es2022",
  }),
  await build({
    ...shared,
    entryPoints: { "console/console": "src/console.css", "docs/page": "src/docs.css", "redoc/page": "src/docs.css" },
  }),
];

const packages = new Set(COPIED_PACKAGES);
for (const input of results.flatMap((result) => Object.keys(result.metafile.inputs))) {
  const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
  if (match) packages.add(match[1]);
}
await writeFile(join(out, "console/LICENSES.txt"), (await Promise.all([...packages].sort().map(license))).join("\n"));

/** The license of a package whose code or data is in the built files. */
async function license(name) {
  const folder = join(web, "node_modules", name);
  const { version, license: spdx } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file)).sort();
  if (files.length === 0) throw new Error(`${name} has no license file`);
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  return `${"=".repeat(80)}\n${name} ${version} (${spdx})\n${"=".repeat(80)}\n\n${texts.join("\n").trim()}\n`;
}
