// Bundles draw.jsx for a browser; `node bundle.mjs FILE`.
import { build } from 'esbuild';

// A CommonJS module whose default export is imported by name; the bundler would otherwise use the module itself.
const interop = {
  name: 'interop',
  setup(builder) {
    builder.onLoad({ filter: /react-custom-scrollbars-2\/lib\/index\.js$/ }, async ({ path }) => {
      const { readFile } = await import('node:fs/promises');
      return { contents: `${await readFile(path, 'utf8')}\nmodule.exports = Object.assign(exports.default ?? {}, exports);` };
    });
  },
};

await build({
  entryPoints: ['draw.jsx'],
  bundle: true,
  outfile: process.argv[2],
  format: 'iife',
  jsx: 'automatic',
  minify: true,
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  alias: { path: 'path-browserify' },
  external: ['fs', 'stream', 'tty', 'util', 'module', 'os', 'http', 'https', 'url', 'crypto'],
  loader: { '.svg': 'dataurl', '.woff': 'dataurl', '.woff2': 'dataurl', '.ttf': 'dataurl' },
  plugins: [interop],
  logLevel: 'warning',
});
