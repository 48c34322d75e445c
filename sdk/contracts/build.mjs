// Compiles the contracts to artifacts/*.json with the settings of foundry.toml.
//   node build.mjs           writes the artifacts
//   node build.mjs --check   fails where the committed artifacts differ from the sources
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "./compile.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const contracts = {
  Arena: "src/Arena.sol",
  Court: "src/Court.sol",
  Referee: "src/Referee.sol",
  Hashes: "test/Hashes.sol",
  TestToken: "test/TestToken.sol",
  TicTacToe: "test/TicTacToe.sol",
  TicTacToeCode: "test/TicTacToeCode.sol",
};
const MAX_RUNTIME = 24_576; // EIP-170

const check = process.argv.includes("--check");
let stale = false;
mkdirSync(join(here, "artifacts"), { recursive: true });
for (const [name, path] of Object.entries(contracts)) {
  const artifact = compile(name, path);
  const size = artifact.runtime.length / 2 - 1;
  if (size > MAX_RUNTIME) throw new Error(`${name} has ${size} bytes, ${size - MAX_RUNTIME} too many`);
  const file = join(here, "artifacts", `${name}.json`);
  const text = `${JSON.stringify(artifact, null, 1)}\n`;
  if (!check) writeFileSync(file, text);
  else if (!existsSync(file) || readFileSync(file, "utf8") !== text) stale = true;
  console.log(`${name}: ${size} bytes of ${MAX_RUNTIME}`);
}
if (stale) {
  console.error("The artifacts differ from the sources: run `node build.mjs` and commit what it writes.");
  process.exit(1);
}
