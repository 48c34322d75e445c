// Runs forge, of whichever platform npm has installed, with the arguments given: node forge.mjs test -vvv
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const scope = join(here, "node_modules", "@foundry-rs");
const forge = (existsSync(scope) ? readdirSync(scope) : [])
  .map((name) => join(scope, name, "bin", process.platform === "win32" ? "forge.exe" : "forge"))
  .find(existsSync);
if (forge === undefined) {
  console.error("forge is not installed: run npm ci first");
  process.exit(1);
}
process.exit(spawnSync(forge, process.argv.slice(2), { cwd: here, stdio: "inherit" }).status ?? 1);
