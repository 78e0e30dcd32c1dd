// Prints the script that looks for what keeps people from using a page.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const script = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
process.stdout.write(readFileSync(script));
