// Makes a component of app.js: node build.mjs WIT OUTPUT. The WIT folder is complete, dependencies included.

import { readFile, writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [witPath, output] = process.argv.slice(2);
const source = await readFile(new URL('app.js', import.meta.url), 'utf8');
const { component } = await componentize(source, {
  witPath,
  worldName: 'upper',
  disableFeatures: ['http', 'fetch-event'],
});
await writeFile(output, component);
