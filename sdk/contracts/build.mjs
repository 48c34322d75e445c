// Compiles the contracts to artifacts/*.json with the settings of foundry.toml.
//   node build.mjs           writes the artifacts
//   node build.mjs --check   fails where the committed artifacts differ from the sources
import { createRequire } from "node:module";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const contracts = {
  Arena: "src/Arena.sol",
  Court: "src/Court.sol",
  Hashes: "test/Hashes.sol",
  TestToken: "test/TestToken.sol",
  TicTacToe: "test/TicTacToe.sol",
};
const MAX_RUNTIME = 24_576; // EIP-170

const setting = (name) => readFileSync(join(here, "foundry.toml"), "utf8").match(new RegExp(`^${name} = (.*)$`, "m"))[1];
const settings = {
  optimizer: { enabled: setting("optimizer") === "true", runs: Number(setting("optimizer_runs").replaceAll("_", "")) },
  viaIR: setting("via_ir") === "true",
  evmVersion: JSON.parse(setting("evm_version")),
  metadata: { bytecodeHash: JSON.parse(setting("bytecode_hash")), appendCBOR: setting("cbor_metadata") === "true" },
};

const read = (path) => {
  const file = path.startsWith("@") ? join(here, "node_modules", path) : join(here, path);
  return existsSync(file) ? { contents: readFileSync(file, "utf8") } : { error: `${path} not found: run npm ci first` };
};

const solc = createRequire(import.meta.url)("solc");

function compile(name, path) {
  const output = JSON.parse(
    solc.compile(
      JSON.stringify({
        language: "Solidity",
        sources: { [path]: { content: read(path).contents } },
        settings: {
          ...settings,
          outputSelection: { [path]: { [name]: ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
        },
      }),
      { import: read },
    ),
  );
  const accepted = ["2394"]; // transient storage, which the re-entrancy guard clears
  const problems = (output.errors ?? []).filter((e) => !accepted.includes(e.errorCode)).map((e) => e.formattedMessage);
  if (problems.length > 0) throw new Error(problems.join("\n"));
  const { abi, evm } = output.contracts[path][name];
  return {
    name,
    compiler: solc.version().replace(/\.Emscripten.*$/, ""),
    settings,
    abi,
    bytecode: `0x${evm.bytecode.object}`,
    runtime: `0x${evm.deployedBytecode.object}`,
  };
}

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
