// Compiles contracts that are broken on purpose: what a test must notice that claims to look at a rule.
//   node mutants.mjs --out DIR           writes DIR/NAME.json for each mutant of mutants.json: the artifacts of both contracts
//   node mutants.mjs --out DIR NAME ...  only these
//   node mutants.mjs --check             only looks whether each edit still has its place in the sources
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "./compile.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const source = (path) => readFileSync(join(here, path), "utf8");
const args = process.argv.slice(2);
const check = args.includes("--check");
const out = args.includes("--out") ? args[args.indexOf("--out") + 1] : undefined;
if (!check && out === undefined) throw new Error("where to? node mutants.mjs --out DIR");
const names = args.filter((arg) => !arg.startsWith("--") && arg !== out);

const all = JSON.parse(source("mutants.json"));
const unknown = names.find((name) => !all.some((mutant) => mutant.name === name));
if (unknown !== undefined) throw new Error(`${unknown} is no mutant of mutants.json`);
if (new Set(all.map((mutant) => mutant.name)).size !== all.length) throw new Error("two mutants have one name");

/// The sources that a mutant changes; each text has to be there exactly once.
function edited({ name, edits }) {
  const changed = new Map();
  for (const [path, text, replacement] of edits) {
    const before = changed.get(path) ?? source(path);
    const places = before.split(text).length - 1;
    if (places !== 1) throw new Error(`${name}: ${path} has this text ${places} times, not once:\n${text}`);
    changed.set(path, before.replace(text, () => replacement));
  }
  return changed;
}

/// Whether a source is one of these, or imports one of them.
function uses(path, changed) {
  const imports = [...source(path).matchAll(/from "\.\/(\w+\.sol)"/g)].map((found) => `src/${found[1]}`);
  return changed.has(path) || imports.some((imported) => uses(imported, changed));
}

const chosen = all.filter((mutant) => names.length === 0 || names.includes(mutant.name));
if (out !== undefined) mkdirSync(out, { recursive: true });
for (const mutant of chosen) {
  const changed = edited(mutant);
  if (check) continue;
  const artifacts = {};
  try {
    for (const name of ["Arena", "Court"]) {
      const path = `src/${name}.sol`;
      const whole = uses(path, changed) ? compile(name, path, changed) : JSON.parse(source(`artifacts/${name}.json`));
      artifacts[name] = { abi: whole.abi, bytecode: whole.bytecode };
    }
  } catch (error) {
    // The others are of use all the same.
    console.error(`${mutant.name} does not compile: ${error.message}`);
    process.exitCode = 1;
    continue;
  }
  writeFileSync(join(out, `${mutant.name}.json`), `${JSON.stringify({ ...mutant, ...artifacts }, null, 1)}\n`);
  console.log(`${mutant.name}: breaks ${mutant.rule}`);
}
